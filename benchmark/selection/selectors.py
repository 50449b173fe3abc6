"""What each selector scores on a task: the probability that the program it hands in is right.

The simple ones are rules of a line each, and stand here; `majority` and `full` are the lens's own
(`services/lens/selection.py`), asked for over REST. A rule that leaves a tie is scored by its expectation
over the tie, so no luck of the draw is in the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from atlas.contracts import Candidate, Energy
from atlas.evidence import Comparison
from benchmark.selection.lens import Lens
from benchmark.selection.pools import PooledTask

Name = Literal["random", "shortest", "logprob", "examples", "majority", "full"]
EnergyName = Literal["examples", "full"]
NAMES: tuple[Name, ...] = ("random", "shortest", "logprob", "examples", "majority", "full")


@dataclass(frozen=True)
class Scored:
    """One task: each selector's score, the pass rate of one draw, whether any candidate is right.

    `confidence` and `comparison` are those of the decision of `full`. `with_energy`: the scores of those
    selectors that go by energies, with the candidates' energies; None where there are none.
    """

    task: PooledTask
    scores: dict[Name, float]
    pass_at_1: float
    oracle: float
    confidence: float
    comparison: Comparison
    with_energy: dict[EnergyName, float] | None = None


async def score(lens: Lens, task: PooledTask, with_energies: PooledTask | None = None) -> Scored:
    """Score every selector on a task; `with_energies`: the same task, its candidates scored by the Lens.

    Raises:
        InfrastructureError: the lens does not answer.
    """
    first = len(task.candidates)
    majority = await lens.select(task.entries, "majority", first)
    full = await lens.select(task.entries, "calibrated", first)
    evidence = full.decision.evidence
    if evidence.confidence is None or evidence.agreement is None:
        raise AssertionError(f"{task.task}: a decision about programs without its confidence")
    right = task.right.values()
    return Scored(
        task=task,
        scores={
            "random": expected(task, [c for c in task.candidates if c.code is not None]),
            "shortest": expected(task, shortest(task)),
            "logprob": expected(task, surest(task)),
            "examples": expected(task, passing(task)),
            "majority": float(task.right[majority.decision.candidate]),
            "full": float(task.right[full.decision.candidate]),
        },
        pass_at_1=sum(right) / len(task.candidates),
        oracle=float(any(right)),
        confidence=evidence.confidence,
        comparison=evidence.agreement.comparison,
        with_energy=await _with_energy(lens, with_energies) if with_energies else None,
    )


async def _with_energy(lens: Lens, task: PooledTask) -> dict[EnergyName, float]:
    full = await lens.select(task.entries, "calibrated", len(task.candidates))
    return {
        "examples": expected(task, lowest(passing(task))),
        "full": float(task.right[full.decision.candidate]),
    }


def expected(task: PooledTask, chosen: Sequence[Candidate]) -> float:
    """Return the share of these candidates that are right."""
    return sum(task.right[c.id] for c in chosen) / len(chosen)


def shortest(task: PooledTask) -> list[Candidate]:
    """The candidates with the shortest program."""
    least = min(len(c.code) for c in task.candidates if c.code is not None)
    return [c for c in task.candidates if c.code is not None and len(c.code) == least]


def surest(task: PooledTask) -> list[Candidate]:
    """The candidates whose tokens the model found most probable on average."""
    with_code = [c for c in task.candidates if c.code is not None]
    known = [c for c in with_code if c.logprob is not None]
    most = max((c.logprob.mean for c in known if c.logprob is not None), default=0.0)
    return [c for c in known if c.logprob is not None and c.logprob.mean == most] or with_code


def lowest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of these candidates those of the lowest energy; all of them where none has one."""
    known = [c.energy.value for c in candidates if isinstance(c.energy, Energy)]
    least = min(known, default=None)
    return [c for c in candidates if isinstance(c.energy, Energy) and c.energy.value == least] or list(
        candidates
    )


def passing(task: PooledTask) -> list[Candidate]:
    """The candidates that pass most of the public examples; all of them where there is none."""
    with_code = [c for c in task.candidates if c.code is not None]
    most = max(task.passed.get(c.id, 0.0) for c in with_code)
    return [c for c in with_code if task.passed.get(c.id, 0.0) == most]
