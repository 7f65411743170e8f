"""`lab.timeline.page`: one file that needs nothing else, and runs nothing that a test brings in."""

import re
from html.parser import HTMLParser

import pytest

from lab.timeline import page
from lab.timeline.chart import Bar, Failure, Group, Mark, Row, Run

HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;{title}%s\x1b[31m"""
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "span", "dl", "div",
    "dt", "dd", "section", "p", "i", "b", "u", "a", "ol", "li", "pre", "details", "summary",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
EMPTY = {"meta"}
ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "class", "style", "title", "href", "id"
}  # fmt: skip


class Reader(HTMLParser):
    """Reads a page as a browser does: what stands in it, and whether all is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        told = dict(attrs)
        self.links += [told["href"] or ""] if "href" in told else []
        self.ids += [told["id"] or ""] if "id" in told else []
        self.titles += [told["title"] or ""] if "title" in told else []
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def run(words: str = "test_it", failures: int = 1) -> Run:
    """A run in which every text is *words*."""
    bars = (
        Bar(words, 0, 5, Mark.PASSED, words, short=words),
        Bar(words, 5, 7, Mark.FAILED, words, page.anchor(1)),
    )
    failing = tuple(Failure(words, words, ((words, words),), words) for _ in range(failures))
    groups = (Group(words, (Row(words, bars),)),)
    return Run(words, words, bool(failures), ((words, words),), groups, failing)


def test_a_page_needs_nothing_else():
    read = Reader(page.render(run()))

    assert read.tags <= TAGS
    assert read.attributes <= ATTRIBUTES
    assert all(link.startswith("#") for link in read.links)
    assert "url(" not in page.render(run())
    assert "@import" not in page.render(run())


def test_a_page_forbids_the_browser_to_fetch_or_run_anything():
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; """
    assert policy + """style-src 'unsafe-inline'">""" in page.render(run())


def test_what_a_test_calls_itself_is_text_wherever_it_stands():
    read = Reader(page.render(run(HOSTILE)))

    assert read.tags <= TAGS
    assert read.attributes <= ATTRIBUTES
    assert all(link.startswith("#") for link in read.links)
    assert read.text.count("<script>alert(1)</script>") >= 10
    assert any(HOSTILE in title for title in read.titles)


def test_a_link_stays_in_its_attribute():
    bar = Bar("b", 0, 1, Mark.FAILED, link=HOSTILE)
    read = Reader(page.render(Run("r", "1 failed", True, (), (Group("g", (Row("r", (bar,)),)),))))

    assert read.links == ["#" + HOSTILE]
    assert read.tags <= TAGS


def test_what_was_printed_stands_there_without_the_colours_of_a_terminal():
    told = Run("r", "1 failed", True, (), (), (Failure("t", "\x1b[31mred\x1b[0m", ()),))

    assert "<pre>red</pre>" in page.render(told)


def test_every_failure_can_be_reached_and_each_link_leads_somewhere():
    read = Reader(page.render(run(failures=3)))

    assert read.ids == ["failure-1", "failure-2", "failure-3"]
    assert {link.removeprefix("#") for link in read.links} == set(read.ids)


def test_a_run_without_failures_says_nothing_of_any():
    text = page.render(run(failures=0))

    assert "What failed" not in text
    assert 'class="verdict passed"' in text


def test_a_run_in_which_nothing_happened_is_a_page_too():
    Reader(page.render(Run("r", "no tests", False, (), ())))


def test_a_thousand_tests_are_a_page_of_bearable_size():
    bars = tuple(Bar(f"t.py::test_{n}", n, n + 1, Mark.PASSED, "passed") for n in range(1000))
    text = page.render(Run("r", "1000 passed", False, (), (Group("Tests", (Row("gw0", bars),)),)))

    assert len(text) < 600_000
    assert "All 1000, the longest first" in text


@pytest.mark.parametrize(
    ("why", "line"),
    [
        ("def test():\n>  assert x\nE  AssertionError: no\nt.py:3", "AssertionError: no"),
        ("[gw0] linux -- Python 3.11.7\ndidn't come up\nlog: x", "didn't come up"),
        ("worker 'gw0' crashed", "worker 'gw0' crashed"),
        ("lab theirs didn't come up: etcd\nhint: mend it", "lab theirs didn't come up: etcd"),
        ("", ""),
    ],
)
def test_the_list_of_failures_says_why_in_one_line(why: str, line: str):
    text = page.render(Run("r", "1 failed", True, (), (), (Failure("t", why),)))

    (found,) = re.findall(r"<li>.*?<span>(.*?)</span></li>", text)
    assert found == line.replace("'", "&#x27;")
