"""What the model is asked: one prefix for all calls of a task, nothing twice, nothing forgotten."""

from __future__ import annotations

import shutil
from itertools import takewhile
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from atlas import prompts
from atlas.contracts import PERTURBATIONS, ConstraintSet, Example, Plan, Problem
from atlas.json_schema import begun
from services.planner.budget_forcing import STUB, WAIT
from services.repair.refinement import SCHEMA

PLAN = Plan(algorithm="prefix sums", steps=("read", "add"), edge_cases=("an empty list",))
SET = ConstraintSet(family="sorting", requires="an order", rules_out="a second pass")
EXAMPLES = (Example(input="3\n10 20 30\n", output="60\n"), Example(input="1\n77\n", output="77\n"))
PROBLEM = Problem(title="Sum", statement="Add the numbers.\nThere are up to 10^5.", examples=EXAMPLES)
FUNCTION = Problem(
    statement="Return the doubled number.",
    kind="function",
    entry_point="double",
    starter_code="class Solution:\n    def double(self, n: int) -> int:\n        ",
    examples=(Example(input="[4321]", output="8642"),),
)


def _shared(texts: list[str]) -> str:
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return "".join(column[0] for column in columns)


def user(name: str, problem: Problem, **values: object) -> str:
    system, message = prompts.messages(name, problem, **values)
    assert system["role"] == "system"
    assert message["role"] == "user"
    return message["content"]


def drawn_from(problem: Problem) -> list[str]:
    return [
        user("solve", problem),
        user("constraints", problem, n=3, taken=()),
        user("plan", problem, constraints=SET),
        user("implement", problem, plan=PLAN),
        *(user("solve", problem, perturbation=each) for each in PERTURBATIONS),
    ]


@pytest.mark.parametrize("problem", [PROBLEM, FUNCTION])
def test_all_prompts_of_a_task_share_the_whole_problem_as_prefix(problem: Problem) -> None:
    shared = _shared(drawn_from(problem))
    assert problem.statement in shared
    assert problem.starter_code.rstrip() in shared
    assert problem.title in shared
    for example in problem.examples:
        assert example.input.rstrip() in shared
        assert example.output.rstrip() in shared
    systems = {prompts.messages("solve", p)[0]["content"] for p in (PROBLEM, FUNCTION)}
    assert len(systems) == 1


def test_what_varies_comes_last() -> None:
    other = Plan(algorithm="sorting", steps=("sort",))
    one, two = (user("implement", PROBLEM, plan=plan) for plan in (PLAN, other))
    shared = _shared([one, two])
    assert shared.endswith("Algorithm: ")
    for part in ("prefix sums", "1. read", "2. add", "- an empty list"):
        assert part in one


def test_examples_are_printed_once() -> None:
    for text in drawn_from(PROBLEM):
        assert text.count("10 20 30") == 1
        assert text.count("# Examples") == 1
    told = "Add them.\n\nExample\n\nInput:\n3\n10 20 30\n\nOutput:\n60\n\nInput:\n1\n77\n\nOutput:\n77\n"
    for text in drawn_from(PROBLEM.model_copy(update={"statement": told})):
        assert text.count("10 20 30") == 1
        assert "# Examples" not in text


def test_examples_that_the_statement_shows_are_not_put_again() -> None:
    given = FUNCTION.model_copy(update={"examples": (Example(input="20", output="40"),)})
    bare, shown = given.model_copy(update={"examples": ()}), {"examples_in_statement": True}
    assert drawn_from(given.model_copy(update=shown)) == drawn_from(bare)
    assert drawn_from(given) != drawn_from(bare)


@pytest.mark.parametrize("text", ["1", "", "5\n"])
def test_a_short_example_is_not_taken_for_told(text: str) -> None:
    problem = Problem(statement="Given 1 <= n <= 10^5.", examples=(Example(input=text, output="8642"),))
    assert "8642" in user("solve", problem)


def test_without_examples_there_is_no_heading_for_them() -> None:
    assert "Example" not in user("solve", PROBLEM.model_copy(update={"examples": ()}))


def test_stdin_problems_ask_for_a_whole_program() -> None:
    assert "standard input" in user("solve", PROBLEM)
    assert "Starter code" not in user("solve", PROBLEM)


def test_function_problems_show_the_starter_code_and_name_the_function() -> None:
    text = user("solve", FUNCTION)
    assert f"```python\n{FUNCTION.starter_code.rstrip()}\n```" in text
    assert "class Solution" in text.split("# Your task")[1]
    assert "`double`" in text.split("# Your task")[1]
    assert "standard input" not in text
    bare = user("solve", FUNCTION.model_copy(update={"starter_code": "def double(n):\n"}))
    assert "the whole function `double`" in bare


def test_an_example_of_a_function_is_shown_as_the_call_it_stands_for() -> None:
    examples = (Example(input='[1, null]\n"a\\n"\n', output="true\n"), Example(input="not JSON", output="7"))
    problem = FUNCTION.model_copy(update={"examples": examples})
    for text in drawn_from(problem):
        assert "double([1, None], 'a\\n') returns True" in text
        assert "double(not JSON) returns 7" in text


@pytest.mark.parametrize(
    "statement", ["Double it. Example: double([4321]) returns 8642.", ">>> double([4321])\n8642"]
)
def test_an_example_that_the_statement_shows_as_a_call_is_printed_once(statement: str) -> None:
    examples = (*FUNCTION.examples, Example(input="[5]", output="10"))
    for text in drawn_from(FUNCTION.model_copy(update={"statement": statement, "examples": examples})):
        assert text.count("4321") == 1
        assert text.count("double([5]) returns 10") == 1


def test_starter_code_that_the_statement_holds_is_printed_once() -> None:
    code = 'def double(n):\n    """Twice n."""\n'
    problem = FUNCTION.model_copy(update={"statement": f"Complete this.\n\n{code}", "starter_code": code})
    for text in drawn_from(problem):
        assert text.count("Twice n.") == 1
        assert "Starter code" not in text


def test_the_statement_is_text_and_never_a_template_or_markup() -> None:
    statement = "Print {{ 6 * 7 }} and {% raw %} & a < b > 'c'."
    assert statement in user("solve", PROBLEM.model_copy(update={"statement": statement}))


def test_a_missing_value_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        prompts.messages("plan", PROBLEM)


def test_each_perturbation_says_something_of_its_own_and_all_keep_the_answers_form() -> None:
    plain, ways = user("solve", PROBLEM), {user("solve", PROBLEM, perturbation=p) for p in PERTURBATIONS}
    assert len(ways | {plain}) == 13
    form = plain.rpartition("\n\n")[2]
    assert all(form.splitlines()[-1] in way for way in ways)
    files = Path(prompts.__file__).parent / "perturbations"
    assert {file.stem for file in files.iterdir()} == set(PERTURBATIONS)


def test_code_is_asked_for_with_the_whole_plan() -> None:
    plan = PLAN.model_copy(update={"constraints": SET, "data_structures": ("a running total",)})
    text = user("implement", PROBLEM, plan=plan)
    whole = (
        "an order",
        "a second pass",
        "prefix sums",
        "a running total",
        "1. read",
        "2. add",
        "an empty list",
    )
    assert all(part in text for part in whole)


def test_what_we_put_into_the_models_mouth_is_in_hashed_files_to_the_last_blank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = "\n\nTime is up. I stop thinking here and write the answer from what I have worked out so far.\n"
    texts = {
        "time_is_up": (STUB, stub),
        "wait": (WAIT, "\n\nWait"),
        "cause_begins": (SCHEMA["properties"]["cause"], begun("The program ")),
        "constraint_begins": (SCHEMA["properties"]["constraints"]["items"], begun("It must ")),
    }
    directory = tmp_path / "prompts"
    shutil.copytree(Path(prompts.__file__).parent, directory)
    monkeypatch.setattr(prompts, "_DIR", directory)
    hashes = {prompts._digest()}
    for name, (used, expected) in texts.items():
        assert used == expected
        file = directory / f"{name}.j2"
        file.write_text(file.read_text().replace(" -}}", ' ~ "more" -}}'))
        hashes.add(prompts._digest())
    assert len(hashes) == 1 + len(texts)


def test_the_hash_changes_with_a_files_content_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "prompts"
    shutil.copytree(Path(prompts.__file__).parent, directory)
    monkeypatch.setattr(prompts, "_DIR", directory)
    assert prompts._digest() == prompts.PROMPTS_SHA256
    solve = directory / "solve.j2"
    solve.write_text(solve.read_text() + "\n")
    changed = prompts._digest()
    solve.rename(directory / "solve2.j2")
    assert len({prompts.PROMPTS_SHA256, changed, prompts._digest()}) == 3
