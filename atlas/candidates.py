"""From a model's completion to a candidate."""

from __future__ import annotations

from atlas.choice import letter
from atlas.contracts import (
    MAX_CODE_CHARS,
    Candidate,
    FailureAnalysis,
    Origin,
    Perspective,
    Perturbation,
    Problem,
    SamplingParams,
    Thinking,
)
from atlas.events import Choice
from atlas.extract import name_of, program, program_of_steps


def candidate(
    choice: Choice,
    problem: Problem,
    sampling: SamplingParams,
    *,
    id: str,  # noqa: A002 - the field's name
    origin: Origin,
    plan: int | None = None,
    perturbation: Perturbation | None = None,
    parent: str | None = None,
    perspective: Perspective | None = None,
    analysis: FailureAnalysis | None = None,
    thinking: Thinking | None = None,
) -> Candidate:
    """Return the candidate a completion holds; `code` is None if there is no answer, or one too long."""
    code = handed_in(choice.text, problem)
    return Candidate(
        id=id,
        origin=origin,
        plan=plan,
        perturbation=perturbation,
        parent=parent,
        perspective=perspective,
        analysis=analysis,
        code=code if code is not None and len(code) <= MAX_CODE_CHARS else None,
        sampling=sampling,
        usage=choice.usage,
        thinking=thinking,
        logprob=choice.logprob,
    )


def handed_in(answer: str, problem: Problem) -> str | None:
    """Return what an answer of the model hands in for a problem: a program, or the letter of a choice."""
    if problem.kind == "choice":
        return letter(answer, len(problem.choices))
    if problem.kind == "steps":
        names = [name_of(step.header) for step in problem.steps if not step.given]
        return program_of_steps(answer, [name for name in names if name])
    return program(answer, problem.entry_point)
