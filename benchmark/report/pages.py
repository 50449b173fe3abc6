"""A report as two pages: HTML that needs nothing but itself, and its tables as Markdown.

What models wrote is hostile. The HTML page escapes every value (autoescape is never off), shows control
characters as escapes, and its Content-Security-Policy allows nothing from anywhere: no request, no style
attribute, no script but the one whose hash it names. Without scripts it only lacks filtering and sorting.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from atlas.story_words import escaped
from benchmark.report import words
from benchmark.report.content import Report

MARKS = {"passed": "✓", "failed": "✗", "error": "!", "mixed": "≈", "absent": "·"}


def html_page(report: Report, footer: str) -> str:
    """Return the HTML page."""
    css, script = (_part(name).strip() for name in ("report.css", "report.js"))
    environment = _environment(autoescape=True)
    return environment.get_template("report.html.j2").render(
        report=report,
        footer=footer,
        marks=MARKS,
        policy=content_policy(css, script),
        css=Markup(css),  # noqa: S704 - ours, and the policy names its hash
        script=Markup(script),  # noqa: S704
    )


def markdown_page(report: Report, footer: str, html_name: str, plot_names: Mapping[str, str]) -> str:
    """Return the Markdown page. `plot_names`: the file beside it of each plot, by the plot's name."""
    text = (
        _environment(autoescape=False)
        .get_template("report.md.j2")
        .render(report=report, footer=footer, html_name=_Plain(html_name), plot_names=plot_names)
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def content_policy(css: str, script: str) -> str:
    """Return the policy that allows this style sheet, this script and images in the page; nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(css)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


class _Plain(str):
    """Text that a Markdown page shows as it stands: numbers and words of our own."""

    __slots__ = ()


@cache
def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("benchmark.report", "templates"),
        autoescape=autoescape,  # noqa: S701 - off for Markdown only, whose values `_markdown` escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible if autoescape else _markdown,
    )
    environment.globals |= {
        "bar": _bar,
        "energy": _energy,
        "money": words.money,
        "p_value": words.p_value,
        "percent": words.percent,
        "points": words.points,
        "points_between": words.points_between,
        "seconds": words.seconds,
        "svg_uri": _svg_uri,
        "whole": words.whole,
    }
    environment.filters["code"] = lambda text: _Plain(" ".join(escaped(text).split()))
    return environment


def _visible(value: object) -> object:
    """Show control characters, direction marks and broken surrogates of any text as escapes."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else escaped(value)


def _markdown(value: object) -> object:
    """Take their meaning from characters that mean something in a Markdown line or table."""
    if isinstance(value, _Plain) or not isinstance(value, str):
        return value
    line = " ".join(escaped(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*|\[\]~])", r"\\\1", line)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)


def _bar(value: float, shift: float = 0.0) -> str:
    """Return a place on a bar that is 100 wide."""
    return f"{min(100.0, max(0.0, 100 * value + shift)):.2f}"


def _energy(joules: float) -> str:
    return f"{joules / 3600:,.2f} Wh" if joules < 3.6e6 else f"{joules / 3.6e6:,.2f} kWh"


def _svg_uri(svg: str) -> Markup:
    return Markup("data:image/svg+xml;base64,") + base64.b64encode(svg.encode()).decode()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _part(name: str) -> str:
    return resources.files("benchmark.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")
