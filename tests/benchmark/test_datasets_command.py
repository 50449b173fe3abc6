"""`python -m benchmark.datasets`: what a selection holds, as a table and as JSON."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from benchmark.datasets.__main__ import main
from benchmark.datasets.catalogue import NAMES

DOCUMENT = Path(__file__).parents[2] / "docs" / "DATASETS.md"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of this machine's."""
    for name in [name for name in os.environ if name.startswith("ATLAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_json_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--limit", "5", "--json"]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out.splitlines()[-1])
    assert (shown["tasks"], shown["label"]) == (5, "bundled, first 5")
    assert sum(shown["kinds"].values()) == sum(shown["difficulties"].values()) == 5
    assert shown["hidden_tests"] > 5
    assert shown["files"][0]["rows"] > 5
    assert "5 tasks" in err


def test_what_is_left_out_or_odd_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = [{"input": "1", "output": "1"}]
    rows = [
        {"id": "abc337_e", "statement": "Converse.", "tests": test, "date": "2024-01-20"},
        {"id": "undated", "statement": "Copy.", "tests": test},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["--dataset", str(path), "--since", "2024-01-01"]) == 0
    out, _ = capsys.readouterr()
    assert "odd: abc337_e: interactive: the program has to converse" in out
    assert "left out: undated: it has no date" in out


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "nowhere.jsonl"]) == 1
    assert "no data set 'nowhere.jsonl'" in capsys.readouterr().err
    for wrong in (["--limit", "0"], ["--choose-seed", "1"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2


def test_every_data_set_is_documented() -> None:
    text = DOCUMENT.read_text()
    headings = {name for line in re.findall(r"^## (.+)$", text, re.M) for name in line.split(", ")}
    assert set(NAMES) - headings == {"plain"}, "which is 'A file of your own'"


def test_the_documents_commands_parse(capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"^python -m benchmark\.datasets(.*)$", DOCUMENT.read_text(), re.M)
    assert lines
    for line in lines:
        with pytest.raises(SystemExit) as caught:
            main([*shlex.split(line), "--help"])
        assert caught.value.code == 0
