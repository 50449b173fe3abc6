"""What selectors came to and what their confidence is worth, as one picture: `--plot FILE.svg`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from atlas.errors import BadInput
from benchmark.report.drawing import Plot, Theme, draw
from benchmark.report.words import share
from benchmark.selection.summary import Summary
from benchmark.statistics import wilson_interval


def save(summary: Summary, path: Path) -> None:
    """Write the picture for a white page.

    Raises:
        BadInput: it cannot be written.
    """
    svg = picture(summary).light.replace("<svg ", '<svg style="background: white" ', 1)
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def picture(summary: Summary) -> Plot:
    """Draw accuracy by selector, and the share of decisions that are right by their confidence."""

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        _accuracies(axes[0], summary, theme)
        _reliability(axes[1], summary, theme)

    said = "; ".join(
        f"{name} {share(each.accuracy, each.interval)}" for name, each in summary.selectors.items()
    )
    bins = "; ".join(f"{each.confidence:.2f}: {each.right:.2f} (n = {each.n})" for each in summary.bins)
    return draw(
        "selection",
        "Choosing without an answer key",
        f"Left: tasks solved by what each selector hands in, n = {summary.n_tasks}, k = {summary.k}, between "
        "one draw and an oracle. Right: decisions by confidence; on the diagonal it is worth what it says. "
        "Lines are 95% intervals.",
        f"Accuracy: one draw {summary.pass_at_1:.1%}, {said}, oracle {summary.oracle:.1%}. "
        f"Right by confidence: {bins}.",
        paint,
        height_in=3.3,
        panels=2,
        widths=(1.25, 1),
    )


def _accuracies(ax: Axes, summary: Summary, theme: Theme) -> None:
    for place, each in enumerate(summary.selectors.values()):
        ax.plot(each.interval, (place, place), color=theme.series[0], linewidth=2, solid_capstyle="butt")
        ax.plot(each.accuracy, place, "o", color=theme.series[0], markersize=6)
    for at, name, colour in (
        (summary.pass_at_1, "one draw", theme.faint),
        (summary.oracle, "oracle", theme.good),
    ):
        ax.axvline(at, color=colour, linestyle="--", linewidth=1)
        ax.text(at, -0.7, name, color=colour, size=8.5, ha="center", va="bottom")
    ax.set_yticks(range(len(summary.selectors)), list(summary.selectors))
    ax.set_ylim(len(summary.selectors) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel(f"tasks solved, n = {summary.n_tasks}")


def _reliability(ax: Axes, summary: Summary, theme: Theme) -> None:
    ax.plot((0, 1), (0, 1), color=theme.faint, linestyle=":", linewidth=1)
    for each in summary.bins:
        low, high = wilson_interval(round(each.right * each.n), each.n)
        ax.plot((each.confidence, each.confidence), (low, high), color=theme.series[1], linewidth=2)
        ax.plot(each.confidence, each.right, "s", color=theme.series[1], markersize=6)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_title(f"calibration error {summary.ece:.3f}", size=8.5)
    ax.set_xlabel(f"confidence, {len(summary.bins)} bins")
    ax.set_ylabel("share that is right")
