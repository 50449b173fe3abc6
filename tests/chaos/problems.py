"""The tasks of a chaos run: small problems whose titles tell the scripted model how they should go."""

from __future__ import annotations

import random

from atlas.api import SubmitRequest
from atlas.contracts import Example, Problem
from atlas.policy import Policy

# Courses of a task, by the title of its problem (what the model does with them: answers.py). In the order
# in which tasks get them, so that few tasks already use plans, several samples and repair.
COURSES = ("second", "mended", "first", "garbled", "hopeless")

# One sample after another, until one passes; all of them, four to a call, compared to the last resort; and
# one after another until two agree.
CAREFUL = Policy(name="careful", k=3, plans=2, repairs=3, max_tokens=200, analysis_max_tokens=100)
GENEROUS = Policy(
    name="generous",
    k=5,
    plans=1,
    repairs=2,
    stop_after_passing=0,
    max_tokens=200,
    inputs=6,
    input_tokens=1536,
    distinguish=1,
    readings=3,
    selector="calibrated",
)
AGREEING = Policy(
    name="agreeing",
    k=5,
    stop_after_passing=0,
    max_tokens=200,
    inputs=4,
    input_tokens=1536,
    stop_when_agreeing=2,
    selector="majority",
)
POLICIES = (CAREFUL, AGREEING, CAREFUL, GENEROUS)


def requests(n: int, seed: int) -> list[SubmitRequest]:
    """Return `n` distinct tasks; the same for the same seed."""
    random_ = random.Random(f"problems {seed}")
    return [_request(i, random_.randint(2, 99), random_.randint(2, 99)) for i in range(n)]


def _request(index: int, factor: int, offset: int) -> SubmitRequest:
    examples = tuple(
        Example(input=f"{a} {b}\n", output=f"{(a + b) * factor + offset}\n") for a, b in ((1, 2), (0, 5))
    )
    course = COURSES[index % len(COURSES)]
    problem = Problem(
        title=f"{index:03} {course}",
        statement=f"Read two integers. Print their sum times {factor} plus {offset}.",
        examples=examples,
    )
    return SubmitRequest(problem=problem, policy=POLICIES[index % len(POLICIES)])
