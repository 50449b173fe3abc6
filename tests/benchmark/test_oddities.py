"""The data file of odd tasks: typed, resolvable in the data, and refused when malformed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atlas.errors import ConfigError
from benchmark.datasets import load
from benchmark.datasets.oddities import FILE, for_task, oddities, of, read
from tests.support.shared_data import SHARED


def test_every_entry_is_found_again() -> None:
    assert len(oddities()) == 18
    for oddity in oddities():
        assert for_task(oddity.id or "0", oddity.title) == oddity
    assert for_task("abc301_a", "Overall Winner") is None
    assert for_task("1", "") is None, "an entry without a title matches no untitled task"


def test_kinds_and_what_strict_leaves_out() -> None:
    kinds = {o.id or o.title: (o.kind, o.strict) for o in oddities()}
    assert kinds["abc355_e"] == ("interactive", True)
    assert kinds["abc362_c"] == ("multi_answer", True)
    assert kinds["3363"] == ("wrong_tests", True)
    assert kinds["HumanEval/47"] == ("wrong_example", True)


def test_ids_and_titles_are_those_of_the_data() -> None:
    """Every task of the file that is in our half of the data is found by the id that stands there."""
    rows: dict[str, str] = {}
    for name in ("lcb_official", "lcb_statements", "humaneval_plus"):
        path = SHARED / f"{name}.jsonl"
        if not path.is_file():
            pytest.skip(f"no {path.name} in {SHARED}: set SHARED_DATA to where the data is")
        rows |= {row["question_id"]: row["title"] for row in map(json.loads, path.read_text().splitlines())}
    marked = {task_id for task_id, title in rows.items() if for_task(task_id, title)}
    atcoder = {"abc326_d", "abc333_e", "abc343_e", "abc355_e", "abc362_c", "arc185_c"}
    assert marked == atcoder | {"3363", "3453", "HumanEval/47"}
    titles = {o.title: o.id for o in oddities() if o.title}
    assert {title: task_id for task_id, title in rows.items() if title in titles}.items() <= titles.items()
    (median,) = [t for t in load(SHARED / "humaneval_plus.jsonl") if of(t)]
    assert median.id == "HumanEval/47"


GOOD = """
[sources]
a = 'x'
[[task]]
id = '1'
kind = 'interactive'
reason = 'r'
source = 'a'
strict = true
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("id = '1'\n", ""),
        ("'interactive'", "'strange'"),
        ("source = 'a'", "source = 'b'"),
        ("[[task]]", "[[task"),
        (GOOD, ""),
    ],
    ids=["no task", "kind", "unknown source", "no TOML", "empty"],
)
def test_a_malformed_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "oddities.toml"
    path.write_text(GOOD)
    assert len(read(path)) == 1
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=r"oddities\.toml"):
        read(path)


def test_a_task_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "oddities.toml"
    path.write_text(FILE.read_text() + FILE.read_text().split("[[task]]")[1].join(["[[task]]", ""]))
    with pytest.raises(ConfigError, match="twice: abc311_c"):
        read(path)
