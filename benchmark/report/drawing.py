"""Drawing for light and for dark: a plot is painted twice, as SVG whose text stays text.

Colours are Okabe and Ito's, which people with any common colour blindness can tell apart (M. Okabe, K. Ito,
"Color universal design", 2008), lightened for dark pages. Series differ in marker and dash as well.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from atlas.contracts import Contract
from atlas.story_words import printable

WIDTH_IN = 6.2
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
LABEL_CHARS = 44


class Plot(Contract):
    """A plot, ready for a page. `alt` says in words what the picture shows; both texts are plain text."""

    name: str
    title: str
    caption: str
    alt: str
    light: str
    dark: str


@dataclass(frozen=True)
class Theme:
    """Colours of one page scheme. The background is left transparent: the page's own shows."""

    ink: str
    faint: str
    grid: str
    good: str
    bad: str
    neutral: str
    series: tuple[str, ...]

    def colour(self, index: int) -> str:
        """Return a series' colour."""
        return self.series[index % len(self.series)]


LIGHT = Theme(
    ink="#1c2127",
    faint="#59636e",
    grid="#dfe3e8",
    good="#0072b2",
    bad="#d55e00",
    neutral="#b8bfc7",
    series=("#0072b2", "#d55e00", "#009e73", "#a3559a", "#8f6a00", "#3a8fc0", "#4a4f57"),
)
DARK = Theme(
    ink="#e8eaed",
    faint="#a3abb5",
    grid="#3a4149",
    good="#6cb8ea",
    bad="#ff9153",
    neutral="#5b636d",
    series=("#6cb8ea", "#ff9153", "#46cfa4", "#e3a2d6", "#f0c14b", "#a9dcf7", "#c9ced6"),
)
Painter = Callable[[Sequence[Axes], Theme], None]


def draw(
    name: str,
    title: str,
    caption: str,
    alt: str,
    paint: Painter,
    *,
    height_in: float = 3.2,
    panels: int = 1,
    widths: Sequence[float] | None = None,
) -> Plot:
    """Paint a plot of `panels` axes side by side, once for each scheme."""

    def svg(theme: Theme) -> str:
        return _svg(name, paint, theme, height_in, panels, widths)

    return Plot(name=name, title=title, caption=caption, alt=alt, light=svg(LIGHT), dark=svg(DARK))


def label(text: str) -> str:
    """Return a name as an axis may show it: one short line without control characters."""
    return printable(text, LABEL_CHARS)


def _svg(
    name: str, paint: Painter, theme: Theme, height_in: float, panels: int, widths: Sequence[float] | None
) -> str:
    settings: dict[Any, Any] = {  # its keys are typed as literals
        "axes.axisbelow": True,
        "axes.edgecolor": theme.grid,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": theme.ink,
        "axes.labelsize": 10,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 10.5,
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "hatch.color": theme.ink,
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # the same data gives the same bytes
        "text.color": theme.ink,
        "text.parse_math": False,  # a `$` in a name is a dollar
        "xtick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.color": theme.faint,
        "ytick.labelcolor": theme.ink,
    }
    out = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The viewer's fonts draw the text; a letter missing in those of this machine only shifts it a little.
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from font", category=UserWarning)
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, panels, squeeze=False, width_ratios=widths)[0]
        paint(list(axes), theme)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]  # without the XML prologue, whose DTD names an outside address
