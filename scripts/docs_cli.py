"""docs/CLI.md from the commands themselves: their signatures and docstrings, as `--help` shows them.

It reads what the code says to Typer, not what Typer makes of it, so that the result does not depend on
Typer's version, on the width of a terminal, or on colours.
"""

from __future__ import annotations

import enum
import inspect
import textwrap
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

INTRODUCTION = """\
# The command line

Generated from the code by `scripts/generate_docs.py`; `atlas COMMAND --help` says the same.

"""


@dataclass(frozen=True)
class Parameter:
    """An argument or option as a user writes it, and what it means."""

    written: str
    meaning: str
    option: bool
    required: bool


def markdown(app: typer.Typer, name: str = "atlas") -> str:
    """Return the whole document."""
    sections = [INTRODUCTION + _body(str(app.info.help)), _contents(app, name)]
    sections += _sections(app, name, 2)
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _contents(app: typer.Typer, name: str) -> str:
    rows = ["| command | |", "|---|---|"]
    for path, help_text in _listed(app, name):
        rows.append(f"| [`{path}`](#{path.replace(' ', '-')}) | {_first(help_text)} |")
    return "\n".join(rows)


def _listed(app: typer.Typer, name: str) -> Iterator[tuple[str, str]]:
    for command_name, function in _commands(app):
        yield f"{name} {command_name}", str(inspect.getdoc(function))
    for group_name, group in _groups(app):
        yield from _listed(group, f"{name} {group_name}")


def _sections(app: typer.Typer, name: str, level: int) -> Iterator[str]:
    for command_name, function in _commands(app):
        yield _section(f"{name} {command_name}", function, level)
    for group_name, group in _groups(app):
        yield f"{'#' * level} {name} {group_name}\n\n{_body(str(group.info.help))}"
        yield from _sections(group, f"{name} {group_name}", level + 1)


def _commands(app: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    for info in app.registered_commands:
        if info.callback is not None and not info.hidden:
            yield info.name or info.callback.__name__.replace("_", "-"), info.callback


def _groups(app: typer.Typer) -> Iterator[tuple[str, typer.Typer]]:
    for info in app.registered_groups:
        if info.typer_instance is not None:
            yield str(info.name), info.typer_instance


def _section(path: str, function: Callable[..., Any], level: int) -> str:
    parameters = list(_parameters(function))
    arguments = [p for p in parameters if not p.option]
    usage = [path, "[OPTIONS]", *(p.written if p.required else f"[{p.written}]" for p in arguments)]
    parts = [f"{'#' * level} {path}", f"    {' '.join(usage)}", _body(str(inspect.getdoc(function)))]
    rows = [f"| `{p.written}` | {p.meaning} |" for p in parameters]
    return "\n\n".join([*parts, "\n".join(["| argument, option | |", "|---|---|", *rows])])


def _parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *extras = typing.get_args(_annotated(hints[name]))
        info = next(extra for extra in extras if isinstance(extra, (ArgumentInfo, OptionInfo)))
        required = parameter.default is inspect.Parameter.empty
        choices = "|".join(str(each.value) for each in kind) if _is_enum(kind) else ""
        value = info.metavar or choices or name.upper()
        if isinstance(info, OptionInfo):
            # In Annotated, Typer keeps the first name where a default used to be.
            given = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
            names = ", ".join(given or [f"--{name.replace('_', '-')}"])
            written = names if kind is bool else f"{names} {value}"
        else:
            written = value
        yield Parameter(
            written=written.replace("|", "\\|"),
            meaning=_cell(info.help or "") + _default(parameter.default, kind),
            option=isinstance(info, OptionInfo),
            required=required,
        )


def _annotated(hint: object) -> object:
    """Return the Annotated of a hint: Python 3.10 puts an Optional around it if the default is None."""
    if typing.get_origin(hint) is typing.Annotated:
        return hint
    return next(each for each in typing.get_args(hint) if typing.get_origin(each) is typing.Annotated)


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _default(default: object, kind: object) -> str:
    shown = default is not None and default is not inspect.Parameter.empty and kind is not bool
    return f" [{getattr(default, 'value', default)}]" if shown else ""


def _body(help_text: str) -> str:
    return "\n\n".join(_paragraph(paragraph) for paragraph in help_text.strip().split("\n\n"))


def _paragraph(text: str) -> str:
    """Return a paragraph; its indented lines are commands to type, or a table of exit codes."""
    lead = " ".join(line for line in text.split("\n") if not line.startswith("  "))
    block = textwrap.dedent("\n".join(line for line in text.split("\n") if line.startswith("  ")))
    if not block:
        return _wrapped(_cell(lead))
    if lead.startswith("Exit codes"):
        rows = [line.split(None, 1) for line in block.split("\n")]
        lines = [f"| {code} | {_cell(meaning)} |" for code, meaning in rows]
        return "\n".join(["| exit code | |", "|---|---|", *lines])
    return f"{_wrapped(_cell(lead))}\n\n```bash\n{block}\n```"


def _first(help_text: str) -> str:
    return _cell(" ".join(help_text.split("\n\n")[0].split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False))
