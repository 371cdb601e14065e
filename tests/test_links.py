"""References: their form is judged offline; whether they answer, on a server of this machine."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from book import BookError, links
from book.links import Answer, Link
from book.paths import Paths


def faults(kind: str, value: str, text: str = "") -> list[str]:
    return links.problems([Link("here", kind, value, text)])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("doi", "10.1038/323533a0"),
        ("doi", "10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"),
        ("arxiv", "1706.03762"),
        ("arxiv", "0704.0001v2"),
        ("arxiv", "cs.LG/0401001"),
        ("isbn", "9780262035613"),
        ("isbn", "978-0-471-75451-0"),
        ("isbn", "0-306-40615-2"),
        ("isbn", "080442957X"),
        ("url", "https://d2l.ai"),
        ("url", "https://example.org/a_(b)?c=d#e"),
    ],
)
def test_what_is_well_formed_passes(kind, value):
    assert faults(kind, value) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("doi", "https://doi.org/10.1038/323533a0"),
        ("doi", "10.1038"),
        ("doi", "10.1038/32 35"),
        ("doi", "11.1038/323533a0"),
        ("arxiv", "arXiv:1706.03762"),
        ("arxiv", "1713.03762"),
        ("arxiv", "1700.03762"),
        ("arxiv", "1706.037"),
        ("isbn", "9780262035614"),  # another check digit
        ("isbn", "9780622035613"),  # two digits exchanged
        ("isbn", "978026203561"),
        ("isbn", "9770262035613"),
        ("isbn", "0-306-40615-3"),
        ("isbn", ""),
        ("url", "http://d2l.ai"),
        ("url", "d2l.ai"),
        ("url", "https://"),
        ("url", "https://localhost"),
        ("url", "https://d2l.ai/a b"),
        ("url", "https://[d2l.ai"),
        ("url", "ftp://d2l.ai"),
    ],
)
def test_what_is_malformed_is_one_sentence_that_names_place_and_value(kind, value):
    (fault,) = faults(kind, value)
    assert fault.startswith("here: ")
    assert value in fault
    assert "\n" not in fault


def test_every_digit_of_an_isbn_counts():
    for k in range(13):
        for more in range(1, 10):
            digits = list("9780262035613")
            digits[k] = str((int(digits[k]) + more) % 10)
            assert not links.isbn_is_valid("".join(digits)), (k, more)


@pytest.mark.parametrize(
    ("text", "target", "count"),
    [
        ("numpy.org", "https://numpy.org", 0),
        ("https://www.numpy.org/", "https://numpy.org", 0),
        ("NumPy", "https://numpy.org", 0),
        ("version 1.0", "https://numpy.org", 0),
        ("numpy.org/doc/)", "https://numpy.org/doc/", 1),
        ("numpy.org", "https://numpy.com", 1),
    ],
)
def test_a_link_that_shows_an_address_leads_there(text, target, count):
    assert len(faults("url", target, text)) == count


BIB = """@book{one, title={T}, author={A, B}, year={2000}, isbn={9780262035613}, url={https://a.org}}
@misc{two, title={T}, author={A, B}, year={2000}, eprint={1706.03762}, doi={10.1000/1}}
"""


@pytest.fixture
def project(tmp_path):
    paths = Paths(tmp_path)
    paths.data.mkdir(parents=True)
    paths.pages.mkdir()
    (paths.data / "references.bib").write_text(BIB)
    (paths.pages / "p.md").write_text("See [b.org](https://b.org), and [c](notebooks/c.md).\n")
    return paths


def test_links_come_from_the_bibliography_from_pages_and_from_who_else_has_some(project):
    found = links.collect(project, [Link("x", "url", "https://x.org")])
    assert {(link.where, link.kind, link.value) for link in found} == {
        ("one", "isbn", "9780262035613"), ("one", "url", "https://a.org"), ("two", "arxiv", "1706.03762"),
        ("two", "doi", "10.1000/1"), ("p.md", "url", "https://b.org"), ("x", "url", "https://x.org"),
    }  # fmt: skip


def test_a_broken_bibliography_is_one_clear_error(project):
    (project.data / "references.bib").write_text("@book{one, title={T}")
    with pytest.raises(BookError, match=r"references\.bib") as caught:
        links.references(project)
    assert "\n" not in str(caught.value)


# --- liveness --------------------------------------------------------------------------------------------------------


class Site(BaseHTTPRequestHandler):
    """Answers with the status that the path names; 'head' refuses HEAD, 'slow' waits, 'noise' is no HTTP."""

    asked: list[tuple[str, str]]

    def do_HEAD(self):
        self.asked.append((self.command, self.path))
        name = self.path.strip("/").split("/")[0]
        if name == "slow":
            self.server.over.wait(20)
        elif name == "noise":
            self.wfile.write(b"hello\r\n\r\n")
        elif name == "head":
            self.reply(405 if self.command == "HEAD" else 200)
        elif name == "moved":
            self.reply(302, "/200")
        elif name == "doi":
            self.reply(302 if "/10.1/" in self.path else 404, "/403")
        else:
            self.reply(int(name))

    do_GET = do_HEAD

    def reply(self, status, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = type("Handler", (Site,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.over = True, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.base = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def ask(site, *names: str, **options) -> list[Answer]:
    return links.ask([Link(name, "url", f"{site.base}/{name}") for name in names], **options)


def test_the_dead_are_told_from_the_living_and_from_those_that_refuse_a_program(site):
    answers = ask(site, "200", "404", "410", "403", "429", "401", "500", "503", "head", "moved")
    found, network = links.verdict(answers)
    assert network
    assert [line.split(":")[0] for line in found] == ["404", "410", "500", "503"]
    assert all("\n" not in line for line in found)
    assert f"{site.base}/404 answers 404" in found[0]


def test_an_address_is_asked_once_and_read_only_if_its_head_is_refused(site):
    ask(site, "200", "200", "head")
    assert sorted(site.RequestHandlerClass.asked) == [("GET", "/head"), ("HEAD", "/200"), ("HEAD", "/head")]


def test_a_doi_lives_if_its_registry_knows_the_way_whatever_the_publisher_says(site):
    listed = [Link("good", "doi", "10.1/a"), Link("bad", "doi", "10.2/b"), Link("book", "isbn", "9780262035613")]
    answers = links.ask(listed, resolvers={"doi": f"{site.base}/doi/"})
    assert [(answer.link.where, answer.status, answer.dead) for answer in answers] == [
        ("good", 302, False),
        ("bad", 404, True),
    ]


def closed() -> str:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{place.getsockname()[1]}"


def test_a_server_that_is_silent_slow_or_speaks_no_http_is_a_problem_while_others_answer(site):
    answers = ask(site, "200", "slow", "noise", seconds=0.5) + links.ask([Link("gone", "url", closed())])
    found, network = links.verdict(answers)
    assert network
    assert [line.split(":")[0] for line in found] == ["slow", "noise", "gone"]
    assert all("does not answer" in line for line in found)


def test_without_a_network_no_link_is_at_fault(site):
    answers = links.ask([Link("a", "url", closed()), Link("b", "url", "http://nowhere.invalid")], seconds=5)
    assert links.verdict(answers) == ([], False)
    assert links.verdict([]) == ([], True)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_checks_the_form_and_says_how_many(project, capsys):
    from book.__main__ import main

    assert main(["--root", str(project.root), "links"]) == 0
    assert "5 references are well formed" in capsys.readouterr().out
    (project.data / "references.bib").write_text(BIB.replace("035613", "035614").replace("1706.", "1713."))
    assert main(["--root", str(project.root), "links"]) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 2
    assert all(line.startswith("book: ") for line in complaints)


def test_the_command_without_a_network_says_so_and_succeeds(project, capsys, monkeypatch):
    from book.__main__ import main

    monkeypatch.setattr(links, "_ask", lambda link, address, seconds: Answer(link, address, None, "no such host"))
    assert main(["--root", str(project.root), "links", "--live"]) == 0
    assert "no network" in capsys.readouterr().out


def test_the_command_names_the_dead_one_a_line(project, capsys, monkeypatch):
    from book.__main__ import main

    monkeypatch.setattr(
        links, "_ask", lambda link, address, seconds: Answer(link, address, 404 if "a.org" in address else 200)
    )
    assert main(["--root", str(project.root), "links", "--live"]) == 1
    out, err = capsys.readouterr()
    assert "4 addresses asked, 1 of them dead or silent" in out
    assert err.splitlines() == ["book: one: https://a.org answers 404"]


def test_no_patience_is_refused(project, capsys):
    from book.__main__ import main

    assert main(["--root", str(project.root), "links", "--seconds", "0"]) == 2
    assert "--seconds 0" in capsys.readouterr().err
