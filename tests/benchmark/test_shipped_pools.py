"""The packed samples in benchmark/data/pools are whole, of the tasks they say, and go back as written."""

from __future__ import annotations

import json
import lzma
import re
import shlex
from pathlib import Path

import pytest

from benchmark.datasets.selection import from_mapping, load
from benchmark.deep_pool import deep, parse
from benchmark.grades import ProgramGrade
from benchmark.pack_pool import read_packed
from benchmark.recorded.completions import sha256
from benchmark.run_store import content_sha256
from tests.support.shared_data import SHARED

REPO = Path(__file__).parents[2]
POOLS = REPO / "benchmark" / "data" / "pools"
SLICES = json.loads((POOLS / "slices.json").read_text())
FILES = sorted(POOLS.glob("*.jsonl.xz"))
DATA = {
    "report": ("lcb_official", "humaneval_plus", "mbpp_plus"),
    "train": ("lcb_statements", "mbpp_plus"),
}


def slice_of(file: Path) -> str:
    return file.name.partition("-")[2].partition(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_is_whole_and_of_its_slice(file: Path) -> None:
    packed, rows = read_packed(file)
    assert len(rows) == packed.choices > 0
    assert packed.recording.ids_sha256 == sha256(json.dumps(sorted(SLICES[slice_of(file)])))
    assert packed.recording.tasks == len(SLICES[slice_of(file)])
    assert all(row.recorded.choice.span is None for row in rows)


@pytest.mark.parametrize("file", sorted((POOLS / "grades").glob("*")), ids=lambda file: file.name)
def test_grades_are_of_a_packed_slices_tasks(file: Path) -> None:
    assert POOLS / file.name in FILES
    with lzma.open(file) as lines:
        grades = [ProgramGrade.model_validate_json(line) for line in lines]
    assert len({(grade.task, grade.program_sha256) for grade in grades}) == len(grades) > 0
    assert {grade.task for grade in grades} <= set(SLICES[slice_of(file)])


def test_no_task_is_in_two_slices() -> None:
    tasks = [task for ids in SLICES.values() for task in ids]
    assert len(tasks) == len(set(tasks)) > 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_they_were_drawn_from_the_data_as_it_is_read_now(file: Path, tmp_path: Path) -> None:
    """Else `--frozen` would refuse them."""
    files = [SHARED / f"{name}.jsonl" for name in DATA[slice_of(file).partition("-")[0]]]
    if not all(path.is_file() for path in files):
        pytest.skip(f"no data in {SHARED}: set SHARED_DATA to where it is")
    asked = {"dataset": [str(path) for path in files], "ids": f"{POOLS / 'slices.json'}#{slice_of(file)}"}
    loaded = load(from_mapping(asked), tmp_path)
    recording = read_packed(file)[0].recording
    assert content_sha256(loaded.tasks) == recording.dataset_sha256
    assert loaded.selection.label == recording.dataset


def test_the_written_command_asks_for_what_was_recorded() -> None:
    text = (REPO / "docs" / "SELECTION.md").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^python -m benchmark\.deep_pool (.* --frozen)$", text, re.MULTILINE)
    options, selection = parse(shlex.split(command))
    (unpacking,) = re.findall(r"^python -m benchmark\.pack_pool (\S+) (\S+) --unpack$", text, re.MULTILINE)
    assert str(options.pool) == unpacking[0]
    recording = read_packed(REPO / unpacking[1])[0].recording
    assert selection.label == recording.dataset
    policy = deep(options).changes
    assert policy["k"] == recording.k
    assert policy["max_tokens"] == recording.max_tokens
    assert options.seed == recording.seed
