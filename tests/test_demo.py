"""The digit demonstration of chapter 11 in a real browser: the numbers of Python, a pen, a keyboard, no network."""

import json
import re

import numpy as np
import pytest
from test_site import PATHS, SITE, Visit, address, axe, chromium  # noqa: F401  (fixtures)

PAGE = "notebooks/11_deployment.html"
START = "Start the demonstration"

pytestmark = pytest.mark.browser

if not (SITE / PAGE).is_file():
    pytest.skip("no chapter 11: run make book first", allow_module_level=True)


def begin(visit):
    place = visit.page.locator(".digit-demo")
    place.get_by_role("button", name=re.compile(START)).click()
    place.locator("canvas.demo-board").wait_for()
    return place


def best(place):
    """Digit and probability that the sentence, the meters and the numbers agree on."""
    said = re.search(r"says (\d), with probability (\d\.\d+)", place.locator(".demo-said").inner_text())
    numbers = [float(t) for t in place.locator("td.number").all_inner_texts()]
    meters = place.locator("meter").evaluate_all("es => es.map(e => e.value)")
    assert np.allclose(numbers, meters, atol=6e-4)
    assert sum(meters) == pytest.approx(1, abs=1e-6)
    assert int(said[1]) == int(np.argmax(meters))
    assert float(said[2]) == pytest.approx(max(meters), abs=6e-4)
    assert place.locator("tr.demo-best th").inner_text() == said[1]
    return int(said[1]), float(said[2])


def stroke(visit, points):
    """Draw a line through points given as shares of the board."""
    box = visit.page.locator("canvas.demo-board").bounding_box()
    place = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    visit.page.mouse.move(*place[0])
    visit.page.mouse.down()
    for point in place[1:]:
        visit.page.mouse.move(*point, steps=12)
    visit.page.mouse.up()


def test_nothing_is_loaded_before_the_start(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        assert not [r for r in visit.requests if "artifacts/" in r or "onnxruntime" in r]
        begin(visit)
        loaded = [r for r in visit.requests if "artifacts/" in r or "onnxruntime" in r]
        assert sorted(r.rsplit("/", 1)[1] for r in loaded) == ["digits.js", "network.js"]
        assert sum((SITE / r.removeprefix(address + "/")).stat().st_size for r in loaded) < 600_000


@pytest.mark.parametrize("engine", ["javascript", "onnx"])
def test_both_engines_give_the_logits_of_python_for_200_digits(chromium, address, engine):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        place = begin(visit)
        # A slow line: who asks before the engine has come must wait, and not get the answer of the other engine.
        held = []
        visit.page.route("**/*.wasm", lambda route: held.append(route))
        place.locator(f"input[value={engine}]").check()
        place.get_by_role("button", name=re.compile("Compare 200")).click()
        if engine == "onnx":
            while not held:
                visit.page.wait_for_timeout(50)
            visit.page.wait_for_timeout(500)  # time enough for the other engine to answer, were it asked
            assert place.get_attribute("data-engine") is None
            held[0].continue_()
        place.locator(f"xpath=self::*[@data-engine='{engine}']").wait_for(timeout=60_000)
        assert int(place.get_attribute("data-same")) == 200
        assert 0 < float(place.get_attribute("data-largest")) < 1e-3, "zero would mean that nothing was computed anew"
        assert [r for r in visit.requests if not r.startswith((address, "data:", "blob:"))] == []
        assert visit.complaints == []


def test_the_digits_are_those_of_the_test_set(address):  # noqa: F811
    from helpers.datasets import load_mnist

    _, (images, labels) = load_mnist()
    text = (SITE / "_static/artifacts/browser/digits.js").read_text()
    data = json.loads(text.removeprefix("const DIGITS = ").rstrip(";\n"))
    import base64

    pixels = np.frombuffer(base64.b64decode(data["images"]), np.uint8).reshape(-1, 28, 28)
    assert len(pixels) == len(data["labels"]) == 200
    known = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [known[p.tobytes()] for p in pixels] == data["labels"]


def test_a_one_and_a_seven_drawn_with_the_mouse_are_read(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        place = begin(visit)
        stroke(visit, [(0.55, 0.15), (0.45, 0.85)])
        assert best(place)[0] == 1
        place.get_by_role("button", name="Clear").click()
        assert "Nothing is drawn" in place.locator(".demo-said").inner_text()
        stroke(visit, [(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)])
        assert best(place)[0] == 7
        stroke(visit, [(0.35, 0.5), (0.7, 0.5)])  # the bar of a European seven
        assert best(place)[0] == 7


def test_a_drawing_is_centred_and_scaled_as_mnist_is(chromium, address):  # noqa: F811
    """A small digit in a corner gives nearly the same 28 by 28 pixels as a large one in the middle."""
    pixels = """() => { const c = document.querySelector('.demo-seen');
        return Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, k) => k % 4 === 0) }"""
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        place = begin(visit)
        seen = []
        for x, y, size in ((0.15, 0.1, 0.7), (0.5, 0.45, 0.45)):
            stroke(visit, [(x + dx * size, y + dy * size) for dx, dy in ((0, 0.1), (0.9, 0.1), (0.4, 1))])
            picture = 255 - np.array(visit.page.evaluate(pixels), float).reshape(28, 28)
            rows, columns = np.nonzero(picture.max(axis=1))[0], np.nonzero(picture.max(axis=0))[0]
            assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
            centre = (picture * np.arange(28)).sum() / picture.sum(), (picture.T * np.arange(28)).sum() / picture.sum()
            assert np.allclose(centre, 14, atol=0.75)
            seen.append(picture)
            place.get_by_role("button", name="Clear").click()
        assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] > 0.7


def test_without_a_mouse(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        visit.page.locator(".digit-demo button").focus()
        visit.page.keyboard.press("Enter")
        place = visit.page.locator(".digit-demo")
        place.locator("canvas.demo-board").wait_for()
        assert visit.page.evaluate("document.activeElement.value") == "javascript", (
            "the focus goes into the demonstration"
        )
        order = []
        for _ in range(4):
            visit.page.keyboard.press("Tab")
            order.append(visit.page.evaluate("document.activeElement.tagName"))
        assert order == ["BUTTON", "SELECT", "BUTTON", order[3]]
        place.locator("select").focus()
        visit.page.keyboard.press("ArrowDown")
        chosen = place.locator("select option:checked").inner_text()
        assert best(place)[0] == int(chosen[-1])


def test_it_works_from_a_plain_file_with_the_network_by_hand(chromium):  # noqa: F811
    with Visit(chromium, (SITE / PAGE).as_uri()) as visit:
        place = begin(visit)
        assert place.locator("input[value=onnx]").is_disabled()
        assert "needs a web server" in place.inner_text()
        place.locator("select").select_option("3")
        assert best(place)[0] == 3
        assert visit.complaints == []


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_running_demonstration_is_accessible(chromium, address, axe, width, theme):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}", width=width, theme=theme) as visit:
        place = begin(visit)
        place.locator("select").select_option("4")
        place.locator("tr.demo-best").wait_for()
        overflow = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        visit.page.evaluate(axe)
        result = visit.page.evaluate("axe.run(document.querySelector('.digit-demo'))")
        assert [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in result["violations"]] == []
        small = place.locator("button, select, label:has(input)").evaluate_all(
            "es => es.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
        )
        assert small == [], "too small for a finger"


def test_without_a_script_the_place_says_what_is_missing(chromium, address):  # noqa: F811
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}")
    assert "needs JavaScript" in page.locator(".digit-demo").inner_text()
    context.close()


def test_a_missing_file_is_said_in_one_sentence(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{PAGE}") as visit:
        visit.page.route("**/digits.js", lambda route: route.abort())
        visit.page.locator(".digit-demo").get_by_role("button").click()
        alert = visit.page.locator(".digit-demo [role=alert]")
        alert.wait_for()
        assert "could not be loaded" in alert.inner_text()
        visit.page.unroute("**/digits.js")
        begin(visit)
