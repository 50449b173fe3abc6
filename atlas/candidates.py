"""From a model's completion to a candidate."""

from __future__ import annotations

from typing import Literal

from atlas.contracts import MAX_CODE_CHARS, Candidate, Perspective, Problem, SamplingParams, Thinking
from atlas.events import Choice
from atlas.extract import program


def candidate(
    choice: Choice,
    problem: Problem,
    sampling: SamplingParams,
    *,
    id: str,  # noqa: A002 - the field's name
    origin: Literal["sample", "plan", "repair"],
    plan: int | None = None,
    parent: str | None = None,
    perspective: Perspective | None = None,
    thinking: Thinking | None = None,
) -> Candidate:
    """Return the candidate a completion holds; `code` is None if there is no program, or one too long."""
    code = program(choice.text, problem.entry_point)
    return Candidate(
        id=id,
        origin=origin,
        plan=plan,
        parent=parent,
        perspective=perspective,
        code=code if code is not None and len(code) <= MAX_CODE_CHARS else None,
        sampling=sampling,
        usage=choice.usage,
        thinking=thinking,
        logprob=choice.logprob,
    )
