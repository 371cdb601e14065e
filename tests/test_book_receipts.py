"""Receipts of whole builds: made from a complete, good, current measurement and nothing else, never edited, shown side by side."""

import copy
import json
import os
import re
import shutil

import nbformat
import pytest
from bs4 import BeautifulSoup
from test_doctor import fake

from book import BookError, cache, ledger, machine, receipts, receipts_page
from book.gpu import meter
from book.paths import REPOSITORY, Paths
from conftest import Project, assert_one_sentence

WORKING_TENSORFLOW = fake("tensorflow")

CPU = {"cpu": "AMD EPYC", "cores": 2, "memory_gib": 23.5, "gpus": [], "system": "Linux x86_64"}
CARD = {**CPU, "cores": 16, "gpus": ["NVIDIA H100 80GB HBM3, 81559 MiB"]}


# -- Receipts of the repository ------------------------------------------------------------------------------------------


def test_the_receipts_of_the_repository_have_their_form():
    for receipt in receipts.read_all(Paths(REPOSITORY)):  # refuses what was edited
        assert tuple(receipt) == receipts.FIELDS
        assert receipt["made_by"] == receipts.MADE_BY
        assert receipt["profile"] in ("quick", "full")
        assert receipt["jobs"] >= 1
        assert {"cpu", "cores", "memory_gib", "gpus", "system"} == set(receipt["device"])
        assert bool(receipt["driver"]) == bool(receipt["device"]["gpus"])
        assert {"python", "keras", "numpy"} <= set(receipt["versions"])
        for name, made in receipt["notebooks"].items():
            assert set(made) == set(receipts.OF_A_NOTEBOOK), name
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])
            assert made["date"] <= receipt["date"]
            assert made["seconds"] > 0
            assert made["peak_memory_mib"] > 10
            for claim_id, claim in made["claims"].items():
                assert set(claim) == {"value", "kind", "bound"}, claim_id


# -- Making one, on a small project --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(new_project):
    """Two notebooks, measured on a machine with a fake card; the report before it is one of two at a time."""
    project = new_project("measured")
    (project.root / "bin").mkdir()
    smi = project.root / "bin" / "nvidia-smi"
    busy = project.root / "busy"  # there while the first notebook works
    smi.write_text(
        f"""#!/bin/sh
case "$*" in
  *power.draw*) if [ -e {busy} ]; then echo "700, 60.0"; else echo "100, 60.0"; fi;;
  *driver_version*) echo 570.86.15;;
  *) echo "Fake H100, 81559 MiB";;
esac
"""
    )
    smi.chmod(0o755)
    (project.root / "bin" / "tensorflow.py").write_text(WORKING_TENSORFLOW)
    project.card = {
        "PATH": f"{project.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{project.root / 'bin'}{os.pathsep}{REPOSITORY}",  # where the doctor finds the TensorFlow of this test
    }
    claim = "from helpers import claims\n_ = claims.band('one.value', 'It is a half.', 0.5, 0.4, 0.6)"
    work = f"import pathlib, time\nbusy = pathlib.Path({str(busy)!r})\nbusy.touch()\ntime.sleep(2.5)\nbusy.unlink()"
    project.write("01_one", claim, work)
    project.write("02_two", "x = 1")
    project.both = project.book("execute", "--jobs", "2", **project.card)
    project.results_of_both = project.results()
    project.done = project.book("receipts", "--measure", **project.card)
    return project


def test_one_command_measures_and_keeps_the_receipt(measured):
    assert (measured.done.status, measured.done.stderr) == (0, "")
    file = measured.root / "book/data/receipts/quick-fake-h100.json"
    assert "Receipt: book/data/receipts/quick-fake-h100.json" in measured.done.stdout
    receipt = json.loads(file.read_text())
    assert (receipt["profile"], receipt["jobs"], receipt["driver"]) == ("quick", 1, "570.86.15")
    assert receipt["device"]["gpus"] == ["Fake H100, 81559 MiB"]
    assert list(receipt["notebooks"]) == ["01_one", "02_two"]
    one = receipt["notebooks"]["01_one"]
    assert one["claims"] == {"one.value": {"value": 0.5, "kind": "band", "bound": "between 0.4 and 0.6"}}
    assert one["seconds"] > 2.5
    assert receipts.read_all(Paths(measured.root)) == [receipt]


def test_memory_and_energy_of_the_card_are_measured_when_a_notebook_is_alone(measured):
    one, two = measured.results()["01_one"], measured.results()["02_two"]
    assert one["device_memory_mib"] == 600  # above what the card held before
    assert 60 * 2.5 <= one["device_energy_joules"] <= 60 * (one["seconds"] + 1)
    assert two["device_memory_mib"] == 0  # the card was as full before it


def test_they_are_not_known_when_notebooks_share_the_card(measured):
    assert measured.both.status == 0
    for result in measured.results_of_both.values():
        assert result["jobs"] == 2
        assert result["device_memory_mib"] is result["device_energy_joules"] is None


@pytest.fixture
def project(measured, tmp_path) -> Project:
    """A copy of the measured project to spoil, as this process sees it: on the fake card."""
    made = Project.__new__(Project)
    made.root, made.scratch, made.runs = tmp_path / "root", tmp_path / "scratch", []
    shutil.copytree(measured.root, made.root)
    return made


@pytest.fixture
def made(project, monkeypatch):
    """Make a receipt of a report, changed by the test."""
    monkeypatch.setattr(machine, "driver", lambda: "570.86.15")
    paths = Paths(project.root)
    report = project.report()

    def make(change=lambda report: None):
        changed = copy.deepcopy(report)
        change(changed)
        return receipts.make(paths, changed)

    make.paths = paths
    return make


def test_a_good_report_gives_the_receipt_that_is_there(made):
    assert [made()] == receipts.read_all(made.paths)


def of(report, name):
    return next(r for r in report["notebooks"] if r["name"] == name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["notebooks"].pop(), "did not run in the last build: 02_two"),
        (lambda r: of(r, "01_one").update(status="failed"), "did not end well: 01_one"),
        (lambda r: of(r, "01_one").update(status="interrupted"), "did not end well: 01_one"),
        (lambda r: of(r, "02_two")["parameters"].update(N=3), "set by hand: 02_two"),
        (lambda r: of(r, "02_two").update(profile="full"), "in another profile than quick: 02_two"),
        (lambda r: r.update(device=CPU), "on another machine or with other versions: 01_one, 02_two"),
        (lambda r: r["versions"].update(keras="0"), "on another machine or with other versions"),
        (lambda r: of(r, "02_two").update(jobs=2), "different numbers of jobs"),
        (lambda r: of(r, "02_two").update(jobs=None), "different numbers of jobs"),
    ],
)  # fmt: skip
def test_what_is_no_whole_good_measurement_is_refused(made, change, words):
    with pytest.raises(BookError) as refusal:
        made(change)
    assert words in str(refusal.value)
    assert str(refusal.value).endswith("run: python -m book receipts --measure.")


def test_a_notebook_that_changed_since_is_refused(project, made):
    project.edit("02_two", "x = 1", "x = 2")
    with pytest.raises(BookError, match="changed since they were executed: 02_two"):
        made()


def test_a_new_notebook_is_missed(project, made):
    project.write("03_three", "x = 1")
    with pytest.raises(BookError, match="did not run in the last build: 03_three"):
        made()


def test_every_notebook_of_a_cached_build_counts_with_its_own_date(made):
    def cached(report):
        of(report, "01_one").update(status="cached", date="2026-01-01")

    receipt = made(cached)
    assert receipt["notebooks"]["01_one"]["date"] == "2026-01-01"
    assert receipt["date"] == receipt["notebooks"]["02_two"]["date"]


@pytest.fixture
def command(main, monkeypatch):
    """The command line in this process, on whatever machine: the card is another test's business."""
    monkeypatch.setattr(receipts, "check_card", lambda: None)
    return main


# -- The command ---------------------------------------------------------------------------------------------------------


def test_without_a_build_there_is_no_receipt(tmp_path, command):
    empty = Project(tmp_path / "empty", tmp_path / "scratch2")
    done = command(empty, "receipts")
    assert done.status == 2
    assert_one_sentence(done, "no report", "--measure")
    assert not (empty.root / "book").exists()
    assert "no receipt yet" in command(empty, "receipts", "--show").stdout


def test_a_damaged_report_and_two_wishes_at_once_are_one_sentence(project, command):
    (project.build / "report.json").write_text("{")
    assert_one_sentence(command(project, "receipts"), "report.json", "cannot be read")
    assert_one_sentence(command(project, "receipts", "--show", "--measure"), "one of them")
    assert_one_sentence(command(project, "receipts", "--measure", "--profile", "fast"), "'fast'")


def test_a_measurement_that_fails_leaves_the_old_receipt(project, command):
    before = receipts.read_all(Paths(project.root))
    project.edit("02_two", "x = 1", "raise ValueError('no')")
    assert command(project, "receipts", "--measure").status == 1
    assert receipts.read_all(Paths(project.root)) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: re.sub(r'"seconds": [\d.]+', '"seconds": 1.0', text, count=1),
        lambda text: text.replace('"value": 0.5', '"value": 0.6'),
        lambda text: text.replace('"jobs": 1', '"jobs": 2'),
        lambda text: text.replace('"what"', '"why"'),
        lambda text: text[:-30],
        lambda text: "[]",
    ],
)
def test_an_edited_receipt_is_refused(project, edit, main):
    file = project.root / "book/data/receipts/quick-fake-h100.json"
    text = file.read_text()
    assert edit(text) != text
    file.write_text(edit(text))
    with pytest.raises(BookError, match=r"quick-fake-h100\.json' was edited or damaged"):
        receipts.read_all(Paths(project.root))
    assert_one_sentence(main(project, "receipts", "--show"), "edited or damaged")


def test_a_receipt_under_a_wrong_name_is_refused(project):
    file = project.root / "book/data/receipts/quick-fake-h100.json"
    file.rename(file.with_name("full-fake-h100.json"))
    with pytest.raises(BookError, match="another machine or profile than its name says"):
        receipts.read_all(Paths(project.root))


@pytest.mark.parametrize(
    ("device", "name"),
    [(CPU, "2-cores-amd-epyc"), (CARD, "nvidia-h100-80gb-hbm3"), ({**CARD, "gpus": CARD["gpus"] * 2}, "2x-nvidia-h100-80gb-hbm3")],
)  # fmt: skip
def test_a_machine_has_a_short_name(device, name):
    assert receipts.slug(device) == name


def test_a_card_that_is_not_used_gets_no_receipt_and_a_hidden_one_counts_as_none(project, monkeypatch, main):
    """Otherwise the times of a processor would stand under the name of a card."""
    monkeypatch.setenv("PATH", f"{project.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    broken = fake("tensorflow", "convolution", "raise RuntimeError('no cuDNN')")
    (project.root / "bin" / "tensorflow.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", f"{project.root / 'bin'}{os.pathsep}{REPOSITORY}")
    for ask in (machine.gpus, machine.driver):
        ask.cache_clear()
    try:
        assert machine.gpus() == ("Fake H100, 81559 MiB",)
        done = main(project, "receipts", "--measure")
        assert done.status == 2
        assert_one_sentence(done, "no cuDNN", "book doctor")
        for hidden in ("", "-1"):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
            machine.gpus.cache_clear()
            assert machine.gpus() == ()
    finally:
        monkeypatch.undo()
        for ask in (machine.gpus, machine.driver):
            ask.cache_clear()


# -- The meter -----------------------------------------------------------------------------------------------------------


def test_energy_is_power_over_time_and_memory_what_was_added():
    samples = meter.Samples([0.0, 1.0, 3.0], [1000.0, 5000.0, 2000.0], [100.0, 200.0, 200.0])
    assert samples.summary() == {"device_memory_mib": 4000.0, "device_energy_joules": 150 + 400}


@pytest.mark.parametrize(
    ("samples", "memory"),
    [(meter.Samples(), None), (meter.Samples([1.0], [10.0], [5.0]), 0), (meter.Samples([1.0, 2.0], [10.0, 30.0], [None, 5.0]), 20)],
)  # fmt: skip
def test_what_is_not_known_is_none(samples, memory):
    assert samples.summary() == {"device_memory_mib": memory, "device_energy_joules": None}


def test_cards_are_summed_and_a_card_without_power_makes_it_unknown():
    assert meter.read("1024, 71.5\n10, 20.25\n") == (1034, 91.75)
    assert meter.read("1024, [N/A]\n") == (1024, None)
    for nothing in ("", "No devices were found\n", "[N/A], 3\n"):
        with pytest.raises(ValueError, match=r".+"):
            meter.read(nothing)


@pytest.mark.parametrize("text", ["exit 9", "echo no", "sleep 0.1; exit 1"])
def test_a_failing_nvidia_smi_measures_nothing_and_harms_nothing(tmp_path, text):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    running = meter.Meter({"PATH": f"{tmp_path}:/usr/bin:/bin"}, seconds=0.05).start()
    assert running.stop() == {"device_memory_mib": None, "device_energy_joules": None}
    assert meter.Meter({"PATH": str(tmp_path / "none")}).start().stop()["device_memory_mib"] is None


def test_only_the_chosen_cards_are_read(tmp_path):
    (tmp_path / "nvidia-smi").write_text('#!/bin/sh\ncase "$*" in *--id=1*) echo "5, 1";; *) echo "7, 1";; esac\n')
    (tmp_path / "nvidia-smi").chmod(0o755)
    for visible, memory in (("1", 5), ("", 7), ("-1", 7)):
        running = meter.Meter({"PATH": f"{tmp_path}:/bin", "CUDA_VISIBLE_DEVICES": visible}, seconds=9).start()
        running.stop()
        assert set(running._samples.memory_mib) == {memory}


# -- The page ------------------------------------------------------------------------------------------------------------


def receipt(device, profile="quick", value=0.5, bound="between 0.4 and 0.6", kind="band", **more):
    made = {"date": "2026-01-02", "seconds": 12.4, "peak_memory_mib": 1234.5, "device_memory_mib": None, "device_energy_joules": None,
            "claims": {"a.b": {"value": value, "kind": kind, "bound": bound}}, **more}  # fmt: skip
    return {"date": "2026-01-02", "profile": profile, "jobs": 1, "device": device, "driver": "570" if device["gpus"] else None,
            "versions": {"python": "3.11.7"}, "notebooks": {"05_mnist": made}}  # fmt: skip


def cells(html: str) -> list[list[str]]:
    rows = BeautifulSoup(html, "html.parser").select("tr")
    return [[cell.get_text() for cell in row.select("th, td")] for row in rows]


def test_machines_stand_side_by_side_and_what_is_missing_is_open():
    card = receipt(CARD, device_memory_mib=4000.0, device_energy_joules=7200.0)
    head, mnist, cnn, total = cells(receipts_page.side_by_side([receipt(CPU), card], ["05_mnist", "06_augmented_cnn"]))
    assert head == [
        "notebook",
        "quick: 2 cores of AMD EPYC",
        "quick: NVIDIA H100 80GB HBM3",
        "full: a machine with a graphics card",
    ]
    assert mnist[1:] == ["12 s, 1,234 MiB", "12 s, 1,234 MiB, 4,000 MiB on the card, 2.00 Wh", receipts_page.OPEN]
    assert cnn[1:] == total[1:] == [receipts_page.OPEN] * 3
    assert cells(receipts_page.side_by_side([receipt(CPU)], ["05_mnist"]))[-1][1] == "12 s, at most 1,234 MiB"


def test_without_receipts_everything_is_open():
    head, mnist, _ = cells(receipts_page.side_by_side([], ["05_mnist"]))
    assert len(head) == 4
    assert mnist[1:] == [receipts_page.OPEN] * 3
    assert receipts_page.machines([]) == "There is no receipt yet."
    assert "nothing to compare" in receipts_page.differences([], ledger.Ledger())


def test_the_opening_of_a_chapter_says_what_it_took_by_profile_and_machine():
    card = receipt(CARD, profile="full", device_memory_mib=4000.0)
    assert receipts_page.opening([receipt(CPU), card], "05_mnist") == [
        ("Measured, profile quick",
         "2 cores of AMD EPYC: 12 s, 1,234 MiB; a machine with a graphics card: open: not yet measured"),
        ("Measured, profile full", "NVIDIA H100 80GB HBM3: 12 s, 1,234 MiB, 4,000 MiB on the card"),
    ]  # fmt: skip
    other = dict(receipts_page.opening([receipt(CPU, profile="full")], "06_augmented_cnn"))
    assert other["Measured, profile quick"].count(receipts_page.OPEN) == 2
    assert other["Measured, profile full"].startswith(f"2 cores of AMD EPYC: {receipts_page.OPEN}; a machine with a")


@pytest.mark.parametrize("path", sorted(Paths(REPOSITORY).notebooks.glob("*.ipynb")), ids=lambda p: p.stem)
def test_the_opening_table_of_every_chapter_takes_the_rows(path):
    before = nbformat.read(path, as_version=4).cells[0].source
    after = receipts_page.with_opening(before, [("Measured", "in a <shop> | 3 s")])
    assert not re.search(rf"\*\* *\| *{receipts_page.OPEN} *\|", after)
    head, _, tail = after.rpartition("\n| **Measured** | in a &lt;shop&gt; &#124; 3 s |")
    assert head.splitlines()[-1].startswith("| **Time on")
    kept = [line for line in before.splitlines() if f"| {receipts_page.OPEN} |" not in line]
    assert f"{head}{tail}".splitlines() == kept


def test_a_chapter_without_a_table_stays_as_it_is():
    assert receipts_page.with_opening("# Title\n\nText.", [("Measured", "1 s")]) == "# Title\n\nText."


@pytest.mark.parametrize(
    ("bound", "kind", "one", "other", "shown"),
    [
        ("between 0.4 and 0.6", "band", 0.5, 0.519, False),
        ("between 0.4 and 0.6", "band", 0.5, 0.521, True),
        ("between -1 and 1e-05", "band", 0.0, -0.11, True),
        ("between 10,000 and 20,000", "band", 15_000.0, 15_900.0, False),
        ("between 10,000 and 20,000", "band", 15_000.0, 16_100.0, True),
        ("at least 0.9", "band", 0.95, 0.9553, False),  # a tenth of the room above 0.9
        ("at least 0.9", "band", 0.95, 0.96, True),
        ("exactly 3", "equal", 3, 3, False),
        ("every one of 3 paired differences above 0", "order", [1.0], [5.0], False),
    ],
)  # fmt: skip
def test_claims_that_differ_by_a_tenth_of_their_band_are_listed(bound, kind, one, other, shown):
    pair = [receipt(CPU, value=one, bound=bound, kind=kind), receipt(CARD, value=other, bound=bound, kind=kind)]
    page = receipts_page.differences(pair, ledger.Ledger())
    assert ("a.b" in page) == shown
    if not shown:
        assert "No claim differs" in page


def test_profiles_are_not_compared_with_each_other():
    pair = [receipt(CPU, value=0.41), receipt(CARD, profile="full", value=0.59)]
    assert "nothing to compare" in receipts_page.differences(pair, ledger.Ledger())


def test_the_digest_of_the_code_is_what_the_executed_copy_says(project):
    """The receipt trusts this to tell a current measurement from an old one."""
    source = nbformat.read(project.path("01_one"), as_version=4)
    assert cache.is_current(Paths(project.root), source, project.executed("01_one"))
