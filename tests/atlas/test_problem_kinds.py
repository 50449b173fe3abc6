"""Multiple choice and problems of steps: what a problem must say, what the model is asked and hands in."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from atlas import prompts
from atlas.candidates import handed_in
from atlas.contracts import Example, Plan, Problem, Step

CHOICE = Problem(title="Gas", statement="Which is lightest?", kind="choice", choices=("neon", "hydrogen"))
FIRST = Step(description="Halve it.", header="def half(x):\n    '''Half of x.'''", background="Two halves.")
SECOND = Step(description="Halve it twice.", header="def quarter(x):")
STEPS = Problem(statement="Divide.", kind="steps", starter_code="import numpy as np", steps=(FIRST, SECOND))
HALF, QUARTER = "def half(x):\n    return x / 2\n", "def quarter(x):\n    return half(half(x))\n"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "choice"}, "at least 2 choices"),
        ({"kind": "choice", "choices": ("one",)}, "at least 2 choices"),
        (
            {"kind": "choice", "choices": ("a", "b"), "examples": (Example(input="", output=""),)},
            "no examples",
        ),
        ({"kind": "choice", "choices": ("a", "b"), "starter_code": "x"}, "no starter_code"),
        ({"kind": "choice", "choices": ("a",) * 27}, "at most 26"),
        ({"kind": "choice", "choices": ("a", "")}, "at least 1 character"),
        ({"kind": "steps"}, "at least one step"),
        ({"kind": "steps", "steps": (FIRST,), "entry_point": "half"}, "no entry_point"),
        ({"kind": "stdin", "choices": ("a", "b")}, "no choices"),
        ({"kind": "function", "entry_point": "f", "steps": (FIRST,)}, "no steps"),
    ],
)
def test_what_a_kind_lacks_or_cannot_have_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Problem(statement="?", **fields)


def _asked(problem: Problem) -> str:
    return prompts.messages("solve", problem)[1]["content"]


def test_a_question_is_asked_with_its_letters_and_not_for_a_program() -> None:
    asked = _asked(CHOICE)
    assert "A) neon\nB) hydrogen" in asked
    assert "Answer: " in asked
    assert "code block" not in asked
    assert "program" not in prompts.messages("solve", CHOICE)[0]["content"]


def test_steps_are_asked_for_together_in_their_order() -> None:
    asked = _asked(STEPS)
    assert asked.index("import numpy") < asked.index("def half(x):") < asked.index("def quarter(x):")
    assert "Background: Two halves." in asked
    assert "standard input" not in asked
    given = STEPS.model_copy(update={"steps": (FIRST.model_copy(update={"given": HALF}), SECOND)})
    assert "return x / 2" in _asked(given)
    assert "written already" in _asked(given)


def test_what_other_problems_are_asked_has_not_changed() -> None:
    plan = Plan(algorithm="prefix sums", steps=("read", "add"), edge_cases=("an empty list",))
    examples = (Example(input="3\n10 20 30\n", output="60\n"), Example(input="1\n77\n", output="77\n"))
    stdin = Problem(title="Sum", statement="Add the numbers.\nThere are up to 10^5.", examples=examples)
    function = Problem(
        statement="Return the doubled number.",
        kind="function",
        entry_point="double",
        starter_code="class Solution:\n    def double(self, n: int) -> int:\n        ",
        examples=(Example(input="[4321]", output="8642"),),
    )
    failure = {"input": "1", "expected": "2", "verdict": "wrong answer", "got": "3"}
    digests = []
    for problem in (stdin, function):
        solve = prompts.messages("solve", problem)
        asked = [
            solve,
            prompts.messages("implement", problem, plan=plan),
            prompts.messages("analyse", problem, perspective="biases", code="x = 1\n", failures=[failure]),
            prompts.follow_up(solve, "it is wrong", "repair", problem),
        ]
        digests.append(hashlib.sha256(json.dumps(asked).encode()).hexdigest())
    # Of the prompts as they were when an example of a function came to be shown as a call; a change of
    # what programs are asked for changes every figure measured with it.
    assert digests == [
        "11ecba15d2be8c2246f5e1a77d727809907a3c977db872082d4785847c977644",
        "f929533a27d4762bfa5e96ffffe32c3f5cf9228ef0e52f66bc68b7ee26e41f6e",
    ]


def _block(code: str) -> str:
    return f"```python\n{code}```\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        (_block(HALF + QUARTER), HALF + QUARTER),
        (f"{_block(HALF + QUARTER)}Use it so:\n{_block('print(quarter(8))')}", HALF + QUARTER),
        (f"Step 1\n{_block(HALF)}Step 2\n{_block(QUARTER)}", f"{HALF}\n{QUARTER}"),
        (f"{_block(HALF)}And all of it:\n{_block(HALF + QUARTER)}", HALF + QUARTER),
        (_block(HALF), HALF),
        ("I cannot.", None),
        ("", None),
    ],
)
def test_the_one_program_of_an_answer_in_steps(answer: str, program: str | None) -> None:
    assert handed_in(answer, STEPS) == program


def test_what_is_handed_in_for_a_question_is_its_letter() -> None:
    assert handed_in("Hydrogen.\nAnswer: B", CHOICE) == "B"
    assert handed_in(_block("print('B')"), CHOICE) is None
