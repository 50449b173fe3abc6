"""Counts in an input: found where they stand, kept true by what is varied."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Example, Problem
from atlas.counts import Count, counts, holds, in_every, resized
from atlas.mutations import mutations
from tests.support.shared_data import SHARED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3\n1 2 30\n", [Count(0, 0, "tokens", 1)]),
        ("3 9\n1 2 30\n4 5 6\n", [Count(0, 0, "tokens", 1, 2)]),
        ("4\nabcd\n", [Count(0, 0, "characters", 1)]),
        ("2\n10 20 30\n40 50 60\n", [Count(0, 0, "lines", 1)]),
        (
            "2\n3\n7 8 9\n3\n4 5 6\n",
            [Count(0, 0, "lines", 1, 2), *(Count(i, 0, "tokens", i + 1) for i in (1, 3))],
        ),
        ("5 2\n1 2 3 4 5\n1 4\n2 5\n", [Count(0, 0, "tokens", 1), Count(0, 1, "lines", 2)]),
        ("7\n", []),
        ("", []),
    ],
)
def test_what_a_number_counts_is_found(text: str, found: list[Count]) -> None:
    assert counts(text) == found
    assert all(holds(text, each) for each in found)


def test_a_chance_of_one_example_is_none_where_another_denies_it() -> None:
    found = counts("2\n8 9\n")
    assert in_every(found, ["2\n8 9\n", "5\n1 2\n"]) == []
    assert in_every(found, ["2\n8 9\n", "3\n1 2 3\n"]) == found


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=8), st.integers(0, 99))
def test_a_row_resized_is_still_counted(row: list[int], seed: int) -> None:
    text = f"{len(row)} 77777\n{' '.join(map(str, row))}\n"
    (count,) = counts(text)
    varied = resized(text, count, random.Random(seed))
    assert holds(varied, count)
    assert abs(len(varied.split()) - len(text.split())) == 1
    assert varied.endswith("\n")


@given(st.integers(2, 5), st.integers(0, 99))
def test_blocks_are_repeated_and_dropped_whole(blocks: int, seed: int) -> None:
    text = f"{blocks}\n" + "".join(f"3\n{i} {i} 9{i}\n" for i in range(blocks))
    varied = resized(text, counts(text)[0], random.Random(seed)).splitlines()
    assert len(varied) == 1 + 2 * int(varied[0])
    assert set(varied[1::2]) == {"3"}
    assert all(len(line.split()) == 3 for line in varied[2::2])


def test_a_count_of_one_is_left_as_it_is() -> None:
    text = "1\n5\n"
    assert resized(text, counts(text)[0], random.Random(0)) == text
    assert all(made.startswith("1\n") for made in mutations(_problem(text), 10, 0))


@given(st.text("12 \nab", max_size=20), st.integers(0, 9))
def test_no_text_breaks_it(text: str, seed: int) -> None:
    for count in counts(text):
        assert holds(text, count)
        resized(text, count, random.Random(seed))


@given(st.lists(st.integers(1, 99), min_size=2, max_size=6), st.integers(0, 9))
def test_variations_keep_the_count(row: list[int], seed: int) -> None:
    text = f"{len(row)}\n{' '.join(map(str, row))}\n"
    for made in mutations(_problem(text), 8, seed):
        head, *rest = made.split()
        assert int(head) == len(rest)


def test_real_examples_stay_well_counted() -> None:
    rows = _tuning_rows()
    checked = 0
    for row in rows:
        texts = [example["input"] for example in row]
        problem = _problem(*texts)
        headers = [in_every(counts(text), texts) for text in texts]
        rows_of = [c for found in headers for c in found if (c.line, c.token, c.of) == (0, 0, "tokens")]
        if len(rows_of) != len(texts):
            continue
        for made in mutations(problem, 8, 0):
            lines = made.splitlines()
            assert int(lines[0].split()[0]) == len(lines[1].split()), (texts, made)
            checked += 1
    assert checked > 50


def _problem(*inputs: str) -> Problem:
    return Problem(statement="x", examples=tuple(Example(input=text, output="") for text in inputs))


def _tuning_rows() -> list[list[dict[str, str]]]:
    statements, splits = SHARED / "lcb_statements.jsonl", SHARED / "splits.json"
    if not (statements.exists() and splits.exists()):
        pytest.skip(f"no data in {SHARED}: set SHARED_DATA to where it is")
    wanted = set(json.loads(splits.read_text())["tune_without_hidden_tests"]["lcb_statements"])
    found = []
    for line in statements.read_text().splitlines():
        row = json.loads(line)
        tests = row["public_tests"]
        if row["question_id"] in wanted and tests and not row["starter_code"]:
            found.append(tests)
    return found
