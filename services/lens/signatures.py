"""Execution signatures: what each program gave on the generated inputs, and when two gave the same.

Pure, over the journal's probes. Candidates of equal code share whatever one of them was run for.

Two runs agree if both ended well with outputs equal under the grader's `strict` rules taken in either
direction (so near-equal floats agree, whichever of them is written as a decimal), or if both failed with the
same status. Nearness is not transitive, so on each input the programs are taken in the order they were drawn
and each joins the first kind of outcome whose *first* run it agrees with, else begins one. Having the same
kind of outcome on every input is then an equivalence relation, and the same journal always gives the same
one.

What counts:

- An output that is cut is known by its hash alone: it agrees with the very same text only.
- A function that returned a value JSON has no word for has an empty output. No grader accepts it and nobody
  knows what it was, so it did not end well, and agrees with nothing but the same program's.
- An input is usable if a program ended well on it. How programs fail on an input that none of them can read
  says nothing about them: the others are left out.
- A program that was never run on the first round (or whose run the machinery failed) is *apart*: it has no
  signature. A later round counts once no compared program still waits for it: when a deadline cuts it short,
  it is left out for all. An input on which the machinery failed some program is left out for all, too.
  So any two signatures are over the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from atlas import checkers
from atlas.contracts import Candidate
from atlas.executor import RunStatus
from atlas.generated_inputs import ProbedRun
from atlas.state import TaskState

Kind = Literal["stdin", "function"]


@dataclass(frozen=True)
class Signature:
    """One program on every usable input: the kind of outcome, and whether it ended well.

    Kinds are numbered for each input in the order in which programs showed them.
    """

    kinds: tuple[int, ...]
    ok: tuple[bool, ...]


@dataclass(frozen=True)
class Signatures:
    """Signatures by program text, on so many usable inputs. Programs apart are not there."""

    inputs: int = 0
    of: Mapping[str, Signature] = field(default_factory=dict)


def ended_well(kind: Kind, run: ProbedRun) -> bool:
    """Whether the run gave an output that a grader could accept."""
    return run.status is RunStatus.OK and (kind == "stdin" or bool(run.output))


def agree(kind: Kind, one: ProbedRun, other: ProbedRun) -> bool:
    """Whether runs of two different programs came to the same. Symmetric; not transitive."""
    if not (ended_well(kind, one) and ended_well(kind, other)):
        return one.status is other.status and one.status is not RunStatus.OK
    if not (one.whole and other.whole):
        return bool(one.output_sha256) and one.output_sha256 == other.output_sha256
    return checkers.agree(kind, one.output, other.output)


def signatures(state: TaskState, candidates: Sequence[Candidate]) -> Signatures:
    """Return what the candidates' programs gave on the inputs of every round that counts.

    Nothing where the problem is of a kind whose programs are not run on inputs.
    """
    kind = state.task.problem.kind
    if kind not in ("stdin", "function"):
        return Signatures()
    runs = _compared(state, candidates)
    usable = [
        column
        for column in zip(*runs.values(), strict=True)  # of an input, every program's run
        if all(run.status is not RunStatus.INFRASTRUCTURE_ERROR for run in column)
        and any(ended_well(kind, run) for run in column)
    ]
    kinds = [_kinds(kind, column) for column in usable]
    return Signatures(
        inputs=len(usable),
        of={
            text: Signature(
                kinds=tuple(each[place] for each in kinds),
                ok=tuple(ended_well(kind, column[place]) for column in usable),
            )
            for place, text in enumerate(runs)
        },
    )


def _compared(state: TaskState, candidates: Sequence[Candidate]) -> dict[str, list[ProbedRun]]:
    """Runs of every compared program text, all on the same inputs."""
    ids: dict[str, list[str]] = {}
    for candidate in candidates:
        ids.setdefault(candidate.code or "", []).append(candidate.id)
    rows: dict[str, list[ProbedRun]] = {text: [] for text in ids}
    seen: set[str] = set()
    for number, made in sorted(state.inputs.items()):
        found = {text: _probe(state, number, ids[text]) for text in rows}
        waits = any(runs is None and not _failed(state, number, ids[text]) for text, runs in found.items())
        if not any(found.values()) or (any(rows.values()) and waits):
            continue
        new = list(_new(seen, [given.text for given in made.inputs]))
        rows = {text: [*rows[text], *(runs[i] for i in new)] for text, runs in found.items() if runs}
    return rows if any(rows.values()) else {}


def _probe(state: TaskState, number: int, ids: list[str]) -> tuple[ProbedRun, ...] | None:
    """The runs in a round of a program that these candidates share, if the machinery gave any."""
    for name in ids:
        runs = state.probes.get((number, name), ())
        if any(run.status is not RunStatus.INFRASTRUCTURE_ERROR for run in runs):
            return runs
    return None


def _failed(state: TaskState, number: int, ids: list[str]) -> bool:
    return any(f"probe:{number}:{name}" in state.failures or (number, name) in state.probes for name in ids)


def _new(seen: set[str], texts: list[str]) -> Iterator[int]:
    """Places of the texts not met before: an input that comes again is no further evidence."""
    for place, text in enumerate(texts):
        if text not in seen:
            seen.add(text)
            yield place


def _kinds(kind: Kind, column: Sequence[ProbedRun]) -> list[int]:
    """The kind of outcome of each program's run on one input."""
    first: list[ProbedRun] = []
    known: dict[tuple[RunStatus, str, str], int] = {}
    kinds = []
    for run in column:
        key = (run.status, run.output, run.output_sha256)
        number = known.get(key)
        if number is None:
            number = next((i for i, leader in enumerate(first) if agree(kind, leader, run)), len(first))
        if number == len(first):
            first.append(run)
        if run.status is not RunStatus.OK or ended_well(kind, run):
            known[key] = number
        kinds.append(number)
    return kinds
