"""Schemas of inputs: what examples show, what signatures say, and what comes back as `Example.input`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Example, Problem
from atlas.generated_inputs import MAX_INPUT_CHARS
from atlas.input_shape import fits
from services.lens.input_schema import (
    ANY,
    BOOLEAN,
    INTEGER,
    MAX_INNER_ITEMS,
    MAX_ITEMS,
    MAX_STRING_CHARS,
    NULL,
    NUMBER,
    STRING,
    Schema,
    argument_schemas,
    form,
    parameters,
    schema,
    texts,
)


def function(*inputs: list[Any], starter: str = "") -> Problem:
    """A problem with examples of these arguments."""
    examples = tuple(Example(input="\n".join(map(json.dumps, each)), output="0") for each in inputs)
    return Problem(statement="s", kind="function", entry_point="f", starter_code=starter, examples=examples)


def annotated(annotation: str) -> Schema:
    found = argument_schemas(function(starter=f"def f(a: {annotation}):\n    "))
    assert found is not None
    return found[0]


def array(items: Schema, most: int = MAX_ITEMS) -> Schema:
    return {"type": "array", "items": items, "maxItems": most}


def allows(given: Schema, value: Any) -> bool:
    """Whether a value is one of the schema's: as much of JSON Schema as is used here."""
    if "anyOf" in given:
        return any(allows(each, value) for each in given["anyOf"])
    kind = given["type"]
    if kind == "array":
        return (
            isinstance(value, list)
            and len(value) <= given["maxItems"]
            and all(allows(given["items"], each) for each in value)
        )
    if kind == "object":
        return isinstance(value, dict) and all(
            allows(given["additionalProperties"], each) for each in value.values()
        )
    if kind == "string":
        return isinstance(value, str) and len(value) <= given["maxLength"]
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is {"integer": int, "boolean": bool, "null": type(None)}[kind]


def drawn_from(given: Schema) -> st.SearchStrategy[Any]:
    """Values that the schema allows."""
    if "anyOf" in given:
        return st.one_of([drawn_from(each) for each in given["anyOf"]])
    kind = given["type"]
    if kind == "array":
        return st.lists(drawn_from(given["items"]), max_size=given["maxItems"])
    if kind == "object":
        return st.dictionaries(st.text(max_size=3), drawn_from(given["additionalProperties"]), max_size=3)
    if kind == "string":
        return st.text(max_size=given["maxLength"])
    return {
        "integer": st.integers(-99, 99),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "null": st.none(),
    }[kind]


scalars = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-1, 1), st.text(max_size=5))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=MAX_INNER_ITEMS), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
calls = st.integers(1, 3).flatmap(
    lambda arity: st.lists(st.lists(values, min_size=arity, max_size=arity), min_size=1, max_size=3)
)


def closed(given: Schema) -> bool:
    """Whether no part of it was left open: an empty list says nothing of its elements."""
    if given == ANY:
        return False
    parts = [*given.get("anyOf", ()), *(given[k] for k in ("items", "additionalProperties") if k in given)]
    return all(map(closed, parts))


@given(calls)
def test_the_schema_of_examples_allows_their_arguments(shown: list[list[Any]]) -> None:
    found = argument_schemas(function(*shown))
    assert found is not None
    for arguments in shown:
        for place, value in zip(found, arguments, strict=True):
            assert allows(place, value) or not closed(place)


@given(calls, st.data())
def test_what_the_schema_of_examples_allows_has_their_form(
    shown: list[list[Any]], data: st.DataObject
) -> None:
    problem = function(*shown)
    found = argument_schemas(problem)
    assert found is not None
    value = [data.draw(drawn_from(place)) for place in found]
    assert fits(problem, "\n".join(map(json.dumps, value)))


def test_the_schema_of_an_answer() -> None:
    answer = schema(function([[1], "x"]), 5)
    assert answer["required"] == ["inputs"]
    assert answer["properties"]["inputs"] == {
        "type": "array",
        "minItems": 4,
        "maxItems": 5,
        "items": {"type": "array", "prefixItems": [array(INTEGER), STRING], "minItems": 2, "maxItems": 2},
    }
    assert schema(Problem(statement="s"), 5)["properties"]["inputs"]["items"]["type"] == "string"
    assert schema(function(), 5)["properties"]["inputs"]["items"]["items"] == ANY


def test_numbers_are_whole_where_only_whole_ones_are_shown() -> None:
    assert argument_schemas(function([1], [2])) == [INTEGER]
    assert argument_schemas(function([1], [2.5])) == [NUMBER]
    assert argument_schemas(function([True])) == [BOOLEAN]
    assert argument_schemas(function([[1, None]])) == [array({"anyOf": [INTEGER, NULL]})]


def test_lists_within_lists_are_shorter() -> None:
    assert argument_schemas(function([[[1]]])) == [array(array(INTEGER, MAX_INNER_ITEMS))]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", INTEGER),
        ("float", NUMBER),
        ("bool", BOOLEAN),
        ("str", STRING),
        ("List[int]", array(INTEGER)),
        ("list[str]", array(STRING)),
        ("typing.List[List[int]]", array(array(INTEGER, MAX_INNER_ITEMS))),
        (
            "list",
            array(
                ANY | {"anyOf": [{**e, "maxItems": 6} if e["type"] == "array" else e for e in ANY["anyOf"]]}
            ),
        ),
        ("Tuple[int, ...]", array(INTEGER)),
        ("Tuple[int, str]", array({"anyOf": [INTEGER, STRING]})),
        ("Optional[int]", {"anyOf": [INTEGER, NULL]}),
        ("int | None", {"anyOf": [INTEGER, NULL]}),
        ("Union[int, str]", {"anyOf": [INTEGER, STRING]}),
        ("Dict[str, int]", {"type": "object", "additionalProperties": INTEGER}),
        ("dict", {"type": "object", "additionalProperties": ANY}),
        ("'List[int]'", array(INTEGER)),
        ("'no annotation at all'", ANY),
        ("Optional[TreeNode]", ANY | {"anyOf": [*ANY["anyOf"]]}),
        ("5", ANY),
        ("Callable[[int], int]", ANY),
    ],
)
def test_annotations(annotation: str, expected: Schema) -> None:
    assert annotated(annotation) == expected


def test_a_method_of_solution_takes_no_self() -> None:
    problem = function(starter="class Solution:\n    def f(self, nums: List[int], k: int) -> int:\n        ")
    assert argument_schemas(problem) == [array(INTEGER), INTEGER]
    assert parameters(problem) == ("nums", "k")


def test_examples_count_before_the_signature_which_fills_what_they_leave_open() -> None:
    starter = "def f(a: List[str], b):\n    pass"
    assert argument_schemas(function([[], 1], starter=starter)) == [array(STRING), INTEGER]
    assert argument_schemas(function([[2], 1], starter=starter)) == [array(INTEGER), INTEGER]
    assert argument_schemas(function([[], 1, 2], starter=starter)) == argument_schemas(function([[], 1, 2]))
    assert parameters(function([[], 1, 2], starter=starter)) == ("a1", "a2", "a3")


@pytest.mark.parametrize(
    "starter", ["", "def other(a):", "def f(", "print(1)", "\\", "def f(a):\n\treturn\n  x"]
)
def test_without_a_signature_any_number_of_anything(starter: str) -> None:
    assert argument_schemas(function(starter=starter)) is None
    assert parameters(function(starter=starter)) == ()


def test_examples_that_do_not_go_together_say_nothing() -> None:
    assert argument_schemas(function([1], [1, 2])) is None


def test_answers_become_inputs_in_the_form_of_an_example() -> None:
    problem = function([[1, 2], "x"])
    answer = json.dumps({"inputs": [[[3], "y"], [[1, 2], "x"], [[3], "y"], []]})
    assert texts(problem, answer) == ['[3]\n"y"'], "no example, nothing twice, no empty call"
    stdin = Problem(statement="s", examples=(Example(input="1 2\n", output="3"),))
    assert texts(stdin, '{"inputs": ["1 2", "3\\n4", "  ", "3\\n4\\n"]}') == ["3\n4"]


def test_an_input_that_is_too_long_is_left_out() -> None:
    long = "9" * (MAX_INPUT_CHARS + 1)
    assert texts(Problem(statement="s"), json.dumps({"inputs": [long, long[1:]]})) == [long[1:]]


@given(st.lists(st.lists(st.integers(), min_size=1), unique_by=str), st.data())
def test_an_answer_that_is_cut_off_gives_what_came_before(
    inputs: list[list[int]], data: st.DataObject
) -> None:
    answer = json.dumps({"inputs": inputs})
    whole = ["\n".join(map(json.dumps, each)) for each in inputs]
    cut = data.draw(st.integers(0, len(answer)))
    found = texts(function(), answer[:cut])
    assert found == whole[: len(found)]
    assert texts(function(), answer) == whole


@given(st.text())
def test_no_answer_is_too_strange(answer: str) -> None:
    assert all(isinstance(each, str) for each in texts(Problem(statement="s"), answer))


def test_strings_are_bounded() -> None:
    assert annotated("str")["maxLength"] == MAX_STRING_CHARS


def test_the_form_of_an_input_is_that_of_the_shortest_example() -> None:
    assert form(function([[1, 2], "x"], [[], "y"])) == '[[], "y"]'
    examples = tuple(Example(input=text, output="0") for text in ("x" * 999, "1\n2\n"))
    assert form(Problem(statement="s", examples=examples)) == '"1\\n2\\n"'
    assert form(Problem(statement="s", examples=examples[:1])) is None
    assert form(function()) is None
