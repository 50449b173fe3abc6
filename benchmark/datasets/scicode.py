"""SciCode (Tian et al. 2024, arXiv:2407.13168): scientific programs in steps, from the user's own copy.

The path is its problems as JSON Lines (`problems_dev.jsonl`, `problems_test.jsonl` or all of them). Beside it
lie `test_data.h5`, the tests' numeric targets, and for the test problems `13.6.txt`, `62.1.txt` and
`76.3.txt`: the code of the three steps that the authors hand out and do not grade.

Of a problem these fields are read: problem_id, problem_name, problem_description_main, problem_io,
required_dependencies, and of each of its sub_steps step_number, step_description_prompt, function_header,
return_line, test_cases and, where it is asked for, step_background. Reference solutions are never read.

All steps are asked for at once, as one program: a task has one submission. The authors' own protocol asks for
one step after the other, so numbers are not comparable with theirs.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from functools import partial

from pydantic import ValidationError

from atlas.contracts import Example, Limits, Problem, Step
from atlas.errors import BadInput
from benchmark.datasets.lcb_jsonl import Row, read_rows
from benchmark.datasets.scicode_targets import Targets
from benchmark.datasets.source import Item, Opened, Request, Source, sha256_of
from benchmark.tasks import HiddenTests, Task

TARGETS = "test_data.h5"
GIVEN = frozenset({"13.6", "62.1", "76.3"})
WHOLE = {15: "dev", 65: "test", 80: "both"}
"""How many problems the files have that the authors publish."""

LIMITS = Limits(time_s=60, memory_mb=2048)
"""Of one step with its tests. The authors give half an hour, an executor's longest run is a minute."""


def _open(request: Request, name: str, *, background: bool, whole: bool) -> Opened:
    """Open a file of problems and its targets; tests are decoded for the chosen tasks only.

    Raises:
        BadInput: a file is missing or cut off, a row is malformed, or (`whole`) there are not as many
            problems as in one of the published files.
        StartupError: h5py is not installed.
    """
    request.refuse(name, "release", "revision")
    path = request.own_copy(name)
    rows = list(read_rows(path, id_field="problem_id"))
    if whole and len(rows) not in WHOLE:
        known = ", ".join(f"{n} ({which})" for n, which in WHOLE.items())
        raise BadInput(
            f"{path}: has {len(rows)} rows, and the published files have {known}: rows are missing or new. "
            "If it is to be a part, name the data set scicode_part"
        )
    with Targets(path.with_name(TARGETS)) as targets:
        for row in rows:
            _check(row, targets)
        graded = len(targets)

    def decode(wanted: Collection[str]) -> list[Task]:
        with Targets(path.with_name(TARGETS)) as targets:
            return [task(row, targets, background) for row in rows if _name(row) in wanted]

    files = ((path, len(rows)), (path.with_name(TARGETS), graded))
    sources = (Source(dataset=name, file=p.name, sha256=sha256_of(p), rows=n) for p, n in files)
    return Opened(tuple(sources), tuple(Item(_name(row)) for row in rows), decode)


open_scicode = partial(_open, name="scicode", background=False, whole=True)
open_with_background = partial(_open, name="scicode_background", background=True, whole=True)
open_part = partial(_open, name="scicode_part", background=False, whole=False)


def task(row: Row, targets: Targets, background: bool) -> Task:
    """The task that a problem's row describes: one hidden test per step that is graded.

    Raises:
        BadInput: a field is missing or malformed, a step has no tests or no target, or none is graded.
    """
    steps = _steps(row)
    given = {number: _given(row, number) for number in steps if number in GIVEN}
    if not isinstance(setup := row.fields.get("required_dependencies"), str):
        raise row.bad("required_dependencies", "is missing or no text")
    hidden = []
    for number, fields in steps.items():
        if number in GIVEN:
            continue
        tests = _tests(fields)
        asked = {
            "step": number,
            "imports": _imports(fields, tests),
            "setup": setup,
            "given": "\n\n".join(given.values()),
            "tests": tests,
            "targets": targets.of(number, len(tests)),
        }
        hidden.append(Example(input=json.dumps(asked), output=""))
    if not hidden:
        raise row.bad("sub_steps", "none of them is graded")
    title = row.text("problem_name", optional=True)
    statement = "\n\n".join(
        text.strip()
        for text in (row.text("problem_description_main"), row.text("problem_io", optional=True))
        if text.strip()
    )
    try:
        problem = Problem(
            title=title,
            statement=statement,
            kind="steps",
            starter_code=setup,
            steps=tuple(_step(fields, given.get(number, ""), background) for number, fields in steps.items()),
            limits=LIMITS,
        )
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        raise row.bad(".".join(map(str, first["loc"])) or "row", first["msg"]) from e
    return Task(
        id=_name(row),
        title=title,
        platform="scicode",
        difficulty="",
        date=None,
        problem=problem,
        hidden=HiddenTests(tuple(hidden)),
    )


def _name(row: Row) -> str:
    return f"scicode/{row.text('problem_id')}"


def _check(row: Row, targets: Targets) -> None:
    """See that a row's steps have tests, and as many targets as tests."""
    for number, fields in _steps(row).items():
        if number in GIVEN:
            continue
        tests, there = len(_tests(fields)), targets.count(number)
        if tests != there:
            raise row.bad(f"step {number}", f"has {tests} tests, and {TARGETS} has {there} targets for it")


def _steps(row: Row) -> Mapping[str, Row]:
    """The sub-steps by their number, as rows of their own, so that what is wrong with one is said of it."""
    found = row.fields.get("sub_steps")
    if not isinstance(found, list) or not found:
        raise row.bad("sub_steps", "is not a list of steps")
    steps: dict[str, Row] = {}
    for index, fields in enumerate(found):
        if not isinstance(fields, dict):
            raise row.bad(f"sub_steps[{index}]", "is not a JSON object")
        step = Row(row.file, row.number, {"id": f"sub_steps[{index}] of {row.text('problem_id')}", **fields})
        number = step.text("step_number")
        if number in steps:
            raise step.bad("step_number", "is that of an earlier step")
        steps[number] = step
    return steps


def _step(fields: Row, given: str, background: bool) -> Step:
    header = fields.text("function_header").rstrip()
    if ends := fields.text("return_line", optional=True).rstrip():
        header = f"{header}\n\n{ends}"
    return Step(
        description=fields.text("step_description_prompt"),
        header=header,
        background=fields.text("step_background", optional=True) if background else "",
        given=given,
    )


def _tests(fields: Row) -> list[str]:
    tests = fields.fields.get("test_cases")
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise fields.bad("test_cases", "is not a list of texts")
    if not tests:
        raise fields.bad("test_cases", "there are none, and every program would pass")
    return tests


def _imports(fields: Row, tests: list[str]) -> list[str]:
    """What a step's tests import, so that a package that is missing is told from a wrong program."""
    found: list[str] = []
    for index, test in enumerate(tests):
        try:
            nodes = list(ast.walk(ast.parse(test)))
        except (SyntaxError, ValueError) as e:
            raise fields.bad(f"test_cases[{index}]", "is not Python") from e
        found += [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    return list(dict.fromkeys(found))


def _given(row: Row, number: str) -> str:
    path = row.file.with_name(f"{number}.txt")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise row.bad(f"step {number}", f"is handed out, and its code {path} cannot be read: {e}") from e
    if not text.strip():
        raise row.bad(f"step {number}", f"is handed out, and its code {path} is empty")
    return text
