"""What may have been measured beside a run: both checkers' grades of all programs, by `benchmark.regrade`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atlas.story_words import count
from benchmark.datasets import oddities
from benchmark.drawn import Drawn, drawn
from benchmark.grades import Program, ProgramGrade, load_grades
from benchmark.protocol import Metric, protocol
from benchmark.report.content import ListedTask, Listing, SecondaryRow, TaskSection
from benchmark.report.drilldown import GradeOf, Told, grade_in_words
from benchmark.report.groups import Group
from benchmark.report.words import listed
from benchmark.results import RunResults

HOW = "python -m benchmark.regrade RUN"


@dataclass(frozen=True)
class Measured:
    """Read once for all runs of a report. `grades` holds the runs that were regraded, by directory."""

    grades: Mapping[Path, Mapping[Program, ProgramGrade]]
    titles: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Sequence[RunResults]) -> Measured:
        """Read what there is.

        Raises:
            InfrastructureError: a file of grades cannot be read, or is not of this version.
        """
        found = {run.directory: load_grades(run.directory) for run in runs}
        return cls(grades={directory: grades for directory, grades in found.items() if grades})

    def grades_of(self, run: RunResults) -> GradeOf:
        """Return what says how both checkers judge a program of this run."""
        grades = self.grades.get(run.directory, {})

        def said(task: str, sha256: str) -> str:
            grade = grades.get(Program(task, sha256))
            if grade is None:
                return ""
            return f"{grade_in_words(grade.official)}; {grade_in_words(grade.strict)}"

        return said

    def lost(self, told: Told) -> bool:
        """Whether the submission is wrong though another program of its task is right."""
        grades = self.grades.get(told.attempt.run.directory, {})
        task = told.attempt.result.task
        graded = [grades.get(Program(task, sha256)) for sha256 in told.programs]
        return told.attempt.result.outcome == "failed" and any(
            grade is not None and grade.official.passed is True for grade in graded
        )

    @property
    def secondary_note(self) -> str:
        """Say what the secondary metrics are, or why there are none."""
        if not self.grades:
            return f"Not measured: no run here was regraded with both checkers ({HOW})."
        return (
            "None of these is the headline. They answer other questions about the same tasks, from the "
            "grades of every program that was drawn; each row says what it is and is not. Intervals: 95%."
        )

    def secondary(self, groups: Sequence[Group]) -> tuple[SecondaryRow, ...]:
        """Return every metric of every regraded run.

        Raises:
            InfrastructureError: a journal cannot be read.
        """
        return tuple(
            row
            for group in groups
            for run in group.runs
            if run.directory in self.grades
            for row in self._secondary(group, run)
        )

    def _secondary(self, group: Group, run: RunResults) -> list[SecondaryRow]:
        draws = [found for result in run.graded if (found := drawn(result)) is not None]
        said = protocol(
            run,
            self.grades[run.directory],
            draws,
            odd=lambda task: oddities.for_task(task, self.titles.get(task, "")) is not None,
            strict_leaves_out=self._strict_leaves_out,
        )
        label = group.label if len(group.runs) == 1 else f"{group.label}, seed {run.seed}"
        rows = [_metric_row(label, metric) for metric in said.metrics if _is_shown(metric, draws)]
        rows += [
            SecondaryRow(
                condition=label, metric=name, value=None, interval=None, n=0, note=f"Not given: {why}"
            )
            for name, why in said.not_given.items()
        ]
        return rows

    def _strict_leaves_out(self, task: str) -> bool:
        odd = oddities.for_task(task, self.titles.get(task, ""))
        return odd is not None and odd.strict

    def disagreements(self, groups: Sequence[Group], by_id: Mapping[str, TaskSection]) -> Listing:
        """List the submissions that one checker accepts and the other calls a wrong answer."""
        title = "Where the official and the strict checker differ"
        if not self.grades:
            return Listing(
                title=title, note=f"Not measured: no run here was regraded with both ({HOW}).", tasks=()
            )
        found: dict[tuple[str, str], list[str]] = {}
        for group in groups:
            for run in group.runs:
                for task, kind in self._differing(run):
                    found.setdefault((task, kind), []).append(group.label)
        regraded = [group.label for group in groups for run in group.runs if run.directory in self.grades]
        note = (
            f"Of submissions under {listed(list(dict.fromkeys(regraded)))}. The headline is the official one."
        )
        return Listing(
            title=title,
            note=note if found else f"{note} They differ on no submission.",
            tasks=tuple(
                ListedTask(
                    task=task,
                    anchor=by_id[task].anchor,
                    kind=kind,
                    text=f"under {listed(list(dict.fromkeys(labels)))}",
                    statuses=by_id[task].statuses,
                )
                for (task, kind), labels in sorted(found.items())
            ),
        )

    def _differing(self, run: RunResults) -> list[tuple[str, str]]:
        grades = self.grades.get(run.directory, {})
        own = [
            (result.task, grades[name])
            for result in run.graded
            if result.program_sha256 and (name := Program(result.task, result.program_sha256)) in grades
        ]
        return [
            (task, "passes officially only" if grade.official.passed else "passes strictly only")
            for task, grade in own
            if grade.differ
        ]


def _is_shown(metric: Metric, draws: Sequence[Drawn]) -> bool:
    """Leave out what says nothing new: the headline itself, and a choice among one."""
    alone = metric.name == "public_selected@1" and all(len(each.first_draws) <= 1 for each in draws)
    return metric.name != "headline" and not alone


def _metric_row(label: str, metric: Metric) -> SecondaryRow:
    notes = [metric.what]
    notes += [f"{count(metric.left_out, 'task')} left out"] if metric.left_out else []
    notes += [f"{count(metric.short, 'task')} drew fewer than {metric.k}"] if metric.short else []
    return SecondaryRow(
        condition=label,
        metric=metric.name,
        value=metric.rate,
        interval=(metric.interval.low, metric.interval.high),
        n=metric.n,
        note="; ".join(notes),
    )
