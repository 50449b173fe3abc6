"""Small files in SciCode's layout, made up: problems as JSON Lines and the targets of their tests in HDF5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HALF = "def half(x):\n    return x / 2\n"
SPLIT = "def split(x):\n    return half(x), x - half(x)\n"
SOLUTION = f"import numpy as np\n\n{HALF}\n{SPLIT}"


def step(number: str, header: str, tests: list[str], **more: object) -> dict[str, Any]:
    """A sub-step with what the data has beside what is read."""
    return {
        "step_number": number,
        "step_description_prompt": f"Write the function of step {number}.",
        "step_background": f"Background of {number}.",
        "function_header": header,
        "return_line": "    return result",
        "test_cases": tests,
        "ground_truth_code": "SECRET SOLUTION",
        **more,
    }


def problem(name: str = "10", **more: object) -> dict[str, Any]:
    """A problem of two steps, the second of which uses the first."""
    first = step(
        f"{name}.1",
        "def half(x):\n    '''Half of x.'''",
        # The second test needs a name of the first, as some of the data's do.
        ["a = np.arange(3.0)\nassert np.allclose(half(a), target)", "assert half(a[2]) == target"],
    )
    second = step(
        f"{name}.2",
        "def split(x):",
        ["from scicode.compare.cmp import cmp_tuple_or_list\nassert cmp_tuple_or_list(split(3.0), target)"],
    )
    return {
        "problem_id": name,
        "problem_name": "halves",
        "problem_description_main": "Divide numbers.",
        "problem_io": "Parameters: x. Returns: two numbers.",
        "required_dependencies": "import numpy as np",
        "sub_steps": [first, second],
        "general_solution": "SECRET SOLUTION",
        **more,
    }


def targets_of(file: h5py.File, name: str = "10") -> None:
    """The targets of `problem(name)`."""
    file[f"{name}.1/test1/var1"] = np.arange(3.0) / 2
    file[f"{name}.1/test2/var1"] = 1.0
    file[f"{name}.2/test1/var1"] = 1.5
    file[f"{name}.2/test1/var2"] = 1.5


def write(directory: Path, problems: list[dict[str, Any]] | None = None) -> Path:
    """Write both files; the targets are those of `problem(...)` for each problem."""
    problems = [problem()] if problems is None else problems
    path = directory / "problems.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in problems), encoding="utf-8")
    with h5py.File(directory / "test_data.h5", "w") as file:
        for each in problems:
            targets_of(file, each["problem_id"])
    return path
