"""Grading a multiple choice: the letter handed back is the right one, or it is not."""

from __future__ import annotations

from atlas.contracts import Verdict
from benchmark.tasks import Task


def verdict(task: Task, letter: str) -> Verdict:
    """Compare the letter with the task's one hidden expectation. No other text than the letter is right."""
    (expected,) = task.hidden.tests
    return Verdict.ACCEPTED if letter.strip() == expected.output else Verdict.WRONG_ANSWER
