"""Bounds: read where they are plainly written, believed only where the examples keep to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.bounds import Bound, bounds, parameters, within
from atlas.contracts import Example, Problem
from atlas.mutations import mutations

STARTER = "class Solution:\n    def f(self, nums: List[int], s: str, k: int) -> int:\n        "


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("1 <= n <= 10^5", {"n": Bound(1, 10**5)}),
        (r"$1 \le n \le 2 \cdot 10^5$", {"n": Bound(1, 2 * 10**5)}),
        (r"$-10^{9} \leq a_i \leq 10^{9}$", {"a_i": Bound(-(10**9), 10**9)}),
        (r"($1 \le a_i, b_i \le 10^9$)", {"a_i": Bound(1, 10**9), "b_i": Bound(1, 10**9)}),
        ("1 <= k <= n <= 100", {"k": Bound(1, 100), "n": Bound(1, 100)}),
        (
            "1 <= nums.length <= 100\n-5 <= nums[i] <= 5",
            {"nums.length": Bound(1, 100), "nums[i]": Bound(-5, 5)},
        ),
        ("0 < x < 10", {"x": Bound(1, 9)}),
        ("1 ≤ N ≤ 200,000", {"N": Bound(1, 200_000)}),
        ("1 <= n <= 10; later 0 <= n <= 5", {"n": Bound(0, 10)}),
        ("n <= 5, and 1 <= n <= m", {}),
        ("1 <= n <= 10^99999999", {}),
        ("9 <= n <= 1", {}),
        ("0.5 <= p <= 1.5", {}),
        ("", {}),
    ],
)
def test_chains_between_two_numbers_are_read(statement: str, found: dict[str, Bound]) -> None:
    assert bounds(statement) == found


@given(st.text("1 0<=≤n^*.,\\le{}$-_[]", max_size=60))
def test_no_statement_breaks_it(statement: str) -> None:
    assert all(each.low <= each.high for each in bounds(statement).values())


def test_arguments_are_held_to_their_own_bounds() -> None:
    statement = "1 <= nums.length <= 3\n1 <= nums[i] <= 9\n1 <= s.length <= 4\n0 <= k <= 2"
    allowed = within(_function(statement, '[1, 2]\n"ab"\n1'))
    assert allowed('[9, 9, 9]\n"abcd"\n2')
    for broken in ('[1, 2, 3, 4]\n"a"\n1', '[0]\n"a"\n1', '[1]\n"abcde"\n1', '[1]\n"a"\n3', '[]\n"a"\n1'):
        assert not allowed(broken)


def test_a_bound_that_an_example_breaks_is_none() -> None:
    assert within(_function("5 <= k <= 9", '[1]\n"a"\n1'))('[1]\n"a"\n1000')
    stdin = Problem(statement="1 <= n <= 3", examples=(Example(input="7\n", output=""),))
    assert within(stdin)("99\n")


def test_numbers_of_a_text_are_held_to_the_widest_range() -> None:
    problem = Problem(statement="1 <= n <= 3, 2 <= x <= 50", examples=(Example(input="2 40\n", output=""),))
    allowed = within(problem)
    assert allowed("1 50\n")
    assert not allowed("0 50\n")
    assert not allowed("1 51\n")
    made = mutations(problem, 20, 0)
    assert made
    assert all(1 <= int(token) <= 50 for text in made for token in text.split())


def test_names_come_from_the_starter_code() -> None:
    assert parameters(_function("x", "[1]")) == ["nums", "s", "k"]
    bare = Problem(statement="x", kind="function", entry_point="f", starter_code="def f(a, b):\n    '''x'''")
    assert parameters(bare) == ["a", "b"]
    assert parameters(bare.model_copy(update={"starter_code": "def ("})) == []


def _function(statement: str, text: str) -> Problem:
    return Problem(
        statement=statement,
        kind="function",
        entry_point="f",
        starter_code=STARTER,
        examples=(Example(input=text, output=""),),
    )
