"""What the tokens of a condition went to, and what came of it: tasks solved, by what made their programs.

Pure. Where a condition begins with the baseline's sample, what the other parts solve they rescued.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from atlas.contracts import Candidate
from atlas.events import ModelCallFinished
from atlas.state import TaskState
from benchmark.report.content import PartRow

Part = Literal["greedy", "perturbed", "plain", "plan", "repair", "brute_force", "comparing"]
TITLES: Mapping[Part, str] = {
    "greedy": "the sample at temperature 0",
    "perturbed": "samples of the problem put another way",
    "plain": "plain samples",
    "plan": "plans and the samples that follow them",
    "repair": "repairs",
    "brute_force": "brute-force programs",
    "comparing": "inputs to compare programs on, and readings of the statement",
}
_COMMANDS: Mapping[str, Part] = {
    "plans": "plan",
    "repair": "repair",
    "refine": "repair",
    "brute_force": "brute_force",
}


@dataclass(frozen=True)
class Spent:
    """What one task spent on each part, and the part that made its submission (None: there is none)."""

    calls: Mapping[Part, int]
    tokens: Mapping[Part, int]
    submitted: Part | None = None


def spent(state: TaskState, submitted: str | None) -> Spent:
    """Return what a task's recorded calls went to. `submitted`: the id of the candidate handed in."""
    calls: Counter[Part] = Counter()
    tokens: Counter[Part] = Counter()
    for call in state.calls.values():
        part = _of_call(state, call)
        calls[part] += 1
        tokens[part] += sum(choice.usage.tokens_out for choice in call.choices)
    return Spent(calls, tokens, _of_candidate(state.candidates[submitted]) if submitted else None)


def part_rows(condition: str, results: Sequence[tuple[Spent, bool]]) -> tuple[PartRow, ...]:
    """Sum up the results of a condition, each with whether it passed; parts it never used are left out."""
    rows = (_row(condition, part, results) for part in get_args(Part))
    return tuple(row for row in rows if row.calls or row.solved)


def _row(condition: str, part: Part, results: Sequence[tuple[Spent, bool]]) -> PartRow:
    return PartRow(
        condition=condition,
        part=part,
        title=TITLES[part],
        calls=sum(each.calls.get(part, 0) for each, _ in results),
        tokens=sum(each.tokens.get(part, 0) for each, _ in results),
        submitted=sum(each.submitted == part for each, _ in results),
        solved=sum(passed and each.submitted == part for each, passed in results),
    )


def _of_call(state: TaskState, call: ModelCallFinished) -> Part:
    """The part that a call was made for, by its command: `repair:0`, or `generate:3`, which draws c3."""
    kind, _, index = call.command.partition(":") if call.command else ("", "", "")
    if kind != "generate":
        return _COMMANDS.get(kind, "comparing")
    drawn = state.candidates.get(f"c{index}")
    if drawn is not None:
        return _of_candidate(drawn)
    return "greedy" if call.sampling.temperature == 0 else "plain"  # its candidate came too late


def _of_candidate(candidate: Candidate) -> Part:
    if candidate.origin != "sample":
        return candidate.origin
    if candidate.perturbation is not None:
        return "perturbed"
    return "greedy" if candidate.sampling.temperature == 0 else "plain"
