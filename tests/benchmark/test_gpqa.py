"""GPQA: rows to questions with shuffled choices; what is wrong with a file is said of its row."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from atlas.contracts import LETTERS
from atlas.errors import BadInput
from benchmark.datasets.gpqa import COLUMNS, RIGHT, open_diamond, open_part
from benchmark.datasets.source import Opened, Request
from benchmark.tasks import Task

Row = dict[str, str]


def row(n: int, **columns: str) -> Row:
    answers = {name: f"{name} of {n}" for name in COLUMNS[1:]}
    return {"Question": f"What is {n}?\nSay, really?", **answers, "Record ID": f"rec{n}", **columns}


def csv_file(directory: Path, rows: list[Row]) -> Path:
    path = directory / "gpqa.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for each in rows for name in each)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def part(path: Path) -> Opened:
    return open_part(Request(path, path.parent))


def tasks(opened: Opened) -> list[Task]:
    return opened.decode({item.id for item in opened.items})


def test_rows_become_questions_whose_letter_is_the_right_answer(tmp_path: Path) -> None:
    rows = [row(n, Subdomain="Optics", **{"High-level domain": "Physics"}) for n in range(40)]
    made = tasks(part(csv_file(tmp_path, rows)))
    assert [task.id for task in made] == [f"gpqa/rec{n}" for n in range(40)]
    for task, fields in zip(made, rows, strict=True):
        assert task.problem.kind == "choice"
        assert task.problem.statement == fields["Question"]
        assert sorted(task.problem.choices) == sorted(fields[name] for name in COLUMNS[1:])
        letter = task.hidden.tests[0].output
        assert task.problem.choices[LETTERS.index(letter)] == fields[RIGHT]
        assert (task.title, task.platform) == ("Optics", "physics")


def test_the_letter_is_no_constant_and_always_the_same(tmp_path: Path) -> None:
    rows = [row(n) for n in range(400)]
    letters = [task.hidden.tests[0].output for task in tasks(part(csv_file(tmp_path, rows)))]
    assert min(Counter(letters)[letter] for letter in "ABCD") > 60
    path = tmp_path / "gpqa.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in reversed(rows)), encoding="utf-8")
    again = [task.hidden.tests[0].output for task in tasks(part(path))]
    assert again == letters[::-1], "in another file, in another order, each question has its letter"


def test_without_a_record_id_the_question_names_the_task(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row(n).items() if name != "Record ID"} for n in (1, 2)]
    names = [task.id for task in tasks(part(csv_file(tmp_path, rows)))]
    assert len(set(names)) == 2
    assert all(name.startswith("gpqa/") for name in names)


def test_diamond_is_whole_or_refused(tmp_path: Path) -> None:
    whole = csv_file(tmp_path, [row(n) for n in range(198)])
    assert len(open_diamond(Request(whole, tmp_path)).items) == 198
    path = csv_file(tmp_path, [row(n) for n in range(197)])
    with pytest.raises(BadInput, match=r"has 197 rows, .* 198: row 198 and what follows are missing"):
        open_diamond(Request(path, tmp_path))
    assert len(part(path).items) == 197


def test_it_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gpqa_diamond=PATH"):
        open_diamond(Request(None, tmp_path))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"Incorrect Answer 2": ""}, "row 2.*Incorrect Answer 2: is empty"),
        ({RIGHT: " "}, "row 2.*Correct Answer: is empty"),
        ({"Question": ""}, "row 2.*Question: is empty"),
        ({"Incorrect Answer 1": f"{RIGHT} of 2"}, "row 2.*Incorrect Answer 1: is the same as Correct Answer"),
        ({"Record ID": "rec1"}, "row 2.*Record ID: is in an earlier row too"),
    ],
)
def test_what_is_wrong_is_said_of_its_row(tmp_path: Path, columns: Row, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        part(csv_file(tmp_path, [row(1), row(2, **columns)]))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = csv_file(tmp_path, [row(1)])
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("Incorrect Answer 3", "Something", 1), encoding="utf-8")
    with pytest.raises(BadInput, match="has no column 'Incorrect Answer 3'"):
        part(path)
    path.write_text(whole.splitlines(keepends=True)[0], encoding="utf-8")
    with pytest.raises(BadInput, match="holds no rows"):
        part(path)
    path.write_text(whole[: whole.index("Say,")], encoding="utf-8")
    with pytest.raises(BadInput, match=r"is not CSV \(cut off\?\)"):
        part(path)
    path.write_text(whole[: whole.index("Incorrect Answer 3 of")], encoding="utf-8")
    with pytest.raises(BadInput, match=r"row 1.*Incorrect Answer 3: is empty"):
        part(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-8"):
        part(path)
    with pytest.raises(BadInput, match="cannot be read"):
        part(tmp_path / "none.csv")
