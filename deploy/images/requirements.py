"""Prints what an image installs, one requirement a line: `requirements.py PYPROJECT [EXTRA...]`.

pyproject.toml is where dependencies are written; pip itself cannot install them without the project, which
changes far more often and is a layer of its own.
"""

from __future__ import annotations

import sys

import tomllib


def main(arguments: list[str]) -> None:
    """Print the dependencies, then those of each extra."""
    pyproject, *extras = arguments
    with open(pyproject, "rb") as file:  # noqa: PTH123 - a build stage's script: nothing but the standard library
        project = tomllib.load(file)["project"]
    found = [*project["dependencies"]]
    for extra in extras:
        found += project["optional-dependencies"][extra]
    sys.stdout.write("\n".join(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
