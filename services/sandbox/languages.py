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
    tenth of a second and 20 MB. It runs with one BLAS thread, since threads do not survive a fork.
    """

    name = "python"
    _NUMPY = re.compile(r"\bnumpy\b")

    def __init__(self) -> None:
        self._flavours = {PLAIN: Preload()}
        found = importlib.util.find_spec("numpy")
        if found is not None and found.origin:
            package = Path(found.origin).parent
            site = package.parent
            directories = [d for d in (package, site / "numpy.libs") if d.is_dir()]
            self._flavours["numpy"] = Preload(("numpy",), tuple(map(str, directories)), str(site))

    def flavours(self) -> dict[str, Preload]:
        """`plain`, and `numpy` where it is installed."""
        return self._flavours

    def flavour(self, code: str) -> str:
        """`numpy` for a program that names it."""
        return "numpy" if "numpy" in self._flavours and self._NUMPY.search(code) else PLAIN

    def packages(self) -> dict[str, str]:
        """The version of numpy, where it is installed."""
        return {name: importlib.metadata.version(name) for name in self._flavours if name != PLAIN}
