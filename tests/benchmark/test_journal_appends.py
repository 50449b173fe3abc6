"""The append benchmark measures what it says, on real servers."""

from __future__ import annotations

import json

import pytest

from benchmark import journal_appends

pytestmark = pytest.mark.integration


def test_it_times_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert journal_appends.main(["--rounds", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"always_ms", "everysec_ms"}
    assert all(value > 0 for value in figures.values())
