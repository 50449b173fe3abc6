"""Tours of the pipeline for docs/PIPELINE.md: tasks carried out by the brain and the handlers themselves.

A scripted model answers, so that every kind of call is made; what each was asked with is read off journals.
Policies of `MEASURED` have numbers of their own in every field, so that a number tells which field it is;
named ones are carried out as they are.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from atlas.contracts import Example, Problem
from atlas.events import AnyEvent, Pins, TaskSubmitted
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.policy import POLICIES, SPENDING, Policy
from atlas.spending import TYPICAL
from atlas.thinking import USUAL_TAGS
from tests.support.in_memory import solve
from tests.support.planning import plan_answer

FIELDS = {"temperature": 0.71, "plan_temperature": 0.72}
TOKENS = {"max_tokens": 1001, "plan_max_tokens": 1002, "analysis_max_tokens": 1003, "thinking_tokens": 1024}
SEED = 7
OWN = {**FIELDS, **TOKENS, "thinking_tokens": 0, "name": "t", "seed": SEED}
THINKING = {**OWN, "k": 2, "stop_after_passing": 0, "thinking_tokens": 1024}
# The priors hold for a statement of that length.
STATEMENT = ("Double the number. " * TYPICAL)[:TYPICAL]


@dataclass(frozen=True)
class Tour:
    """A task to carry out, and what its scripted model is like.

    `right`: its programs pass the examples, `slow_right`: those asked for as slow do; `alike`: they give the
    same on other inputs. `weights`: those of a Lens, which tell only that there is one, as no file has them.
    """

    policy: Policy
    right: bool = False
    slow_right: bool = False
    alike: bool = False
    thinks: bool = False
    weights: str | None = None

    def events(self) -> list[AnyEvent]:
        """Return the task's journal."""
        submitted = TaskSubmitted(
            problem=Problem(
                statement=STATEMENT,
                examples=(Example(input="2", output="4"), Example(input="3", output="6")),
            ),
            policy=self.policy,
            pins=Pins(
                pipeline="1",
                prompts_sha256="0" * 64,
                model="scripted",
                thinks=self.thinks,
                lens_weights=self.weights,
            ),
            deadline_s=600,
        )
        model = FakeModelServer(_Model(self), tags=USUAL_TAGS if self.thinks else None)
        return asyncio.run(solve(submitted, model, FakeExecutor(_run)))[1]


MEASURED = {
    "nothing passes": Tour(
        Policy.model_validate(
            {
                **OWN,
                "k": 5,
                "probe": True,
                "plans": 2,
                "perturbations": 1,
                "repairs": 4,
                "refinements": 3,
                "self_tests": 2,
                "brute_forces": 3,
            }
        ),
        slow_right=True,
    ),
    "programs disagree": Tour(
        Policy.model_validate(
            {
                **OWN,
                "k": 2,
                "probe": True,
                "stop_after_passing": 0,
                "inputs": 4,
                "input_tokens": 3 * 1005,
                "distinguish": 2,
                "readings": 2,
                "selector": "calibrated",
            }
        ),
        right=True,
    ),
    **{
        f"the model thinks too briefly and `waits` is {waits}": Tour(
            Policy.model_validate({**THINKING, "waits": waits}), right=True, thinks=True
        )
        for waits in range(3)
    },
}
D = Tour(POLICIES["D"])
C = Tour(POLICIES["C"], right=True, weights="w")
E = Tour(POLICIES["E"], right=True, weights="w")
BLEND_ASC = Tour(POLICIES["blend-asc"], right=True, alike=True)
# Of a policy's candidates so many are drawn to count calls: more would be of the same kinds.
COUNTED = 4


def of_policy(policy: Policy) -> list[Tour]:
    """Return tours of a named policy to count calls on: nothing passes, or all does."""
    few = policy.model_copy(update={"k": min(policy.k, COUNTED)})
    kinds = {False, few.thinking_tokens > 0}
    return [Tour(few, right=right, thinks=thinks) for thinks in sorted(kinds) for right in (False, True)]


class _Model:
    """Says something usable to every kind of call; its programs are all different texts.

    They are as long as the priors say, since what a try costs tells what is tried next.
    """

    def __init__(self, tour: Tour) -> None:
        self.tour, self.programs = tour, 0

    def __call__(self, request: CompletionRequest) -> str:
        schema = request.json_schema
        if schema is None:
            if request.prompt.endswith((USUAL_TAGS.opening, USUAL_TAGS.opening + "\n", "Wait")):
                return f"so{USUAL_TAGS.closing}"
            return self._program(request.prompt)
        properties = schema.get("properties", {})
        if "inputs" in properties:
            return json.dumps({"inputs": ["5", "7"]})
        if "category" in properties:
            return json.dumps({"category": "partial_correct", "cause": "it is", "constraints": ["mend it"]})
        if not properties:
            return '"A"'
        taken = "which are taken" in request.prompt
        return plan_answer(schema, request.prompt, ["another"] if taken else ["one"] * 2 + ["another"])

    def _program(self, prompt: str) -> str:
        self.programs += 1
        slow = "by brute force" in prompt
        arm = SPENDING.brute_force if slow else SPENDING.sample
        comment = "# " + "- " * round(arm.tokens - 8) if arm else ""
        first = "input()" if (self.tour.slow_right if slow else self.tour.right) else "wrong"
        given = "0" if slow or self.tour.alike else str(self.programs)
        return f"```python\n{first}\n{self.programs}\n{comment}\n# {given}\n```"


def _run(code: str, text: str) -> Run:
    if not code.startswith("input()"):
        return Run(status=RunStatus.RUNTIME_ERROR, error="NameError")
    right = text.strip() in {"2", "3"}
    number = code.rpartition("# ")[2].strip()
    return Run(status=RunStatus.OK, output=str(int(text) * 2) if right else number)
