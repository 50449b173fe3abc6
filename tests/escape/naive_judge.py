"""A judge as one should not write it: the program, the expected output and the verdict in one process.

    python naive_judge.py PROGRAM EXPECTED

The control for attacks on the judge: it accepts what deceives it.
"""

import sys
from pathlib import Path


def verdict(code: str, expected: str) -> str:
    """Run `solve(1)` and compare."""
    names: dict[str, object] = {"__name__": "solution"}
    exec(code, names)
    solve = names["solve"]
    assert callable(solve)
    return "accepted" if solve(1) == expected else "wrong answer"


if __name__ == "__main__":
    found = verdict(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2])
    print(found)  # noqa: T201
