"""The report's two pages: nothing from outside, nothing hostile alive, tables that are tables."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.policy import POLICIES
from atlas.story_words import escaped
from benchmark.report import plots
from benchmark.report.content import PairRow, Report
from benchmark.report.drawing import draw
from benchmark.report.gather import gather
from benchmark.report.pages import html_page, markdown_page
from benchmark.results import load_runs
from tests.benchmark.report_runs import HOSTILE, make_run

BAD_NAME = "<img src=//evil.invalid/m onerror=alert(2)>|`$x_1$`"
OURS = {
    *(
        "a",
        "body",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
    ),
    *("head", "header", "html", "img", "input", "label", "li", "link", "main", "meta", "nav", "ol", "option"),
    *(
        "output",
        "p",
        "picture",
        "pre",
        "rect",
        "script",
        "section",
        "select",
        "source",
        "span",
        "strong",
        "style",
    ),
    *("summary", "svg", "table", "tbody", "td", "th", "thead", "title", "tr", "ul"),
}
VOID = {"img", "input", "link", "meta", "rect", "source"}


class Parsed(HTMLParser):
    """Collects elements, attributes and text, and sees that what opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.inline: dict[str, str] = {}
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.inline[self.open[-1]] = data
        else:
            self.texts.append(data)
        if "td" in self.open:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("hostile")
    more = {"code": lambda *_: HOSTILE, "statement": HOSTILE, "model": BAD_NAME}
    runs = [make_run(root / name, POLICIES[name], 6, errors=(1,), **more) for name in ("A", "D")]
    return gather(load_runs(runs))


@pytest.fixture(scope="module")
def page(hostile: Report) -> Parsed:
    return Parsed(html_page(hostile, "made by a test"))


def test_only_elements_of_ours_and_no_handler(page: Parsed) -> None:
    assert set(page.tags) <= OURS
    assert page.open == []
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert not [each for each in page.attributes if each[1].startswith("on") or each[1] == "style"]


def test_nothing_is_fetched(page: Parsed) -> None:
    fetched = [value for _, name, value in page.attributes if name in ("src", "srcset", "href")]
    assert fetched
    assert all(value.startswith(("#", "data:image/svg+xml;base64,", "data:,")) for value in fetched)
    assert not re.search(r"@import|url\(", page.inline["style"])


def test_the_policy_allows_this_style_and_this_script_only(page: Parsed) -> None:
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_hostile_programs_are_shown_as_text(page: Parsed) -> None:
    text = "".join(page.texts)
    assert "</script></style></pre><script>alert(1)</script>" in text
    assert r"\x1b[2J\u202e\x00" in text
    assert not {"\x1b", "\u202e", "\x00"} & set(text)
    assert "{{ 7*7 }}" in text
    assert BAD_NAME in text


def test_every_plot_has_both_schemes_a_text_alternative_and_a_caption_with_n(
    hostile: Report, page: Parsed
) -> None:
    names = {plot.name for plot in hostile.plots}
    assert names == {"pass-rates", "tokens", "rescue", "origins", "reliability", "stages"}
    assert page.tags.count("picture") == page.tags.count("figcaption") == len(names)
    assert sum(value == "(prefers-color-scheme: dark)" for _, _, value in page.attributes) == len(names)
    for plot in hostile.plots:
        assert plot.alt
        assert re.search(r"\bn = \d|result|of \d", plot.caption), plot.caption
        for svg in (plot.light, plot.dark):
            ElementTree.fromstring(svg)
            assert "<text" in svg
            assert not re.search(r'(?:href|src)="(?!#)', svg)


def test_links_lead_to_tasks_that_are_there(page: Parsed) -> None:
    ids = {value for _, name, value in page.attributes if name == "id"}
    links = {value[1:] for _, name, value in page.attributes if name == "href" and value.startswith("#")}
    assert links <= ids


def test_markdown_tables_keep_their_columns_whatever_names_hold(hostile: Report) -> None:
    text = markdown_page(
        hostile, "made", "report.html", {plot.name: f"{plot.name}.svg" for plot in hostile.plots}
    )
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table
    assert "<img" not in text
    assert "\x1b" not in text


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=200))
def test_any_text_comes_out_of_both_pages_as_text(text: str) -> None:
    report = bare(text)
    parsed = Parsed(html_page(report, "made"))
    assert set(parsed.tags) <= OURS
    assert parsed.cells[parsed.cells.index("x y") + 1] == escaped(text)
    lines = markdown_page(report, "made", "h", {}).splitlines()
    (row,) = [line for line in lines if line.startswith("| x y")]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 10


def bare(text: str) -> Report:
    """A report with nothing in it but one pair, whose second name is the text."""
    pair = PairRow(
        a="x y",
        b=text,
        n=1,
        difference=0,
        interval=(0, 0),
        p_value=1,
        p_method="m",
        a_only=0,
        b_only=0,
        both=1,
        neither=0,
        detectable=None,
        power="",
    )
    empty: dict[str, object] = dict.fromkeys(
        ("lead", "warnings", "facts", "commands", "conditions", "secondary", "breakdowns", "listings"), ()
    )
    empty |= dict.fromkeys(("costs", "parts", "plots", "tasks"), ())
    return Report.model_validate(
        {**empty, "title": "t", "pairs": (pair,), "secondary_note": "", "tasks_note": ""}
    )


def test_a_dollar_is_a_dollar_and_a_strange_letter_no_warning() -> None:
    curve = plots.Curve(
        label="$x^2$ 漢字 <&>", n=3, tokens=(0, 10), solved=(0, 0.5), low=(0, 0.2), high=(0, 0.8)
    )
    plot = plots.tokens_curve([curve])
    assert plot is not None
    assert "$x^2$" in "".join(ElementTree.fromstring(plot.light).itertext())


def test_plots_of_nothing_are_no_plots() -> None:
    assert plots.pass_rates([]) is plots.tokens_curve([]) is plots.rescue_and_loss([]) is None
    assert plots.origins([]) is plots.reliability([]) is plots.stages([]) is None


def test_light_and_dark_differ_in_colours_only() -> None:
    plot = draw("p", "t", "c", "a", lambda axes, theme: axes[0].plot([0, 1], color=theme.good) and None)
    assert plot.light != plot.dark
    marks = re.compile(r"#[0-9a-f]{6}|[mp][0-9a-f]{10}")  # colours, and ids that are hashes of what is drawn
    assert marks.sub("", plot.light) == marks.sub("", plot.dark)
