"""What single tasks say, cut until a page of many runs stays small enough to open fast."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from atlas.story_words import count
from benchmark.report.content import AttemptNote, CandidateNote, ComparisonNote, PlanNote, TaskSection

TEXT_BUDGET = 5_500_000  # bytes of text on the page, as HTML; markup and plots come on top


@dataclass(frozen=True)
class Cuts:
    """How much of each text is kept, in characters; of lists, how many entries.

    `only_chosen`: of a task's programs only the submitted one, no plans, and of comparisons the groups alone.
    """

    code: int
    statement: int
    text: int
    lines: int
    only_chosen: bool = False


# From what a small report shows to what the largest one can: the first that fits is used.
LEVELS = (
    Cuts(code=12_000, statement=12_000, text=2_000, lines=200),
    Cuts(code=4_000, statement=3_000, text=600, lines=60),
    Cuts(code=1_800, statement=1_200, text=300, lines=25),
    Cuts(code=1_200, statement=600, text=160, lines=0, only_chosen=True),
    Cuts(code=0, statement=200, text=100, lines=0, only_chosen=True),
)


def fit(sections: Sequence[TaskSection], budget: int = TEXT_BUDGET) -> tuple[list[TaskSection], str]:
    """Cut what single tasks say until the page stays small; return it, and a note on what was cut."""
    for level, cuts in enumerate(LEVELS):
        kept = [_cut_section(section, cuts) for section in sections]
        if level == len(LEVELS) - 1 or sum(map(_weight, kept)) <= budget:
            break
    if level == 0:
        return kept, ""
    shown = f"programs to {cuts.code:,} characters" if cuts.code else "no programs"
    only = ", of the submitted program only" if cuts.only_chosen else ""
    return kept, (
        f"So that this page opens fast, single tasks are shortened: {shown}{only}, statements to "
        f"{cuts.statement:,}. The run directories hold everything."
    )


def cut_text(text: str, most: int) -> tuple[str, str]:
    """Return the beginning of a text and, where that is not all, a note on the rest."""
    if len(text) <= most:
        return text, ""
    return text[:most], f"{len(text) - most:,} more characters are not shown"


def _cut_section(section: TaskSection, cuts: Cuts) -> TaskSection:
    statement, rest = cut_text(section.statement, cuts.statement)
    return section.model_copy(
        update={
            "statement": f"{statement} […] ({rest})" if rest else statement,
            "attempts": tuple(_cut_attempt(attempt, cuts) for attempt in section.attempts),
        }
    )


def _cut_attempt(attempt: AttemptNote, cuts: Cuts) -> AttemptNote:
    story = attempt.story[: cuts.lines]
    if 0 < len(story) < len(attempt.story):
        story = (*story, f"[…] {count(len(attempt.story) - len(story), 'more line')}")
    kept = [each for each in attempt.candidates if each.chosen or not cuts.only_chosen]
    others = len(attempt.candidates) - len(kept)
    note = f"{count(others, 'other program')} not shown." if others else ""
    return attempt.model_copy(
        update={
            "plans": () if cuts.only_chosen else tuple(_cut_plan(plan, cuts) for plan in attempt.plans),
            "candidates": tuple(_cut_candidate(each, cuts) for each in kept),
            "comparison": _cut_comparison(attempt.comparison, cuts),
            "story": story,
            "note": " ".join(part for part in (attempt.note, note) if part),
        }
    )


def _cut_comparison(comparison: ComparisonNote | None, cuts: Cuts) -> ComparisonNote | None:
    if comparison is None:
        return None
    if cuts.only_chosen:
        return comparison.model_copy(update={"inputs": (), "rows": ()})
    inputs = tuple(
        each.model_copy(update={"text": _shortened(each.text, cuts.text)}) for each in comparison.inputs
    )
    return comparison.model_copy(update={"inputs": inputs})


def _cut_plan(plan: PlanNote, cuts: Cuts) -> PlanNote:
    def few(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_shortened(line, cuts.text) for line in lines[:20])

    return PlanNote(
        algorithm=_shortened(plan.algorithm, cuts.text),
        steps=few(plan.steps),
        data_structures=few(plan.data_structures),
        edge_cases=few(plan.edge_cases),
    )


def _cut_candidate(candidate: CandidateNote, cuts: Cuts) -> CandidateNote:
    execution = candidate.execution
    if execution:
        lines = tuple(_shortened(line, cuts.text) for line in execution.lines[: max(1, cuts.lines)])
        execution = execution.model_copy(update={"lines": lines})
    changed: dict[str, object] = {"execution": execution}
    if candidate.code is not None:
        code, rest = cut_text(candidate.code, cuts.code)
        changed |= {"code": code or None, "cut": rest}
    return candidate.model_copy(update=changed)


def _shortened(text: str, most: int) -> str:
    kept, rest = cut_text(text, most)
    return f"{kept} […]" if rest else kept


def _weight(section: TaskSection) -> int:
    """About how many bytes a section takes as HTML."""
    return len(html.escape(section.model_dump_json()).encode("utf-8", "surrogatepass"))
