"""How programs were compared, in words: the part of `atlas.story` about generated inputs. Pure.

Inputs and outputs are the model's and its programs': whatever could steer a terminal is shown as an escape.
"""

from __future__ import annotations

from collections import Counter

from atlas.commands import AnyCommand, ClusterCandidates, MakeInputs, Probe, ReadStatement, WriteInputs
from atlas.events import CandidateProbed, CandidatesClustered, InputsMade, StatementRead
from atlas.evidence import Evidence
from atlas.executor import RunStatus
from atlas.generated_inputs import InputOrigin, ProbedRun, Validation, WrittenInputs
from atlas.state import TaskState
from atlas.story_words import Told, count, printable, words

LONGEST_INPUT = 80
VALIDATIONS: dict[Validation, str] = {
    "none": "not validated",
    "refuted": "not validated: the validator refuses a public example",
    "unchecked": "validated by a program that no example could check",
    "checked": "validated by a program that accepts every public example",
}
ORIGINS: dict[InputOrigin, str] = {
    "model": "from the model",
    "generator": "from the generator program",
    "mutation": "from an example varied",
    "distinguishing": "to tell programs apart",
}


def inputs_written(number: int, written: WrittenInputs) -> Told:
    """Tell what the model wrote for a round."""
    parts = [count(len(written.texts), "input")]
    parts += ["a generator program"] if written.generator is not None else []
    parts += ["a validator program"] if written.validator is not None else []
    return f"{_round(number)}: the model writes {', '.join(parts)}", "plain", ()


def inputs_made(event: InputsMade) -> Told:
    """Tell which inputs programs are run on."""
    refused = f"; {event.refused:,} refused" if event.refused else ""
    made = count(len(event.inputs), "input")
    said = f"{_round(event.round)}: {made}, {VALIDATIONS[event.validation]}{refused}"
    lines = (
        f"{n}. {printable(each.text, LONGEST_INPUT)} ({ORIGINS[each.origin]})"
        for n, each in enumerate(event.inputs, 1)
    )
    return said, "plain" if event.inputs else "bad", lines


def probed(event: CandidateProbed) -> Told:
    """Tell what a program gave on the inputs of a round."""
    ended = Counter(run.status for run in event.runs)
    trouble = ", ".join(
        f"{n} {words(status.value)}" for status, n in ended.items() if status is not RunStatus.OK
    )
    said = (
        f"{event.candidate} gives an output on {ended[RunStatus.OK]} of {count(len(event.runs), 'input')}"
        f"{f' ({trouble})' if trouble else ''} ({event.seconds:.1f} s)"
    )
    lines = (f"{n}. {_gave(run)}" for n, run in enumerate(event.runs, 1))
    return said, "plain", lines


def clustered(event: CandidatesClustered) -> Told:
    """Tell which programs agree."""
    on = f"on {count(event.inputs, 'input')}" if event.inputs else "without a usable input"
    groups = count(len(event.clusters), "group")
    contest = f"; {event.contested[0]} against {event.contested[1]} is open" if event.contested else ""
    agreeing = f"; {event.agreeing} independently planned ones agree" if event.agreeing > 1 else ""
    lines = (
        f"{', '.join(cluster.candidates)}: probability {cluster.probability:.2f}"
        for cluster in event.clusters
    )
    return f"compared {on}: {groups} of programs that agree{agreeing}{contest}", "plain", lines


def statement_read(event: StatementRead) -> Told:
    """Tell how the model reads the statement."""
    (a, b), (for_a, for_b) = event.between, event.votes
    said = f"the model reads the statement: {count(for_a, 'vote')} for {a}, {for_b:,} for {b}"
    return said, "plain", (f"input: {printable(event.input, LONGEST_INPUT)}",)


def compared_on(evidence: Evidence) -> list[str]:
    """Say how many programs agree with the one chosen, or why they were not compared."""
    agreement = evidence.agreement
    if agreement is None or agreement.comparison == "not_asked":
        return []
    if agreement.comparison == "compared":
        of = max(sum(agreement.clusters), agreement.agreeing)
        agree = "agrees" if agreement.agreeing == 1 else "agree"
        return [
            f"{agreement.agreeing} of {count(of, 'program')} {agree} on {count(agreement.inputs, 'input')}"
        ]
    return [WHY_NOT[agreement.comparison]]


WHY_NOT = {
    "no_usable_inputs": "programs could not be compared: no input is usable",
    "one_program": "no other program to compare it with",
    "no_survivor": "not compared: no program passes every public example",
}


def comparing_now(state: TaskState, command: AnyCommand) -> str:
    """Say what is being worked on; nothing for a command that compares no programs."""
    match command:
        case WriteInputs(between=None):
            return "writing inputs to compare programs on"
        case WriteInputs(between=(a, b)):
            return f"writing inputs on which {a} and {b} may differ"
        case MakeInputs():
            return "making inputs"
        case Probe(round=number, candidate=name):
            made = state.inputs.get(number)
            return f"running {name} on {count(len(made.inputs), 'input') if made else 'inputs'}"
        case ClusterCandidates():
            return "comparing what programs gave"
        case ReadStatement(between=(a, b)):
            return f"reading the statement for {a} or {b}"
    return ""


def _round(number: int) -> str:
    return "inputs" if number == 0 else f"inputs, round {number + 1}"


def _gave(run: ProbedRun) -> str:
    if run.status is not RunStatus.OK:
        return words(run.status.value)
    return printable(run.output, LONGEST_INPUT) if run.output.strip() else "no output"
