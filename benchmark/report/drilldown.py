"""Single tasks, told from their journals: plans, candidates, executions on public examples, and the choice.

Everything here is what the solving stack itself saw or wrote, plus the grader's verdicts: hidden inputs and
expected outputs are in no journal and no record. Texts are the model's own and hostile until escaped: control
characters are shown as escapes here, markup is the templates' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from atlas.contracts import Candidate, Energy, Execution, Origin, Plan, Verdict
from atlas.errors import InfrastructureError
from atlas.events import TaskAbstained, TaskDecided
from atlas.state import InvalidHistory, TaskState
from atlas.story import Step, Story
from atlas.story_words import count, escaped, printable
from benchmark.report.comparison import comparison
from benchmark.report.content import (
    AttemptNote,
    CandidateNote,
    ExecutionNote,
    PlanNote,
    Status,
    TaskSection,
)
from benchmark.report.parts import Spent, spent
from benchmark.report.words import seconds
from benchmark.results import RunResults, TaskResult, load_journal, load_record, program_sha256
from benchmark.run_store import GradeSummary, TaskRecord

ENDINGS = ("decided: ", "abstained: ", "failed: ", "cancelled")
TITLES: dict[Origin, str] = {
    "sample": "plain sample",
    "plan": "sample after a plan",
    "repair": "repair",
    "brute_force": "brute-force program",
}
GradeOf = Callable[[str, str], str]  # (task, sha256 of a program) -> what both checkers say, or ""


@dataclass(frozen=True)
class Attempt:
    """One task of one run, with the place of its condition in the report."""

    place: int
    label: str
    run: RunResults
    result: TaskResult

    @property
    def graded(self) -> bool:
        """Whether it has a result: the machinery did not fail it."""
        return self.result.outcome != "error"


@dataclass(frozen=True)
class Told:
    """One task of one run, told, with what else its journal says ("" and None where there is none)."""

    attempt: Attempt
    note: AttemptNote
    spent: Spent
    title: str = ""
    statement: str = ""
    origin: Origin | None = None
    energy: float | None = None
    isolation: str = ""
    programs: frozenset[str] = frozenset()


def tell(attempt: Attempt, grade_of: GradeOf) -> Told:
    """Tell one task of one run from its record and its journal."""
    record = load_record(attempt.run, attempt.result.task)
    state, steps, note = _state(attempt.result)
    chosen = state.closed.candidate if isinstance(state.closed, TaskDecided) else None
    best = state.closed.candidate if isinstance(state.closed, TaskAbstained) else chosen
    problem = state.submitted.problem if state.submitted else None

    def graded(code: str | None) -> str:
        return grade_of(record.task, program_sha256(code)) if code is not None else ""

    candidates = [
        _candidate(each, state.executions.get(each.id), each.id == chosen, graded(each.code))
        for each in state.candidates.values()
    ]
    if not candidates and attempt.result.program is not None:
        candidates = [_bare(attempt.result, graded(attempt.result.program))]
    evidence = record.view.evidence if record.view else None
    return Told(
        attempt=attempt,
        note=AttemptNote(
            condition=attempt.label,
            seed=attempt.run.seed,
            status=record.outcome,
            headline=_headline(record),
            facts=tuple(_facts(record)),
            reasons=tuple(_reasons(steps)),
            plans=tuple(map(_plan, state.plans)),
            candidates=tuple(candidates),
            comparison=comparison(state, best),
            story=tuple(_lines(steps)),
            note=note,
        ),
        spent=spent(state, chosen),
        title=problem.title if problem else "",
        statement=escaped(problem.statement) if problem else "",
        origin=state.candidates[chosen].origin if chosen else None,
        energy=evidence.energy.value if evidence and isinstance(evidence.energy, Energy) else None,
        isolation=record.grade.isolation if record.grade else "",
        programs=frozenset(
            program_sha256(each.code) for each in state.candidates.values() if each.code is not None
        ),
    )


def status_of(outcomes: Iterable[str]) -> Status:
    """Sum up a task's outcomes over seeds; errors count only where there is no result."""
    seen = set(outcomes)
    results = seen - {"error"}
    if results == {"passed"}:
        return "passed"
    if results == {"failed"}:
        return "failed"
    if results:
        return "mixed"
    return "error" if seen else "absent"


# ---------------------------------------------------------------- what a journal says


def _state(result: TaskResult) -> tuple[TaskState, list[Step], str]:
    story = Story()
    steps: list[Step] = []
    if result.journal is None:
        note = "This run kept no journal of the task." if result.candidate else ""
        return story.state, steps, note
    try:
        for entry in load_journal(result):
            steps += story.tell(entry)
    except (InfrastructureError, InvalidHistory) as error:
        return story.state, steps, f"The journal cannot be read to its end: {printable(str(error))}"
    return story.state, steps, ""


def _headline(record: TaskRecord) -> str:
    if record.outcome == "error":
        return f"no result: {printable(record.error or 'the machinery failed')}"
    if record.view and record.view.status == "abstained":
        return printable(record.view.error or "abstained")
    if record.grade is None:
        return record.outcome
    return f"{record.outcome}: {grade_in_words(record.grade)}"


def grade_in_words(grade: GradeSummary) -> str:
    """Say a grade: how far it came and what ended it. It holds no test, so nor do the words."""
    if grade.passed is None or not grade.verdicts:
        return f"{printable(grade.note) or 'no verdict'} ({grade.checker})"
    accepted = sum(verdict is Verdict.ACCEPTED for verdict in grade.verdicts)
    if grade.passed:
        return f"all {count(grade.tests, 'test')} accepted ({grade.checker})"
    ending = grade.verdicts[-1].value.replace("_", " ")
    return f"{ending} on test {accepted + 1} of {grade.tests} ({grade.checker})"


def _facts(record: TaskRecord) -> Iterable[str]:
    view = record.view
    if view is None:
        return
    yield f"{view.usage.tokens_in:,} tokens in, {view.usage.tokens_out:,} out"
    yield f"{seconds(view.seconds)}: model {seconds(view.model_s)}, executor {seconds(view.executor_s)}"
    if view.usage.tokens_cached:
        yield f"{view.usage.tokens_cached:,} of the tokens in from cache"
    if view.late_tokens:
        yield f"{view.late_tokens:,} tokens came too late"
    if view.deadline_reached:
        yield "its deadline was reached"
    if view.missing:
        yield f"ran without {', '.join(part.value for part in view.missing)}"
    if record.attempt > 1:
        yield f"attempt {record.attempt}"
    for failure in view.failures:
        yield printable(f"{failure.command} failed: {failure.reason}: {failure.detail}")


def _reasons(steps: Sequence[Step]) -> Iterable[str]:
    """Yield how the task ended, in the journal's own words; only revoked commands may follow that."""
    for step in steps[-2:]:
        if step.text.startswith(ENDINGS):
            yield step.text.removeprefix("decided: ")
            yield from step.details


def _lines(steps: Sequence[Step]) -> Iterable[str]:
    for step in steps:
        yield f"{step.seconds:8.2f} s  {step.text}"
        yield from (f"            {line}" for line in step.details)


def _plan(plan: Plan) -> PlanNote:
    return PlanNote(
        algorithm=escaped(plan.algorithm),
        steps=tuple(map(escaped, plan.steps)),
        data_structures=tuple(map(escaped, plan.data_structures)),
        edge_cases=tuple(map(escaped, plan.edge_cases)),
    )


def _candidate(candidate: Candidate, execution: Execution | None, chosen: bool, grade: str) -> CandidateNote:
    title = TITLES[candidate.origin]
    if candidate.plan is not None:
        title = f"sample after plan {candidate.plan + 1}"
    if candidate.perturbation is not None:
        title = f"sample, the problem put in another way ({candidate.perturbation.replace('_', ' ')})"
    if candidate.parent:
        how = f", looking at {candidate.perspective.replace('_', ' ')}" if candidate.perspective else ""
        title = f"repair of {printable(candidate.parent)}{how}"
    if candidate.parent and candidate.analysis:
        title = (
            f"refinement of {printable(candidate.parent)}: {candidate.analysis.category.replace('_', ' ')}"
        )
    facts = [f"{candidate.usage.tokens_out:,} tokens"]
    if candidate.thinking:
        cut = ", cut" if candidate.thinking.cut else ""
        facts.append(f"{candidate.thinking.tokens:,} of them thinking{cut}")
    if candidate.logprob:
        facts.append(f"mean logprob {candidate.logprob.mean:.3f}")
    energy = candidate.energy
    facts.append(f"energy {energy.value:.3f}" if isinstance(energy, Energy) else f"energy: {energy.reason}")
    facts.append(f"temperature {candidate.sampling.temperature:g}, seed {candidate.sampling.seed}")
    return CandidateNote(
        id=printable(candidate.id),
        chosen=chosen,
        title=title,
        facts=tuple(map(printable, facts)),
        code=escaped(candidate.code) if candidate.code is not None else None,
        cut="" if candidate.code is not None else "its answer holds no program",
        execution=_execution(execution) if execution else None,
        grade=grade,
    )


def _bare(result: TaskResult, grade: str) -> CandidateNote:
    return CandidateNote(
        id=printable(result.candidate or "program"),
        chosen=True,
        title="the submitted program",
        facts=(),
        code=escaped(result.program or ""),
        grade=grade,
    )


def _execution(execution: Execution) -> ExecutionNote:
    return ExecutionNote(
        passed=execution.passed,
        total=execution.total,
        seconds=execution.seconds,
        lines=tuple(
            _verdict(number, verdict.verdict, verdict.error, verdict.output)
            for number, verdict in enumerate(execution.results, 1)
        ),
    )


def _verdict(number: int, verdict: Verdict, error: str, output: str) -> str:
    said = f"example {number}: {verdict.value.replace('_', ' ')}"
    if verdict is Verdict.ACCEPTED:
        return said
    last = printable(error.strip().rpartition("\n")[2])
    if last:
        return f"{said}: {last}"
    if verdict is Verdict.WRONG_ANSWER:
        return (
            f"{said}; it printed {printable(output, 120)}"
            if output.strip()
            else f"{said}; it printed nothing"
        )
    return said


def sections(told: Iterable[Told], conditions: int, odd_of: Callable[[str, str], str]) -> list[TaskSection]:
    """Return every task that any run has a record of, by id, each with all its attempts.

    Args:
        told: every task of every run.
        conditions: how many the report has.
        odd_of: what is odd about a task of this id and title, or "".
    """
    by_task: dict[str, list[Told]] = {}
    for each in told:
        by_task.setdefault(each.attempt.result.task, []).append(each)
    return [
        _section(f"task-{number}", by_task[task], conditions, odd_of)
        for number, task in enumerate(sorted(by_task), 1)
    ]


def _section(
    anchor: str, told: list[Told], conditions: int, odd_of: Callable[[str, str], str]
) -> TaskSection:
    told.sort(key=lambda each: (each.attempt.place, each.attempt.run.seed, each.attempt.run.run_id))
    statuses = tuple(
        status_of(each.attempt.result.outcome for each in told if each.attempt.place == place)
        for place in range(conditions)
    )
    first = told[0].attempt.result
    title = next((each.title for each in told if each.title), "")
    results = {status for status in statuses if status not in ("absent", "error")}
    verdict = "all" if results == {"passed"} else "none" if results == {"failed"} else "differ"
    return TaskSection.model_validate(
        {
            "id": first.task,
            "anchor": anchor,
            "title": title,
            "facts": [each for each in (first.platform, first.difficulty, first.date) if each],
            "statement": next((each.statement for each in told if each.statement), ""),
            "statuses": statuses,
            "verdict": verdict if results else "error",
            "odd": odd_of(first.task, title),
            "attempts": [each.note for each in told],
        }
    )
