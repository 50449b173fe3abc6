"""Both checkers on programs whose verdict is known, where they could differ: on tasks that expect decimals.

On all programs of the development data whose verdict is known they never have (docs/METHODOLOGY.md); here on
the few that are most likely to, so that a change of either checker shows.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from benchmark.datasets import normalised
from benchmark.regrade import grade_both
from benchmark.scoring.grader import Grader
from tests.support.shared_data import SHARED

ODD = "HumanEval/47"  # an example of its statement is wrong: benchmark/datasets/oddities.toml
DECIMAL = re.compile(r"(?<![\w.])-?\d+\.\d+")


@pytest.mark.integration  # a real executor
async def test_known_programs_on_tasks_that_expect_decimals() -> None:
    programs, tasks = SHARED / "solutions_humaneval.jsonl", SHARED / "humaneval_plus.jsonl"
    if not (programs.exists() and tasks.exists()):
        pytest.skip(f"no HumanEval in {SHARED}: set SHARED_DATA to where the data is")
    solutions = normalised.solutions(programs)
    known = normalised.tasks([tasks], {each.question_id for each in solutions}).by_id
    decimal = {n for n, t in known.items() if any(DECIMAL.search(test.output) for test in t.grading_tests)}
    decimal -= {ODD}
    chosen = [each for each in solutions if each.question_id in decimal]
    assert len(chosen) == 18
    async with Grader() as grader:
        grades = await asyncio.gather(
            *(grade_both(known[each.question_id], each.code, grader) for each in chosen)
        )
    assert [grade.official.passed for grade in grades] == [each.passes for each in chosen]
    assert [grade.task for grade in grades if grade.differ or grade.unstable] == []
