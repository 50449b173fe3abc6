"""Examples read from statements: what is read, what is not, and that a value is never changed on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Problem
from atlas.statement_examples import MOST_EXAMPLES, statement_examples
from tests.support.shared_data import SHARED

LISTED = ("humaneval_plus", "mbpp_plus", "lcb_official", "lcb_statements")


def read(statement: str, starter: str = "def f(a, b):\n") -> list[tuple[Any, Any]]:
    problem = Problem(statement=statement, kind="function", entry_point="f", starter_code=starter)
    shown = statement_examples(problem)
    return [([json.loads(line) for line in e.input.split("\n")], json.loads(e.output)) for e in shown]


@pytest.mark.parametrize(
    "statement",
    [
        "f([1, 2], 'x') == 3",
        "f([1,2],'x') = 3",
        "f([1, 2], 'x') -> 3",
        "f([1, 2], 'x') => 3  # for two reasons",
        "f([1, 2], 'x') ==> 3",
        "f([1, 2], 'x') ==>3",
        "f([1, 2], 'x') ➞ 3",
        "f([1, 2], 'x') # => 3 (because of that)",
        "Example: f([1, 2], 'x') returns 3.",
        "f([1, 2], 'x') should return 3\n",
        ">>> f([1, 2], 'x')\n3\n>>> print()",
        "    >>> f([1, 2], 'x') == 3\r\n",
        "Solution().f([1, 2], 'x') == 3",
        "f([\n  1,\n  2\n], 'x') == 3",
        "f(b='x', a=[1, 2]) == 3",
        "Input: [1, 2], 'x'\nOutput: 3",
        "Example 1:\n\n  Input: a = [1, 2], b = 'x'\n  Output: 3\n  Explanation: so it is.",
        "input: b = 'x', a = [1, 2]\noutput: 3",
    ],
)
def test_a_call_with_its_result_is_an_example(statement: str) -> None:
    assert read(statement) == [([[1, 2], "x"], 3)]


@pytest.mark.parametrize(
    "statement",
    [
        "f(a, b) == 3",
        "def f(a, b):",
        "f(1, 2) == 2 + 1",
        "f(1, 2) -> 5 - 2 = 3",
        "f(1, 2) == x",
        "f(1, 2) == {1, 2}",
        "f({1: 2}, 0) == 3",
        "f(1, 2) == 3j",
        "f(1, 2) == 1e999",
        "f(1, 2)\n3",
        "f(1, 2) is large",
        "f(1, 2) == 3, or nearly so",
        "pdf(1, 2) == 3",
        "g.f(1, 2) == 3",
        "f() == 3",
        "f(*[1, 2]) == 3",
        "f(1, 2 == 3",
        "f(1, 2) == [3",
        "f(1, 2) == 'three",
        "f(1, 2) ==",
        "Input: n\nOutput: 3",
        "Input: 1\nThen comes something.\nOutput: 3",
        "f(1, 2) == 3 and f(1, 2) == 4\nf(1, 2) == 5\nf(1, 2) == 6",
    ],
)
def test_what_is_no_literal_or_leaves_a_doubt_is_none(statement: str) -> None:
    assert read(statement) == []


def test_examples_keep_the_statements_order_and_are_counted_once() -> None:
    lines = [f"f({i}, 0) == {i}" for i in range(MOST_EXAMPLES + 9)]
    found = read("\n".join(["f(1, 0) -> 1", *lines]))
    assert len(found) == MOST_EXAMPLES
    assert found[:3] == [([1, 0], 1), ([0, 0], 0), ([2, 0], 2)]


def test_tuples_become_lists_and_other_kinds_of_problem_show_none() -> None:
    assert read("f((1, 'a'), None) == (True, [2.5])") == [([[1, "a"], None], [True, [2.5]])]
    assert statement_examples(Problem(statement="f(1) == 2", kind="stdin")) == ()
    lettered = Problem(statement=SAMPLES, kind="choice", choices=("a", "b"))
    assert statement_examples(lettered) == ()


SAMPLES = """Add them.

Sample Input 1

2
3 4

Sample Output 1

7

Three and four make seven.

Sample Input 2:
1

 0

Sample Output 2:
0
"""


def samples(statement: str) -> list[tuple[str, str]]:
    return [(e.input, e.output) for e in statement_examples(Problem(statement=statement))]


def test_samples_of_a_program_that_reads_its_input() -> None:
    assert samples(SAMPLES) == [("2\n3 4\n", "7\n"), ("1\n0\n", "0\n")]
    assert samples(SAMPLES.replace("\n", "\r\n")) == samples(SAMPLES)
    assert samples("Print it.Example Input:\n5\nExample Output:\n5\n6") == [("5\n", "5\n6\n")]
    assert samples("### Sample Input\n5\n### Sample Output\n5\n### Note") == [("5\n", "5\n")]
    assert samples("Sample Input\n5\nSample Output\n#.#\n# #\nExplanation: walls.") == [("5\n", "#.#\n")]


@pytest.mark.parametrize(
    "statement",
    [
        "Input\n\nThe first line holds n.\n\nOutput\n\nPrint n.",
        "Sample Input 1\n\n5\n\nSample Output 2\n\n5\n",
        "Sample Input 1\n\n5\n\nSample Input 2\n\n6\n\nThen nothing.",
        "Sample Input\n\n\nSample Output\n\n5\n",
        "Sample Input\n1\n2\n\n3\nSample Output\n5\n",
        "Sample Input\n5\nSample Output\n\n",
        "Sample Input\n5\nSample Output\n\n\n\nThe output is empty.",
    ],
)
def test_what_may_be_none_is_none(statement: str) -> None:
    assert samples(statement) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FORMS = ("{call} == {result}", "{call} -> {result}.", "* {call} returns {result}", ">>> {call}\n{result}\n")


@given(st.lists(JSON, min_size=1, max_size=3), JSON, st.sampled_from(FORMS))
def test_whatever_value_is_written_is_read_unchanged(arguments: list[Any], result: Any, form: str) -> None:
    call = f"f({', '.join(map(repr, arguments))})"
    statement = "Do it.\n\n" + form.format(call=call, result=repr(result)) + "\n\nThat is all."
    assert read(statement) == [(arguments, result)]


@given(st.text(alphabet=st.sampled_from("f(),[]{}'\"=-> 1.\n\\#:Inputo"), min_size=1, max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    for arguments, _ in read(text):
        assert arguments


def test_a_statement_of_nothing_but_brackets_is_read_in_no_time() -> None:
    assert read("f(" * 25_000) == []
    assert read("f(1 2)" * 10_000) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the development data in {SHARED}")
@pytest.mark.parametrize("name", LISTED)
def test_what_real_statements_show_is_what_their_data_lists(name: str) -> None:
    agree, other = 0, []
    for line in (SHARED / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        listed = {_plain(t["input"]): _plain(t["output"]) for t in row["public_tests"]}
        kind = "function" if row["starter_code"] else "stdin"
        name_of = row["title"] if row["title"].isidentifier() else _method(row["starter_code"])
        problem = Problem(
            statement=row["question_content"],
            kind=kind,
            entry_point=name_of if row["starter_code"] else None,
            starter_code=row["starter_code"],
        )
        for shown in statement_examples(problem):
            if _plain(shown.input) in listed:
                right = listed[_plain(shown.input)] == _plain(shown.output)
                agree += right
                other += [] if right else [row["question_id"]]
    assert agree > 50
    assert other in ([], ["abc333_e"]), "a task with several right outputs"


def _method(starter: str) -> str:
    return starter.partition("def ")[2].partition("(")[0].strip() or "f"


def _plain(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(json.dumps(json.loads(line)) if _is_json(line) else line for line in lines)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
