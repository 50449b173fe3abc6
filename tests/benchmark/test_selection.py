"""Which tasks of which data sets: filters, lists of ids, options, plans, and what is told of the files."""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.contracts import Example
from atlas.errors import BadInput
from benchmark.datasets.id_lists import read_ids
from benchmark.datasets.selection import Selection, add_options, from_mapping, from_options, load
from tests.support.shared_data import SHARED


def row(name: str, day: str | None = "2024-01-20") -> dict[str, Any]:
    test = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
    return {
        "question_id": name,
        "question_content": "Print twice the number.",
        "contest_date": day,
        "public_tests": [],
        "private_tests": [test],
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def ids(selection: Selection, data_dir: Path) -> list[str]:
    return [task.id for task in load(selection, data_dir).tasks]


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    first = write(tmp_path / "a.jsonl", *(row(f"a{i}", f"2024-0{i}-01") for i in range(1, 7)))
    second = write(tmp_path / "b.jsonl", row("b1", None), row("b2", "2024-03-01"))
    return [str(first), str(second)]


# ---------------------------------------------------------------- choosing


def test_several_data_sets_come_one_after_the_other(two: list[str], tmp_path: Path) -> None:
    wanted = ["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2"]
    assert ids(from_mapping({"dataset": two}), tmp_path) == wanted
    assert ids(from_mapping({"dataset": ",".join(two)}), tmp_path) == wanted
    assert ids(from_mapping({"dataset": two, "limit": 7}), tmp_path) == wanted[:7]


def test_a_window_includes_both_its_days_and_names_what_has_no_date(two: list[str], tmp_path: Path) -> None:
    loaded = load(from_mapping({"dataset": two, "since": "2024-02-01", "until": date(2024, 3, 1)}), tmp_path)
    assert [task.id for task in loaded.tasks] == ["a2", "a3", "b2"]
    assert loaded.excluded == {"b1": "it has no date, and a window was asked for"}


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_a_random_choice_grows_with_its_limit_and_keeps_the_datas_order(seed: int, limit: int) -> None:
    some, more = (ids(Selection(limit=n, choose_seed=seed), Path("none")) for n in (limit, limit + 3))
    assert len(some) == limit
    assert set(some) < set(more)
    every = ids(Selection(), Path("none"))
    assert more == [name for name in every if name in more]


def test_what_was_read_is_told(two: list[str], tmp_path: Path) -> None:
    loaded = load(from_mapping({"dataset": two, "limit": 1}), tmp_path)
    first, second = loaded.sources
    assert (first.file, first.rows, first.revision) == ("a.jsonl", 6, None)
    assert first.sha256 == hashlib.sha256(Path(two[0]).read_bytes()).hexdigest()
    assert second.rows == 2


def test_a_task_in_two_data_sets_is_refused(two: list[str], tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", row("b2"))
    with pytest.raises(BadInput, match=r"c\.jsonl: the task b2 is also in .*b\.jsonl"):
        load(from_mapping({"dataset": [*two, str(tmp_path / "c.jsonl")]}), tmp_path)


def test_nothing_left_is_refused(two: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.jsonl, 2030-01-01\.\.: no task is left"):
        load(from_mapping({"dataset": two[0], "since": "2030-01-01"}), tmp_path)


def test_without_examples_they_are_hidden_tests_and_the_problem_shows_none(tmp_path: Path) -> None:
    shown = {"input": "4\n", "output": "8\n", "testtype": "stdin"}
    data = str(write(tmp_path / "a.jsonl", row("a") | {"public_tests": [shown]}))
    asked = Selection(dataset=(data,), without_examples=True)
    (usual,), (bare,) = load(Selection(dataset=(data,)), tmp_path).tasks, load(asked, tmp_path).tasks
    assert usual.problem.examples == (Example(input="4\n", output="8\n"),)
    assert bare.problem == usual.problem.model_copy(update={"examples": ()})
    assert bare.grading_tests == usual.grading_tests
    assert asked.label == "a.jsonl, without examples"


# ---------------------------------------------------------------- lists of ids


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("list.json", '["a2", "b1"]', "list.json"),
        ("list.txt", "# the two\na2\n\n b1 \n", "list.txt"),
        ("splits.json", '{"report": {"a": ["a2"], "b": ["b1"]}, "train": []}', "splits.json#report"),
        ("flat.json", '{"report": ["b1", "a2"]}', "flat.json#report"),
    ],
)
def test_ids_from_a_file(two: list[str], tmp_path: Path, name: str, text: str, source: str) -> None:
    (tmp_path / name).write_text(text)
    assert ids(from_mapping({"dataset": two, "ids": str(tmp_path / source)}), tmp_path) == ["a2", "b1"]


@pytest.mark.parametrize(
    ("text", "key", "complaint"),
    [
        ('{"report": ["a"]}', "", r"#KEY: report"),
        ('{"report": ["a"]}', "#trian", r"#KEY: report"),
        ('["a"]', "#report", "no key"),
        ("a\nb\n", "#report", "no key"),
        ('{"report": [1]}', "#report", "neither a list"),
        ('{"report": {"x": {"y": []}}}', "#report", "neither a list"),
        ("[", "", "not JSON"),
        ("\n# nothing\n", "", "names no id"),
        ('{"train": {}}', "#train", "names no id"),
    ],
)
def test_malformed_lists_are_refused(tmp_path: Path, text: str, key: str, complaint: str) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(BadInput, match=complaint):
        read_ids(f"{tmp_path / 'ids'}{key}")


def test_ids_that_are_not_there_are_named(two: list[str], tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("a1\nz9\nz8\n")
    with pytest.raises(BadInput, match=r"2 of its ids are in none of the data sets given: z8, z9"):
        load(from_mapping({"dataset": two, "ids": str(tmp_path / "ids")}), tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_ids(str(tmp_path / "none"))


def test_the_report_split_is_243_tasks_of_three_files(tmp_path: Path) -> None:
    files = [SHARED / f"{name}.jsonl" for name in ("lcb_official", "humaneval_plus", "mbpp_plus")]
    if not all(path.is_file() for path in [*files, SHARED / "splits.json"]):
        pytest.skip(f"no data in {SHARED}: set SHARED_DATA to where it is")
    asked = {"dataset": [str(path) for path in files], "ids": f"{SHARED / 'splits.json'}#report"}
    loaded = load(from_mapping(asked), tmp_path)
    assert len(loaded.tasks) == 243
    assert [source.rows for source in loaded.sources] == [91, 83, 179]
    assert (
        loaded.selection.label
        == "lcb_official.jsonl+humaneval_plus.jsonl+mbpp_plus.jsonl, ids splits.json#report"
    )


# ---------------------------------------------------------------- options and plans


def parsed(*argv: str) -> Selection:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return from_options(parser.parse_args(argv))


def test_options() -> None:
    assert parsed() == Selection()
    assert parsed("--dataset", "a.jsonl,b.jsonl", "--dataset", "c.jsonl").dataset == (
        "a.jsonl", "b.jsonl", "c.jsonl",
    )  # fmt: skip
    got = parsed(
        "--dataset", "livecodebench", "--release", "v5_v6", "--revision", "main", "--ids", "x#y",
        "--since", "2024-08-01", "--until", "2025-05-01", "--limit", "30", "--choose-seed", "0",
    )  # fmt: skip
    assert got == from_mapping(json.loads(got.model_dump_json()))
    assert got.label == "livecodebench, v5_v6, ids x#y, 2024-08-01..2025-05-01, 30 at random"
    assert parsed("--dataset", "humaneval=data/HumanEval.jsonl.gz").label == "HumanEval.jsonl.gz"


@pytest.mark.parametrize(
    "argv", [["--limit", "0"], ["--since", "2024"], ["--until", "2024-02-30"], ["--choose-seed", "-1"]]
)
def test_wrong_options_are_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*argv)
    assert caught.value.code == 2
    assert argv[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"limits": 3}, "limits"),
        ({"limit": 0}, "limit"),
        ({"dataset": "a.jsonl,,b.jsonl"}, "empty"),
        ({"dataset": []}, "empty"),
        ({"choose_seed": 1}, "there is no limit"),
        ({"since": "2024-02-01", "until": "2024-01-01"}, "ends .* before it begins"),
    ],
)
def test_wrong_plans_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        from_mapping(fields)
