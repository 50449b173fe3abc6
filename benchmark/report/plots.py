"""The plots of a report. Each says in its caption what to look for, its n and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from atlas.contracts import Contract, Origin
from atlas.story_words import count, words
from benchmark.report.content import ConditionRow, PairRow, Rate
from benchmark.report.drawing import DASHES, MARKERS, Plot, Theme, draw, label
from benchmark.report.words import percent, points, points_between, share

ROW_IN = 0.36


class Curve(Contract):
    """Share of tasks solved within t generated tokens, as steps with a 95% band. Equal lengths."""

    label: str
    n: int
    tokens: tuple[float, ...]
    solved: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Origins(Contract):
    """Where the submissions of a condition came from, in results. `lost` is None where nothing is regraded.

    `solved` counts right submissions by `atlas.contracts.Origin`; `lost` the wrong submissions of tasks
    of which another program was right; `unsolved` the rest without errors.
    """

    label: str
    n: int
    solved: dict[str, int]
    lost: int | None
    unsolved: int


class Reliability(Contract):
    """Pass rates by what was known before grading. `bins` are (name, rate) in the order of confidence.

    `note` goes below the plot.
    """

    title: str
    note: str = ""
    bins: tuple[tuple[str, Rate], ...]


class Stages(Contract):
    """Mean seconds of a task by where they were spent, over `timed` results."""

    label: str
    timed: int
    model: float
    executor: float
    overhead: float


def pass_rates(rows: Sequence[ConditionRow]) -> Plot | None:
    """Draw each condition's pass rate with its interval."""
    shown = [row for row in rows if row.pass_rate is not None and row.interval is not None]
    if not shown:
        return None

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        ax = axes[0]
        for place, row in enumerate(shown):
            _whisker(ax, place, row.pass_rate or 0.0, row.interval, theme.colour(place), MARKERS[place % 8])
        _named_rows(ax, [row.label for row in shown])
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("tasks solved by the one submission, with 95% interval")

    said = "; ".join(f"{row.label}: {share(row.pass_rate, row.interval)}, n = {row.n}" for row in shown)
    return draw(
        "pass-rates",
        "Pass rate by condition",
        "Each mark is the share of tasks whose one submission passed every test, each line its 95% interval. "
        "Intervals that overlap do not mean equal conditions: the same tasks were solved by both, so read "
        f"the paired differences. n = {_range([row.n for row in shown])} results a condition.",
        f"Pass rates. {said}.",
        paint,
        height_in=0.9 + ROW_IN * len(shown),
    )


def tokens_curve(curves: Sequence[Curve]) -> Plot | None:
    """Draw accuracy against generated tokens per task."""
    shown = [curve for curve in curves if curve.tokens]
    if not shown:
        return None
    last = max(max(curve.tokens) for curve in shown)
    first = min((t for curve in shown for t in curve.tokens if t > 0), default=1.0)

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        ax = axes[0]
        for place, curve in enumerate(shown):
            colour = theme.colour(place)
            t = np.asarray((*curve.tokens, last))
            solved, low, high = (np.asarray((*ys, ys[-1])) for ys in (curve.solved, curve.low, curve.high))
            ax.fill_between(t, low, high, step="post", color=colour, alpha=0.16, linewidth=0)
            ax.step(
                t, solved, where="post", color=colour, linestyle=DASHES[place % 4], label=label(curve.label)
            )
            ax.plot(t[-2], solved[-2], MARKERS[place % 8], color=colour, markersize=5)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(max(first * 0.8, 1), last * 1.1)
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("tokens generated for a task, at most (log scale)")
        ax.set_ylabel("solved within them")
        ax.legend(loc="upper left", fontsize=9)

    said = "; ".join(
        f"{curve.label} ends at {percent(curve.solved[-1])} at {curve.tokens[-1]:,.0f} tokens, n = {curve.n}"
        for curve in shown
    )
    return draw(
        "tokens",
        "Accuracy against tokens",
        "At each number of tokens, the share of tasks whose one submission is right and came within so many "
        "generated tokens. Higher and further left is better; where two curves cross, the cheaper condition "
        "stops being the better one. Marks are each condition's end. Bands are 95% intervals by bootstrap "
        f"over tasks; n = {_range([curve.n for curve in shown])} tasks a curve.",
        f"Step curves of accuracy against generated tokens. {said}.",
        paint,
        height_in=3.5,
    )


def rescue_and_loss(pairs: Sequence[PairRow]) -> Plot | None:
    """Draw what each condition solves that the one before it did not, and the other way round."""
    if not pairs:
        return None

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        ax = axes[0]
        places = np.arange(len(pairs))
        gained, lost = [pair.b_only for pair in pairs], [-pair.a_only for pair in pairs]
        ax.barh(places, gained, color=theme.good, height=0.62, label="rescued: only the second solves it")
        ax.barh(
            places, lost, color=theme.bad, height=0.62, hatch="///", label="lost: only the first solves it"
        )
        for place, pair in enumerate(pairs):
            ax.annotate(f"+{pair.b_only}", (pair.b_only, place), (4, 0), **_BESIDE)
            ax.annotate(f"−{pair.a_only}", (-pair.a_only, place), (-4, 0), **{**_BESIDE, "ha": "right"})
        _named_rows(ax, [f"{label(pair.a)} → {label(pair.b)}" for pair in pairs])
        ax.axvline(0, color=theme.faint, linewidth=0.8)
        reach = max(1, *(max(pair.a_only, pair.b_only) for pair in pairs)) * 1.18
        ax.set_xlim(-reach, reach)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        ax.set_xlabel("tasks")
        _legend_below(ax, 2)

    said = "; ".join(
        f"{pair.a} to {pair.b}: {pair.b_only} rescued, {pair.a_only} lost, net {points(pair.difference)} "
        f"({points_between(pair.interval)}), n = {pair.n}"
        for pair in pairs
    )
    return draw(
        "rescue",
        "Rescued and lost, from each condition to the next",
        "To the right the tasks that only the second condition solves, to the left (hatched) those that only "
        "the first does. A step that rescues many and loses many is mostly chance. Net, with its 95% "
        f"interval: {said}.",
        f"Bars of tasks rescued and lost between consecutive conditions. {said}.",
        paint,
        height_in=1.35 + (ROW_IN + 0.08) * len(pairs),
    )


def origins(rows: Sequence[Origins]) -> Plot | None:
    """Draw which phase of a run the right submissions came from, and what selection lost."""
    shown = [row for row in rows if row.n]
    if not shown:
        return None
    names = get_args(Origin)
    regraded = any(row.lost is not None for row in shown)

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        ax = axes[0]
        places, left = np.arange(len(shown)), np.zeros(len(shown))
        parts = [(name, [row.solved.get(name, 0) / row.n for row in shown]) for name in names]
        styles = [
            (theme.series[0], ""),
            (theme.series[2], "\\\\\\"),
            (theme.series[4], "xxx"),
            (theme.series[3], "..."),
        ]
        if regraded:
            parts.append(("lost in selection", [(row.lost or 0) / row.n for row in shown]))
            styles.append((theme.bad, "///"))
        for (name, widths), (colour, hatch) in zip(parts, styles, strict=True):
            if not any(widths):
                continue
            said = name if name.startswith("lost") else f"solved by a {words(name)}"
            ax.barh(places, widths, left=left, color=colour, hatch=hatch, height=0.62, label=said)
            left += np.asarray(widths)
        ax.barh(places, 1 - left, left=left, color=theme.neutral, alpha=0.4, height=0.62, label="not solved")
        _named_rows(ax, [row.label for row in shown])
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("results")
        _legend_below(ax, 3)

    said = "; ".join(
        f"{row.label}: "
        + ", ".join(f"{row.solved.get(name, 0)} by {words(name)}" for name in names)
        + (f", {row.lost} lost in selection" if row.lost is not None else "")
        + f" of {row.n}"
        for row in shown
    )
    lost = (
        "Lost in selection: another program of the task was right, but a wrong one was handed in."
        if regraded
        else "What selection lost is not measured: no run was regraded (python -m benchmark.regrade RUN)."
    )
    return draw(
        "origins",
        "Where right submissions come from within a run",
        "Which phase the submitted program came from, where it is right: a plain sample, a sample that "
        f"follows a plan, a repair, or a brute-force program. {lost} Counts: {said}.",
        f"Stacked bars of the origin of right submissions. {said}.",
        paint,
        height_in=1.5 + ROW_IN * len(shown),
    )


def reliability(panels: Sequence[Reliability]) -> Plot | None:
    """Draw pass rates by what was known before grading."""
    shown = [panel for panel in panels if any(rate.n for _, rate in panel.bins)]
    if not shown:
        return None

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        for ax, panel, colour in zip(axes, shown, theme.series, strict=False):
            bins = [(name, rate) for name, rate in panel.bins if rate.n]
            for place, (_, rate) in enumerate(bins):
                _whisker(ax, place, rate.rate or 0.0, rate.interval, colour, "o")
            _named_rows(ax, [f"{name}\nn = {rate.n}" for name, rate in bins], size=8.5)
            ax.set_xlim(0, 1)
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            ax.set_title(panel.title, loc="left")
            ax.set_xlabel("submissions that are right")

    said = "; ".join(
        f"{panel.title}: "
        + ", ".join(f"{name} {share(rate.rate, rate.interval)} (n = {rate.n})" for name, rate in panel.bins)
        for panel in shown
    )
    most = max(len(panel.bins) for panel in shown)
    notes = "".join(f" {panel.note}." for panel in shown if panel.note)
    return draw(
        "reliability",
        "Reliability of what was known before grading",
        "A sign that can be trusted has its marks far apart: high where it says the program is right, low "
        "where it does not. All conditions together, one result a submission; lines are 95% intervals "
        "(Wilson), which take results as independent though tasks recur across conditions." + notes,
        f"Pass rates by sign. {said}.{notes}",
        paint,
        height_in=1.1 + 0.52 * most,
        panels=len(shown),
    )


def stages(rows: Sequence[Stages]) -> Plot | None:
    """Draw where the time of a task goes."""
    shown = [row for row in rows if row.timed]
    if not shown:
        return None

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        ax = axes[0]
        places, left = np.arange(len(shown)), np.zeros(len(shown))
        for name, colour, hatch in (
            ("model", theme.series[0], ""),
            ("executor", theme.series[4], "xxx"),
            ("overhead", theme.bad, "///"),
        ):
            widths = np.asarray([getattr(row, name) for row in shown])
            ax.barh(places, widths, left=left, color=colour, hatch=hatch, height=0.62, label=name)
            left += widths
        _named_rows(ax, [row.label for row in shown])
        ax.set_xlim(0, max(float(left.max()) * 1.05, 1e-3))
        ax.set_xlabel("seconds from submission to decision, mean per task")
        _legend_below(ax, 3)

    said = "; ".join(
        f"{row.label}: model {row.model:.1f} s, executor {row.executor:.2f} s, overhead {row.overhead:.2f} s "
        f"(n = {row.timed})"
        for row in shown
    )
    return draw(
        "stages",
        "Time per stage",
        "Mean seconds of a task in llama-server, in the sandbox executor, and in everything else (waiting "
        "included, so overhead means little where several tasks are in flight). Only tasks that one runner "
        f"watched from submission to decision count: {count(sum(row.timed for row in shown), 'result')}. "
        "Means are of these tasks alone and have no interval.",
        f"Stacked bars of time per stage. {said}.",
        paint,
        height_in=1.5 + ROW_IN * len(shown),
    )


_BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}


def _whisker(
    ax: Axes, place: int, at: float, interval: tuple[float, float] | None, colour: str, marker: str
) -> None:
    if interval is not None:
        ax.plot(interval, (place, place), color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.75)
    ax.plot(at, place, marker, color=colour, markersize=7.5, clip_on=False, zorder=3)


def _legend_below(ax: Axes, columns: int) -> None:
    figure = ax.get_figure(root=True)
    if figure is not None:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=9)


def _named_rows(ax: Axes, names: Sequence[str], size: float = 9.5) -> None:
    """Give each row its name, the first one at the top."""
    ax.set_yticks(
        range(len(names)), ["\n".join(map(label, name.split("\n"))) for name in names], fontsize=size
    )
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
