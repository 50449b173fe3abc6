"""Variations of public examples: repeatable, distinct, and of the types that the examples show."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.contracts import Example, Problem
from atlas.mutations import mutations

VALUES = st.recursive(
    st.integers(-1000, 1000) | st.text("abxyz", max_size=6) | st.booleans() | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def problem(*inputs: str, **more: Any) -> Problem:
    return Problem(statement="x", examples=tuple(Example(input=text, output="") for text in inputs), **more)


@given(st.lists(st.text("12 -\nabc.", max_size=20), max_size=3), st.integers(0, 9))
def test_variations_are_repeatable_distinct_and_no_examples(inputs: list[str], seed: int) -> None:
    made = mutations(problem(*inputs), 6, seed)
    assert made == mutations(problem(*inputs), 6, seed)
    assert len(made) == len(set(made)) <= 6
    assert not set(made) & set(inputs)


@settings(max_examples=50)
@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(0, 9))
def test_arguments_keep_their_number_and_their_types(arguments: list[Any], seed: int) -> None:
    text = "\n".join(json.dumps(value) for value in arguments)
    for made in mutations(problem(text, kind="function", entry_point="f"), 5, seed):
        values = [json.loads(line) for line in made.split("\n")]
        assert list(map(type, values)) == list(map(type, arguments))


def test_a_text_keeps_its_shape() -> None:
    made = mutations(problem("3\n1 2 30\nword\n"), 20, 0)
    assert len(made) == 20
    shape = re.compile(r"(\d)\n\d+( \d+)*\n[dorw]+\n")
    assert all(shape.fullmatch(text) for text in made)
    assert all(int(text[0]) == len(text.splitlines()[1].split()) for text in made)
    assert mutations(problem("3\n1 2 30\nword\n"), 20, 1) != made


def test_without_examples_or_anything_to_vary_there_are_none() -> None:
    assert mutations(problem(), 5, 0) == []
    assert mutations(problem("\n"), 5, 0) == []


def test_a_record_keeps_its_places() -> None:
    made = mutations(problem('[["English", 88], ["Maths", 97]]', kind="function", entry_point="f"), 30, 0)
    rows = [row for text in made for row in json.loads(text)]
    assert len(made) == 30
    assert all(list(map(type, row)) == [str, int] for row in rows)
