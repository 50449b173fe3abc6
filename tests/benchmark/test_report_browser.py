"""The report in a real browser: no complaint, no request, nothing hostile alive; filter, sort, schemes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.policy import POLICIES
from benchmark.report.__main__ import main
from tests.benchmark.report_runs import HOSTILE, make_run
from tests.support.chromium import Page, chromium

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH (apt-get install chromium)"),
]
MODEL = "<img src=//evil.invalid/m onerror=alert(2)>"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    more = {"code": lambda *_: HOSTILE, "statement": HOSTILE, "model": MODEL}
    runs = [
        make_run(root / name, POLICIES[name], 8, errors=(1,), compared=name == "D", **more)
        for name in ("A", "D")
    ]
    assert main([*map(str, runs), "--out", str(root)]) == 0
    return root / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_a_complaint_a_request_or_anything_alive(file: Path, page: Page, dark: bool) -> None:
    page.open(file, dark=dark, width=390)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.requests == [file.as_uri()]
    assert (page.complaints, page.dialogs) == ([], [])
    assert page.evaluate("document.title").startswith(MODEL)
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390  # a phone need not scroll sideways
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown = page.evaluate("document.images[0].currentSrc === document.images[0].src")
    assert light == shown == (not dark)


@pytest.mark.parametrize("dark", [False, True])
def test_cells_of_a_comparison_can_be_told_apart_with_and_without_eyes(
    file: Path, page: Page, dark: bool
) -> None:
    page.open(file, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    cells = "[...document.querySelectorAll('table.matrix td.cell')]"
    assert page.evaluate(f"{cells}.length") > 0
    assert page.evaluate(f"{cells}.every((each) => each.querySelector('.hidden').textContent.length > 4)")
    colours = "new Set(%s.map((each) => getComputedStyle(each).backgroundColor)).size"
    assert page.evaluate(colours % cells) >= 3


def test_tasks_can_be_filtered_and_tables_sorted(file: Path, page: Page) -> None:
    page.open(file)
    shown = "document.querySelectorAll('details.task:not([hidden])').length"
    assert page.evaluate(shown) == 8
    choose = (
        "{ const e = document.getElementById('%s'); e.value = '%s'; e.dispatchEvent(new Event('input')); }"
    )
    page.evaluate(choose % ("show", "errors"))
    assert page.evaluate(shown) == 1
    page.evaluate(choose % ("show", ""))
    page.evaluate(choose % ("find", "ABC303"))
    assert page.evaluate(shown) == 1
    rates = (
        "[...document.querySelectorAll('#result tbody tr')].map((row) => row.cells[0].innerText[0]).join('')"
    )
    page.evaluate("document.querySelectorAll('#result thead button')[3].click()")
    assert page.evaluate(rates) == "DA"
    page.evaluate("document.querySelectorAll('#result thead button')[3].click()")
    assert page.evaluate(rates) == "AD"
    assert page.complaints == []


def test_a_link_to_a_task_opens_it(file: Path, page: Page) -> None:
    page.open(file)
    page.evaluate("location.hash = '#task-3'")
    assert page.evaluate(
        "new Promise((done) => setTimeout(() => done(document.getElementById('task-3').open)))"
    )
