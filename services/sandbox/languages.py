"""What the sandbox must know about a programming language. Python is the only one for now."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PLAIN = "plain"


@dataclass(frozen=True)
class Preload:
    """Packages a launcher imports ahead of the runs: their names, directories, and where these lie."""

    imports: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    site: str = ""


class Language(Protocol):
    """One language."""

    name: str

    def flavours(self) -> dict[str, Preload]:
        """The fork servers it may need, by name; `plain` is always among them."""
        ...

    def flavour(self, code: str) -> str:
        """Which of them a program needs."""
        ...

    def packages(self) -> dict[str, str]:
        """Libraries a program may import beside the standard one, and their versions."""
        ...


class Python:
    """CPython, the one the executor runs on.

    numpy has a fork server of its own, started for the first program that names it: importing it takes a
    tenth of a second and 20 MB. So have scipy and sympy, which take seconds. They run with one BLAS thread,
    since threads do not survive a fork: scipy brings a BLAS of its own, so that it is loaded ahead, too.
    """

    name = "python"
    _NAMED = (("scientific", re.compile(r"\b(?:scipy|sympy|mpmath)\b")), ("numpy", re.compile(r"\bnumpy\b")))
    _SCIPY = tuple(
        f"scipy.{name}" for name in ("linalg", "special", "sparse", "integrate", "optimize", "interpolate")
    )

    def __init__(self) -> None:
        self._flavours = {PLAIN: Preload()}
        self._packages: dict[str, str] = {}
        numpy = _directory("numpy")
        if numpy is None:
            return
        self._flavours["numpy"] = self._preload(("numpy",), [numpy])
        beside = [_directory(name) for name in ("scipy", "sympy", "mpmath")]
        found = [directory for directory in beside if directory and directory.parent == numpy.parent]
        if any(directory.name == "scipy" for directory in found):
            self._flavours["scientific"] = self._preload(("numpy", *self._SCIPY), [numpy, *found])

    def _preload(self, imports: tuple[str, ...], packages: list[Path]) -> Preload:
        self._packages |= {package.name: importlib.metadata.version(package.name) for package in packages}
        libraries = [package.with_name(f"{package.name}.libs") for package in packages]
        directories = [*packages, *(directory for directory in libraries if directory.is_dir())]
        return Preload(imports, tuple(map(str, directories)), str(packages[0].parent))

    def flavours(self) -> dict[str, Preload]:
        """`plain`, and where they are installed `numpy` and `scientific` (scipy, and sympy)."""
        return self._flavours

    def flavour(self, code: str) -> str:
        """The one whose packages a program names."""
        named = (name for name, packages in self._NAMED if name in self._flavours and packages.search(code))
        return next(named, PLAIN)

    def packages(self) -> dict[str, str]:
        """The versions of numpy, scipy, sympy and mpmath, of those that are installed."""
        return self._packages


def _directory(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found is not None and found.origin else None
