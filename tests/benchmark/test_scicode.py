"""SciCode: problems and targets to tasks, nothing secret in what is handed out, and a row for every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse

from atlas.errors import BadInput
from benchmark.datasets.scicode import open_part, open_scicode, open_with_background
from benchmark.datasets.scicode_targets import Targets
from benchmark.datasets.source import Request
from benchmark.scoring.steps_harness import value
from benchmark.tasks import Task
from tests.support.scicode_files import problem, step, write


def loaded(path: Path) -> list[Task]:
    opened = open_part(Request(path, path.parent))
    return opened.decode({item.id for item in opened.items})


def test_a_problem_becomes_one_task_of_all_its_steps(tmp_path: Path) -> None:
    (task,) = loaded(write(tmp_path))
    asked = task.problem
    assert (task.id, asked.kind, asked.starter_code) == ("scicode/10", "steps", "import numpy as np")
    assert asked.statement == "Divide numbers.\n\nParameters: x. Returns: two numbers."
    assert [s.header for s in asked.steps] == [
        "def half(x):\n    '''Half of x.'''\n\n    return result",
        "def split(x):\n\n    return result",
    ]
    assert [s.background for s in asked.steps] == ["", ""]
    assert len(task.hidden) == 2
    hidden = json.loads(task.hidden.tests[1].input)
    assert hidden["imports"] == ["from scicode.compare.cmp import cmp_tuple_or_list"]
    assert [value(target) for target in hidden["targets"]] == [(1.5, 1.5)]
    handed_out = asked.model_dump_json()
    assert "SECRET" not in handed_out
    assert "target" not in handed_out
    assert "SECRET" not in task.hidden.tests[0].input


def test_background_is_there_where_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, [problem(str(n)) for n in range(15)])
    opened = open_with_background(Request(path, tmp_path))
    (task,) = opened.decode({"scicode/3"})
    assert [s.background for s in task.problem.steps] == ["Background of 3.1.", "Background of 3.2."]
    assert [(source.file, source.rows) for source in opened.sources] == [
        ("problems.jsonl", 15),
        ("test_data.h5", 30),
    ]


def test_a_part_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(BadInput, match=r"has 1 rows.*scicode_part"):
        open_scicode(Request(path, tmp_path))
    with pytest.raises(BadInput, match="scicode=PATH"):
        open_scicode(Request(None, tmp_path))


def test_a_step_that_is_handed_out_is_not_graded(tmp_path: Path) -> None:
    path = write(tmp_path, [problem("62")])
    with pytest.raises(BadInput, match=r"row 1.*step 62.1: is handed out.*62\.1\.txt"):
        loaded(path)
    (tmp_path / "62.1.txt").write_text("def half(x):\n    return x / 2\n", encoding="utf-8")
    (task,) = loaded(path)
    assert [bool(s.given) for s in task.problem.steps] == [True, False]
    (test,) = task.hidden.tests
    assert "def half" in json.loads(test.input)["given"]


def changed(**fields: object) -> dict[str, Any]:
    return problem(**fields)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (changed(sub_steps=[]), "sub_steps: is not a list of steps"),
        (
            changed(sub_steps=[step("10.1", "def half(x):", [])]),
            r"sub_steps\[0\] of 10.*test_cases: there are",
        ),
        (
            changed(sub_steps=[step("10.1", "def half(x):", ["assert ("] * 2)]),
            r"test_cases\[0\]: is not Python",
        ),
        (changed(sub_steps=[step("10.1", "", ["pass"] * 2)]), "function_header: is empty"),
        (changed(sub_steps=[step("10.1", "def half(x):", ["pass"])]), "step 10.1: has 1 tests, .* 2 targets"),
        (changed(sub_steps=[step("10.9", "def half(x):", ["pass"])]), "step 10.9: has 1 tests, .* 0 targets"),
        (changed(required_dependencies=None), "required_dependencies: is missing"),
        (changed(problem_description_main=""), "problem_description_main: is empty"),
    ],
)
def test_what_is_wrong_is_said_of_its_row_and_step(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=rf"problems\.jsonl: row 1.*{said}"):
        loaded(write(tmp_path, [row]))


def test_a_file_without_targets_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "test_data.h5").write_bytes(b"cut off")
    with pytest.raises(BadInput, match=r"test_data\.h5: cannot be read as HDF5"):
        loaded(path)
    (tmp_path / "test_data.h5").unlink()
    with pytest.raises(BadInput, match=r"test_data\.h5: cannot be read as HDF5"):
        loaded(path)


def _sparse(group: h5py.Group, matrix: Any) -> None:
    inside = group.create_group("sparse_matrix")
    for name in ("data", "shape", *(("row", "col") if matrix.format == "coo" else ("indices", "indptr"))):
        inside[name] = getattr(matrix, name)
    if matrix.format == "bsr":
        inside["blocksize"] = matrix.blocksize


def test_targets_come_back_as_what_they_were(tmp_path: Path) -> None:
    dense = np.array([[0.0, 2.0], [3.0, 0.0]])
    matrices = [
        scipy.sparse.coo_matrix(dense),
        scipy.sparse.csr_matrix(dense),
        scipy.sparse.bsr_matrix(dense),
    ]
    with h5py.File(tmp_path / "t.h5", "w") as file:
        step = file.create_group("1.1")
        step["test1/var1"] = np.array([[1, 2]], dtype=np.int32)
        step["test2/var1"] = 2.5
        step["test3/var1"] = "plus"
        step["test4/var1"] = 1 + 2j
        for n in range(1, 13):
            step[f"test5/var{n}"] = n
        step["test6/var1/list/var1"] = np.array([1.0])
        step["test6/var1/list/var2"] = "x"
        step["test7/var1/0.5"] = np.array([True])
        step["test7/var1/name"] = "y"
        for n, matrix in enumerate(matrices, 8):
            _sparse(step.create_group(f"test{n}/var1"), matrix)
    with Targets(tmp_path / "t.h5") as targets:
        assert (len(targets), targets.count("1.1"), targets.count("2.1")) == (1, 10, 0)
        found = [value(json.loads(json.dumps(target))) for target in targets.of("1.1", 10)]
        with pytest.raises(BadInput, match=r"holds no target 1\.1/test11"):
            targets.of("1.1", 11)
    array, number, text, complex_number, several, listed, keyed, *sparse = found
    assert (array.dtype, array.tolist()) == (np.int32, [[1, 2]])
    assert (number, isinstance(number, np.float64)) == (2.5, True)
    assert (text, complex_number) == ("plus", 1 + 2j)
    assert several == tuple(range(1, 13)), "in the order they were given, not of the alphabet"
    assert (listed[0].tolist(), listed[1]) == ([1.0], "x")
    assert keyed[0.5].tolist() == [True]
    assert keyed["name"] == "y"
    for matrix, back in zip(matrices, sparse, strict=True):
        assert back.format == matrix.format
        assert back.toarray().tolist() == dense.tolist()
