"""Pass rates by difficulty, platform and month of publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.report.content import Breakdown, GroupRow
from benchmark.report.cutoffs import Cutoff, cutoff_of
from benchmark.report.groups import Group, rate
from benchmark.report.words import listed
from benchmark.results import TaskResult

LEVELS = ("easy", "medium", "hard")
Keep = Callable[[TaskResult], bool]


def breakdowns(groups: Sequence[Group]) -> tuple[Breakdown, ...]:
    """Return the tables in the report's order."""
    return (
        _by(groups, "Difficulty", lambda each: each.difficulty),
        _by(groups, "Platform", lambda each: each.platform),
        _by_month(groups),
    )


def _by(groups: Sequence[Group], title: str, value: Callable[[TaskResult], str]) -> Breakdown:
    values = {value(each) for group in groups for each in group.results}
    if not values - {""}:
        return Breakdown(title=title, note=f"No run says the {title.lower()} of its tasks.", rows=())
    rows = [_row(groups, name or "not known", _equals(value, name)) for name in sorted(values, key=_place)]
    return Breakdown(title=title, note="", rows=tuple(rows))


def _by_month(groups: Sequence[Group]) -> Breakdown:
    title = "Month of publication"
    months = sorted({each.month for group in groups for each in group.results if each.month})
    if not months:
        return Breakdown(title=title, note="No run says when its tasks were published.", rows=())
    undated = any(not each.date for group in groups for each in group.results)
    cutoff, note = _cutoff(groups)
    rows: list[GroupRow] = []

    def add(chosen: Sequence[str]) -> None:
        rows.extend(_row(groups, month, _equals(lambda each: each.month, month)) for month in chosen)

    if cutoff is None:
        add(months)
    else:
        last_day = cutoff.date.isoformat()
        add([month for month in months if month <= last_day[:7]])
        before = f"until the training cut-off ({last_day})"
        rows.append(_row(groups, before, lambda each: "" < each.date <= last_day, total=True))
        add([month for month in months if month > last_day[:7]])
        after = f"after the training cut-off ({last_day})"
        rows.append(_row(groups, after, lambda each: each.date > last_day, total=True))
    if undated:
        rows.append(_row(groups, "not dated", lambda each: not each.date))
    return Breakdown(title=title, note=note, rows=tuple(rows))


def _cutoff(groups: Sequence[Group]) -> tuple[Cutoff | None, str]:
    """Return the latest cut-off of the models, if each has one, and a note on it."""
    models = sorted({group.model for group in groups if group.model})
    known = {model: cutoff_of(model) for model in models}
    without = [model for model, cutoff in known.items() if cutoff is None]
    if without or not models:
        named = f" of {listed(without)}" if without else ""
        return None, f"The training cut-off{named} is not known, so none is marked."
    cutoffs = [cutoff for cutoff in known.values() if cutoff is not None]
    latest = max(cutoffs, key=lambda each: each.date)
    source = f"Training cut-off {latest.date}: {latest.source}. {latest.note}".rstrip(". ") + "."
    return latest, f"{source} Tasks published after it cannot have been in the training data."


def _row(groups: Sequence[Group], name: str, keep: Keep, *, total: bool = False) -> GroupRow:
    tasks = {each.task for group in groups for each in group.results if keep(each)}
    return GroupRow(
        name=name, tasks=len(tasks), rates=tuple(rate(each, keep) for each in groups), total=total
    )


def _equals(value: Callable[[TaskResult], str], wanted: str) -> Keep:
    return lambda each: value(each) == wanted


def _place(name: str) -> tuple[int, str]:
    """Order difficulties as people do, other names by the alphabet, the unknown last."""
    if name in LEVELS:
        return LEVELS.index(name), ""
    return (len(LEVELS), name) if name else (len(LEVELS) + 1, "")
