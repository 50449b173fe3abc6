"""A task's journal told in words: one step for each thing that happened. Pure.

    story = Story()
    for entry in entries:
        for step in story.tell(entry):
            print(step.seconds, step.text)

Texts hold what the model and its programs wrote (plans, error messages), so whatever could steer a terminal
is shown as an escape instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from atlas.api import TaskView, doubt
from atlas.commands import AnyCommand, Execute, Generate, MakePlans, Refine, Repair, Score
from atlas.contracts import Candidate, Energy, Execution, TestResult, Thinking, Usage, Verdict
from atlas.events import (
    AnyEvent,
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    CandidateProbed,
    CandidatesClustered,
    CandidateScored,
    CommandFailed,
    CommandsRevoked,
    DeadlineReached,
    Entry,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    ModelCallFinished,
    PlanMade,
    SelfTestsMade,
    SelfTestsRun,
    StatementRead,
    TaskAbstained,
    TaskCancelled,
    TaskDecided,
    TaskFailed,
    TaskSubmitted,
)
from atlas.evidence import Evidence
from atlas.pipeline import decide
from atlas.state import TaskState, fold
from atlas.story_comparing import (
    clustered,
    compared_on,
    comparing_now,
    inputs_made,
    inputs_written,
    probed,
    statement_read,
)
from atlas.story_self_tests import self_testing, self_testing_now
from atlas.story_words import Told, Tone, count, printable, spends, stopping_words, words


@dataclass(frozen=True)
class Step:
    """One thing that happened, `seconds` after the task was submitted.

    `details` are lines that belong below it; `machinery` marks what matters to those who study a run rather
    than wait for its end (model calls, revoked commands).
    """

    seconds: float
    text: str
    tone: Tone = "plain"
    details: tuple[str, ...] = ()
    machinery: bool = False


class Story:
    """Tells entries in the order of the journal; keeps what later ones refer to."""

    def __init__(self) -> None:
        self.state = TaskState()
        self._began = 0.0

    def tell(self, entry: Entry) -> list[Step]:
        """Return what an entry has to say: a step, or nothing.

        Raises:
            InvalidHistory: if it cannot follow the entries told before.
        """
        if self.state.seq == 0:
            self._began = entry.time
        self.state = fold(self.state, [entry])
        told = self._told(entry.event)
        if told is None:
            return []
        text, tone, details = told
        machinery = isinstance(entry.event, (ModelCallFinished, CommandsRevoked))
        return [Step(entry.time - self._began, text, tone, tuple(details), machinery)]

    def doing(self) -> str:
        """Say what is being worked on now; nothing once the task has ended."""
        work = sorted(decide(self.state), key=lambda command: command.id)
        return ", ".join(_doing(self.state, command) for command in work)

    def _told(self, event: AnyEvent) -> Told | None:  # noqa: C901 - a table
        match event:
            case TaskSubmitted():
                return _submitted(event), "plain", ()
            case ModelCallFinished():
                return _called(event), "faint", ()
            case PlanMade(plans=plans):
                lines = (f"{n}. {printable(plan.algorithm)}" for n, plan in enumerate(plans, 1))
                return count(len(plans), "plan"), "plain", lines
            case CandidateGenerated(candidate=candidate):
                return _drawn(self.state, candidate), "plain" if candidate.code else "bad", ()
            case CandidateScored(candidate=name, energy=energy):
                value = f"energy {energy.value:.3f}" if isinstance(energy, Energy) else energy.reason
                return f"{name} scored: {printable(value)}", "plain", ()
            case ExecutionFinished(candidate=name, execution=execution):
                return _executed(name, execution)
            case InputsWritten(round=number, written=written):
                return inputs_written(number, written)
            case InputsMade():
                return inputs_made(event)
            case CandidateProbed():
                return probed(event)
            case CandidatesClustered():
                return clustered(event)
            case StatementRead():
                return statement_read(event)
            case BruteForceWritten() | BruteForceChecked() | SelfTestsMade() | SelfTestsRun():
                return self_testing(event)
            case CommandsRevoked(ids=ids):
                return f"no longer wanted: {', '.join(ids)}", "faint", ()
            case CommandFailed(command=command, reason=reason, detail=detail):
                return f"{command} failed ({words(reason)}): {printable(detail)}", "bad", ()
            case DeadlineReached():
                down = " (the services were down when it was)" if event.missed else ""
                return f"the deadline is reached{down}: what there is must do", "bad", ()
            case TaskDecided(candidate=name, evidence=evidence):
                tone: Tone = "good" if evidence.basis == "passed_public_examples" else "plain"
                return f"decided: {judged(name, evidence)}", tone, _reasons(evidence)
            case TaskAbstained(candidate=name, evidence=evidence):
                why = doubt(evidence.confidence, self.state.task.policy.abstain_below)
                return f"abstained: {why}; {judged(name, evidence)}", "bad", _reasons(evidence)
            case TaskFailed(reason=reason):
                return f"failed: {printable(reason)}", "bad", ()
            case TaskCancelled():
                return "cancelled", "bad", ()
        return None  # CommandsIssued: what is done then is told when it is done


def judged(candidate: str, evidence: Evidence) -> str:
    """Say how a program stands, `c2 passed 3 of 3 public examples`, or a letter, `c2, by votes: 3 for B`."""
    if evidence.basis == "majority_vote":
        return (
            f"{candidate}, by votes: {', '.join(f'{n} for {letter}' for letter, n in evidence.votes.items())}"
        )
    if not evidence.public_total:
        return f"{candidate}; there are no public examples"
    if evidence.basis == "not_executed":
        return f"{candidate}, not run on the {count(evidence.public_total, 'public example')}"
    return f"{candidate} passed {evidence.public_passed} of {count(evidence.public_total, 'public example')}"


def epilogue(view: TaskView) -> str:
    """Say in one line how a task ended, on what evidence and at what cost."""
    said = [ending(view)]
    if view.evidence is not None:
        said += _sure(view.evidence) if view.candidate is not None else compared_on(view.evidence)
    drawn = f"{count(view.evidence.candidates, 'candidate')}, " if view.evidence is not None else ""
    return f"{'; '.join(said)}; {drawn}{tokens(view.usage)} tokens, {view.seconds:.1f} s; task {view.id}"


def ending(view: TaskView) -> str:
    """Say how a task ended: how its program stands, or why there is none; its status while it runs."""
    if view.candidate is not None and view.evidence is not None:
        return judged(view.candidate, view.evidence)
    if not view.error:
        return view.status
    said = printable(view.error)
    return said if said.startswith(f"{view.status}: ") else f"{view.status}: {said}"


def _sure(evidence: Evidence) -> list[str]:
    """Say how likely the program is right, where that is known, and who agrees with it."""
    sure = [] if evidence.confidence is None else [f"confidence {evidence.confidence:.2f}"]
    return [*sure, *compared_on(evidence)]


def tokens(usage: Usage) -> str:
    """Return the tokens of a task, prompts and answers together, in digits people can read."""
    return f"{usage.tokens_in + usage.tokens_out:,}"


# ---------------------------------------------------------------- one function per kind of step


def _submitted(event: TaskSubmitted) -> str:
    policy = event.policy
    asked = event.problem
    problem = f"{count(len(asked.examples), 'public example')}"
    problem += " read from the statement" if asked.examples_in_statement else ""
    if asked.kind == "function":
        problem = f"function {asked.entry_point}, {problem}"
    elif asked.kind == "choice":
        problem = f"a question with {count(len(asked.choices), 'choice')}"
    elif asked.kind == "steps":
        problem = f"a program of {count(len(asked.steps), 'step')}"
    lacks = ", ".join(part.value for part in event.missing)
    without = f"; runs without {lacks}" if lacks else ""
    return (
        f"submitted: policy {printable(policy.name)} ({spends(policy)}, seed {policy.seed}), model "
        f"{printable(event.pins.model)}, deadline {event.deadline_s:g} s, {problem}{without}"
    )


def _called(event: ModelCallFinished) -> str:
    usage = sum((choice.usage for choice in event.choices), Usage())
    several = f", {len(event.choices)} completions" if len(event.choices) > 1 else ""
    cut = ", cut off by its limit" if any(choice.finish == "length" for choice in event.choices) else ""
    cached = f" ({usage.tokens_cached:,} cached)" if usage.tokens_cached else ""
    return (
        f"call {event.call}: {usage.tokens_in:,} tokens in{cached}, {usage.tokens_out:,} out{several}{cut}, "
        f"{event.server_s:.1f} s"
    )


def _drawn(state: TaskState, candidate: Candidate) -> str:
    if candidate.analysis is not None:
        what = f"{candidate.id} refined, for {words(candidate.analysis.category)} of {candidate.parent}"
    elif candidate.origin == "repair":
        perspective = f" ({words(candidate.perspective)})" if candidate.perspective else ""
        what = f"{candidate.id} mends {candidate.parent}{perspective}"
    elif candidate.origin == "brute_force":
        what = f"{candidate.id} becomes a candidate, as nothing else passes"
    elif candidate.plan is not None:
        what = f"{candidate.id} drawn after {_plan(state, candidate.plan)}"
    elif candidate.perturbation is not None:
        what = f"{candidate.id} drawn in another way ({words(candidate.perturbation)})"
    else:
        what = f"{candidate.id} drawn"
    thought = _thought(candidate.thinking) if candidate.thinking else ""
    mean = f", mean logprob {candidate.logprob.mean:.2f}" if candidate.logprob else ""
    is_choice = state.is_choice
    if candidate.code is None:
        empty = f"; its answer {'names no choice' if is_choice else 'holds no program'}"
    else:
        empty = f"; it chooses {candidate.code}" if is_choice else ""
    return f"{what}: {count(candidate.usage.tokens_out, 'token')}{thought}{mean}{empty}"


def _thought(thinking: Thinking) -> str:
    cut = ", cut" if thinking.cut else ""
    waits = f", {count(thinking.waits, 'wait')}" if thinking.waits else ""
    known = "" if thinking.difficulty is None else f" for difficulty {thinking.difficulty:.2f}"
    tier = "" if thinking.tier is None else f" of at most {thinking.tier:,}{known}"
    return f" ({thinking.tokens:,} of thinking{tier}{waits}{cut})"


def _executed(name: str, execution: Execution) -> Told:
    passed, of = execution.passed, count(len(execution.results), "public example")
    lines = (f"example {n}: {_verdict(result)}" for n, result in enumerate(execution.results, 1))
    tone: Tone = "good" if execution.all_passed else "bad"
    return f"{name} passes {passed} of {of} ({execution.seconds:.1f} s)", tone, lines


def _verdict(result: TestResult) -> str:
    said = words(result.verdict.value)
    if result.verdict is Verdict.ACCEPTED:
        return said
    last = result.error.strip().rpartition("\n")[2]
    if last:
        return f"{said}: {printable(last)}"
    if result.verdict is Verdict.WRONG_ANSWER:
        return f"{said}: {printable(result.output, 80)}" if result.output.strip() else f"{said}: no output"
    return said


def _reasons(evidence: Evidence) -> list[str]:
    reasons = _sure(evidence)
    if evidence.votes:
        cast = sum(evidence.votes.values())
        reasons.append(f"{cast} of {count(evidence.candidates, 'candidate')} chose")
    if evidence.public_total:
        drawn = count(evidence.candidates, "candidate")
        reasons.append(f"{evidence.survivors} of {drawn} passed every public example")
    if isinstance(evidence.energy, Energy):
        reasons.append(f"energy {evidence.energy.value:.3f}")
    if evidence.mean_logprob is not None:
        reasons.append(f"mean logprob {evidence.mean_logprob:.2f}")
    if evidence.stopped is not None and evidence.stopped.rule != "passing":  # which was told above
        reasons.append(stopping_words(evidence.stopped))
    if evidence.isolation:
        reasons.append(f"isolation: {printable(evidence.isolation)}")
    return reasons


def _doing(state: TaskState, command: AnyCommand) -> str:
    match command:
        case MakePlans(n=n):
            return f"making {count(n, 'plan')}"
        case Generate(first=first, n=n, plan=plan, perturbation=way):
            last = f" to c{first + n - 1}" if n > 1 else ""
            after = f" after {_plan(state, plan)}" if plan is not None else ""
            return f"drawing c{first}{last}{after or (f' ({words(way)})' if way else '')}"
        case Score(candidate=name):
            return f"scoring {name}"
        case Execute(candidate=name):
            return f"running {name} on {count(len(state.task.problem.examples), 'public example')}"
        case Repair(index=index, candidate=name, perspective=perspective):
            return f"repair {index + 1} of {name} ({words(perspective)})"
        case Refine(index=index, candidates=names):
            return f"refinement {index + 1}, from {', '.join(names)}"
    return comparing_now(state, command) or self_testing_now(command) or "choosing"


def _plan(state: TaskState, index: int) -> str:
    return f"plan {index + 1}: {printable(state.plans[index].algorithm, 60)}"
