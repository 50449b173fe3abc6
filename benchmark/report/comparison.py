"""How a task's programs were compared, from its journal: inputs, what each gave on them, who agrees.

Inputs and outputs are the solving stack's own: nobody knows a right answer to any of them. Texts are hostile
until escaped, as in `benchmark.report.drilldown`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from atlas.executor import RunStatus
from atlas.generated_inputs import ProbedRun
from atlas.state import TaskState
from atlas.story_comparing import ORIGINS, inputs_made, statement_read
from atlas.story_words import printable, words
from benchmark.report.content import CellNote, ClusterNote, ComparisonNote, InputNote, ProbeRow

LONGEST_INPUT = 400
LONGEST_OUTPUT = 60
MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_OUTPUT = "×"


def comparison(state: TaskState, chosen: str | None) -> ComparisonNote | None:
    """Return how programs were compared; None where they were not.

    A program whose text another one has is run once, and its row is that of the first.
    """
    if not state.inputs and state.clustered is None:
        return None
    rounds = sorted(state.inputs)
    columns = [(number, place) for number in rounds for place in range(len(state.inputs[number].inputs))]
    probed = list(dict.fromkeys(candidate for _, candidate in state.probes))
    runs = {
        candidate: [_run(state, number, candidate, place) for number, place in columns]
        for candidate in probed
    }
    groups = [_groups(runs[candidate][n] for candidate in probed) for n in range(len(columns))]
    clusters = state.clustered.clusters if state.clustered else ()
    return ComparisonNote(
        inputs=tuple(
            InputNote(text=printable(each.text, LONGEST_INPUT), origin=ORIGINS[each.origin])
            for number in rounds
            for each in state.inputs[number].inputs
        ),
        note="; ".join(inputs_made(state.inputs[number])[0] for number in rounds),
        rows=tuple(
            ProbeRow(
                candidate=printable(candidate),
                chosen=candidate == chosen,
                cells=tuple(
                    None if run is None else _cell(run, group)
                    for run, group in zip(runs[candidate], groups, strict=True)
                ),
            )
            for candidate in probed
        ),
        clusters=tuple(
            ClusterNote(
                candidates=tuple(map(printable, each.candidates)),
                probability=each.probability,
                chosen=chosen in each.candidates,
            )
            for each in clusters
        ),
        reading=_reading(state),
    )


def _run(state: TaskState, number: int, candidate: str, place: int) -> ProbedRun | None:
    runs = state.probes.get((number, candidate))
    return runs[place] if runs else None


def _groups(runs: Iterable[ProbedRun | None]) -> dict[str, int]:
    """Number the outputs on one input, the most common first."""
    seen = Counter(_output(run) for run in runs if run is not None and run.status is RunStatus.OK)
    return {output: number for number, (output, _) in enumerate(seen.most_common())}


def _output(run: ProbedRun) -> str:
    """What tells outputs apart: the text without space at its end, or the hash of one that was cut."""
    return run.output.rstrip() if run.whole else run.output_sha256


def _cell(run: ProbedRun, groups: dict[str, int]) -> CellNote:
    if run.status is not RunStatus.OK:
        return CellNote(group=None, mark=NO_OUTPUT, said=words(run.status.value))
    group = groups[_output(run)]
    shown = printable(run.output, LONGEST_OUTPUT) if run.output.strip() else "nothing"
    mark = MARKS[group] if group < len(MARKS) else str(group + 1)
    return CellNote(group=group, mark=mark, said=f"output {mark}: {shown}")


def _reading(state: TaskState) -> str:
    if state.read is None:
        return ""
    text, _, details = statement_read(state.read)
    return "; ".join([text, *details])
