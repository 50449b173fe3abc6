"""From runs to a report: every part of it composed, none of it laid out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atlas.policy import POLICIES
from atlas.story_words import count
from benchmark.cost import Price
from benchmark.datasets import oddities
from benchmark.report import drilldown
from benchmark.report.breakdowns import breakdowns
from benchmark.report.content import (
    ConditionRow,
    Fact,
    ListedTask,
    Listing,
    PairRow,
    PartRow,
    Report,
    TaskSection,
)
from benchmark.report.costs import with_energy
from benchmark.report.drilldown import Attempt, Told
from benchmark.report.figures import figures
from benchmark.report.fitting import fit
from benchmark.report.groups import Group, condition_row, grouped, pair_rows, rate
from benchmark.report.measured import Measured
from benchmark.report.parts import part_rows
from benchmark.report.words import listed, p_value, percent, points, points_between, share
from benchmark.results import RunResults

MOST_COMMANDS = 12
Tick = Callable[[str, int, int], None]  # what is being done, how far, of how much


@dataclass
class Parts:
    """What the parts of a report are made of."""

    groups: list[Group]
    rows: list[ConditionRow]
    pairs: list[PairRow]
    told: list[Told]
    sections: list[TaskSection]
    measured: Measured
    by_id: dict[str, TaskSection] = field(init=False)

    def __post_init__(self) -> None:
        self.by_id = {section.id: section for section in self.sections}


def gather(runs: Sequence[RunResults], tick: Tick = lambda *_: None, price: Price | None = None) -> Report:
    """Compose the report of these runs. Without a `price` of energy no cost is stated.

    Raises:
        InfrastructureError: a file of a run cannot be read, or is not of this version.
    """
    groups = grouped(runs)
    measured = Measured.of(runs)
    rows, costs = with_energy(groups, [condition_row(group) for group in groups], price)
    pairs = pair_rows(groups)
    attempts = [
        Attempt(place, group.label, run, result)
        for place, group in enumerate(groups)
        for run in group.runs
        for result in run.tasks
    ]
    told = []
    for number, attempt in enumerate(attempts):
        tick("reading journals", number, len(attempts))
        told.append(drilldown.tell(attempt, measured.grades_of(attempt.run)))
    sections = drilldown.sections(told, len(groups), _odd)
    measured.titles.update({section.id: section.title for section in sections})
    parts = Parts(groups, rows, pairs, told, sections, measured)
    tick("drawing plots", 0, 1)
    drawn = figures(groups, rows, pairs, told, measured.lost if measured.grades else None)
    kept, cut = fit(sections)
    return Report(
        title=_title(groups),
        lead=tuple(_lead(parts)),
        warnings=tuple(_warnings(parts)),
        facts=tuple(_facts(runs, told)),
        commands=tuple(_commands(runs)),
        conditions=tuple(rows),
        pairs=tuple(pairs),
        parts=_spent_on(groups, told),
        secondary=measured.secondary(groups),
        secondary_note=measured.secondary_note,
        breakdowns=breakdowns(groups),
        listings=(_oddities(parts), measured.disagreements(groups, parts.by_id), _errors(parts)),
        costs=costs,
        plots=drawn,
        tasks=tuple(kept),
        tasks_note=cut,
    )


def _spent_on(groups: Sequence[Group], told: Sequence[Told]) -> tuple[PartRow, ...]:
    rows: list[PartRow] = []
    for place, group in enumerate(groups):
        graded = [each for each in told if each.attempt.place == place and each.attempt.graded]
        rows += part_rows(group.label, [(each.spent, each.attempt.result.passed) for each in graded])
    return tuple(rows)


# ---------------------------------------------------------------- the top of the page


def _title(groups: Sequence[Group]) -> str:
    names = list(dict.fromkeys(group.runs[0].condition for group in groups))
    models = list(dict.fromkeys(group.model or "no model yet" for group in groups))
    data = list(dict.fromkeys(group.runs[0].configuration.dataset for group in groups))
    what = f"condition {names[0]}" if len(names) == 1 else f"conditions {listed(names[:8])}"
    return f"{listed(models)} on {listed(data)}: {what}"


def _lead(parts: Parts) -> list[str]:
    rows = [row for row in parts.rows if row.pass_rate is not None]
    if not rows:
        return ["No task has a result yet."]
    said = [
        f"{row.label} solves {share(row.pass_rate, row.interval)} of {count(row.tasks, 'task')}"
        for row in (rows if len(rows) <= 4 else _ends(rows))
    ]
    first = ("" if len(rows) <= 4 else "At the ends: ") + "; ".join(said)
    lead = [f"{first}. In brackets: 95% intervals."]
    if parts.pairs:
        pair = max(parts.pairs, key=lambda each: abs(each.difference))
        which = "The difference" if len(parts.pairs) == 1 else "The largest difference"
        lead.append(
            f"{which} is {points(pair.difference)} from {pair.a} to {pair.b} (95% interval "
            f"{points_between(pair.interval)}, {p_value(pair.p_value)}, "
            f"{count(pair.n, 'task')} under both). {pair.power}"
        )
    elif len(parts.rows) == 1:
        lead.append("One condition alone: there is nothing here to compare it with.")
    return lead


def _ends(rows: Sequence[ConditionRow]) -> list[ConditionRow]:
    ordered = sorted(rows, key=lambda row: row.pass_rate or 0.0)
    return [ordered[0], ordered[-1]]


def _warnings(parts: Parts) -> list[str]:
    runs = [run for group in parts.groups for run in group.runs]
    said = [
        f"{row.label} is not finished: {row.n + row.errors:,} of {row.asked:,} results are there, and its "
        "rate is of those."
        for row in parts.rows
        if row.unfinished > 0
    ]
    said += [
        f"{row.label} ran without a part of it: {', '.join(row.missing)}."
        for row in parts.rows
        if row.missing
    ]
    said += [
        f"{row.label}: {count(row.errors, 'task')} ended in an error of the machinery and "
        f"{'is' if row.errors == 1 else 'are'} in no rate."
        for row in parts.rows
        if row.errors
    ]
    if len({run.configuration.dataset_sha256 for run in runs}) > 1:
        said.append(
            "These runs are not of the same tasks (their content hashes differ): pairs are compared on the "
            "ids that both have, and the conditions' own rates are not comparable."
        )
    if len({run.configuration.grader for run in runs}) > 1:
        said.append("These runs were not graded by the same checker.")
    pins = {(run.pins.pipeline, run.pins.prompts_sha256) for run in runs if run.pins}
    if len(pins) > 1:
        said.append("These runs were not made with the same prompts and pipeline; see “What was measured”.")
    return said


# ---------------------------------------------------------------- what was measured


def _facts(runs: Sequence[RunResults], told: Sequence[Told]) -> list[Fact]:
    pins = [run.pins for run in runs if run.pins]
    weights = [pin.lens_weights or "none" for pin in pins]
    facts = {
        "Data set": [
            f"{run.configuration.dataset}: {count(run.configuration.tasks, 'task')}, content "
            f"{run.configuration.dataset_sha256[:16]}"
            for run in runs
        ],
        "Model": [pin.model for pin in pins] or ["no task has been submitted"],
        "Seeds": [", ".join(map(str, sorted({run.seed for run in runs})))],
        "Grader": [
            f"{run.configuration.grader}: every public and hidden test, all must pass" for run in runs
        ],
        "Begun": [_span([run.created_at for run in runs])],
        "Pipeline": [f"version {pin.pipeline}, prompts {pin.prompts_sha256[:16]}" for pin in pins],
        "Lens weights": weights or ["not known yet"],
        "Isolation": sorted({each.isolation for each in told if each.isolation}) or ["nothing graded yet"],
    }
    top = list(facts)[:5]
    facts |= _files(runs)
    return [
        Fact(name=name, values=tuple(dict.fromkeys(values)), top=name in top)
        for name, values in facts.items()
    ]


def _span(times: Sequence[str]) -> str:
    """Say when runs began, in UTC to the minute."""
    said = [f"{time[:10]} {time[11:16]} UTC" for time in (min(times), max(times))]
    return said[0] if said[0] == said[1] else f"{said[0]} to {said[1]}"


def _files(runs: Sequence[RunResults]) -> dict[str, list[str]]:
    files = [
        f"{Path(source.file).name}: {source.rows:,} rows, {source.sha256[:16]}"
        + (f", revision {source.revision}" if source.revision else "")
        for run in runs
        for source in run.sources
    ]
    left_out = {name: why for run in runs for name, why in run.excluded.items()}
    facts = {"Files": files} if files else {}
    if left_out:
        facts["Left out"] = [f"{name}: {why}" for name, why in sorted(left_out.items())]
    return facts


def _commands(runs: Sequence[RunResults]) -> list[str]:
    lines = list(dict.fromkeys(map(_command, runs)))
    more = f"# and {count(len(lines) - MOST_COMMANDS, 'command')} more" if len(lines) > MOST_COMMANDS else ""
    return [*lines[:MOST_COMMANDS], *([more] if more else [])]


def _command(run: RunResults) -> str:
    asked = run.configuration
    files = ",".join(dict.fromkeys(source.file for source in run.sources)) or asked.dataset
    words = ["python", "-m", "benchmark.v3_runner", "--dataset", files, "--condition", asked.condition]
    words += ["--seed", str(asked.seed)] if asked.seed else []
    notes = [f"tasks: {asked.dataset}"] if Path(files).name != asked.dataset else []
    named = POLICIES.get(run.policy.name)
    if named is None:
        notes.append("a policy of its own")
    else:
        then, now = named.model_dump(), run.policy.model_dump()
        changed = {key: value for key, value in now.items() if then[key] != value and key != "seed"}
        if "token_budget" in changed:
            words += ["--token-budget", str(changed.pop("token_budget"))]
        if changed:
            notes.append(f"with {', '.join(f'{key} = {value}' for key, value in changed.items())}")
    return shlex.join(words) + (f"  # {'; '.join(notes)}" if notes else "")


# ---------------------------------------------------------------- lists of tasks


def _odd(task: str, title: str) -> str:
    odd = oddities.for_task(task, title)
    return f"Known to be odd ({odd.kind.replace('_', ' ')}): {odd.reason} ({odd.source})" if odd else ""


def _oddities(parts: Parts) -> Listing:
    found = [(section, oddities.for_task(section.id, section.title)) for section in parts.sections]
    odd = [(section, each) for section, each in found if each]
    if not odd:
        note = (
            "None of these tasks is in the list of tasks with several right answers, wrong tests or a judge."
        )
        return Listing(title="Known to be odd", note=note, tasks=())
    names = {section.id for section, _ in odd}
    summary = []
    for group, row in zip(parts.groups, parts.rows, strict=True):
        without = rate(group, lambda each: each.task not in names)
        summary.append(
            f"{group.label}: {share(row.pass_rate, row.interval)} with them, "
            f"{share(without.rate, without.interval)} without (n = {without.n})"
        )
    return Listing(
        title="Known to be odd",
        note="Tasks whose tests do not say what their statements say. They are in the headline; here is the "
        "rate without them.",
        tasks=tuple(
            ListedTask(
                task=section.id,
                anchor=section.anchor,
                kind=each.kind.replace("_", " "),
                text=f"{each.reason} ({each.source})",
                statuses=section.statuses,
            )
            for section, each in odd
        ),
        summary=tuple(summary),
    )


def _errors(parts: Parts) -> Listing:
    listed_tasks = []
    for told in parts.told:
        result = told.attempt.result
        if not told.attempt.graded:
            section = parts.by_id[result.task]
            listed_tasks.append(
                ListedTask(
                    task=result.task,
                    anchor=section.anchor,
                    kind=f"{told.attempt.label}, seed {told.attempt.run.seed}",
                    text=f"{result.cause or 'machinery'}: {result.error or 'no reason noted'}"[:300],
                    statuses=section.statuses,
                )
            )
    return Listing(
        title="Errors",
        note="Tasks without a result because machinery failed. A resume of the run tries them again."
        if listed_tasks
        else "No task ended in an error of the machinery.",
        tasks=tuple(listed_tasks),
    )


def rates_in_words(rows: Sequence[ConditionRow]) -> str:
    """Say each condition's rate, for a line on a terminal."""
    return "; ".join(f"{row.label} {percent(row.pass_rate)} (n = {row.n})" for row in rows)
