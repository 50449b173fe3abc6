"""The report of runs: its numbers, what it warns of, what it says is missing, and its command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from atlas.policy import POLICIES
from benchmark.datasets import oddities
from benchmark.drawn import programs
from benchmark.grades import GradeFile, ProgramGrade
from benchmark.report.__main__ import main
from benchmark.report.breakdowns import breakdowns
from benchmark.report.content import Report
from benchmark.report.cutoffs import cutoff_of, known
from benchmark.report.gather import gather
from benchmark.report.groups import condition_row, grouped
from benchmark.results import load_runs
from benchmark.run_store import RunStore
from tests.benchmark import report_runs
from tests.benchmark.report_runs import make_run, make_runs

CANARIES = ("CANARY-IN-31337", "CANARY-OUT-73313")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_runs(tmp_path_factory.mktemp("three"), ("A", "B", "D"))


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.report.gather.figures", lambda *_: ())


@pytest.fixture(scope="module")
def report(three: list[Path]) -> Report:
    return gather(load_runs(three))


def run_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return json.loads(lines[-1])


# ---------------------------------------------------------------- numbers


def test_a_condition_is_summed_up_as_its_records_say(three: list[Path], report: Report) -> None:
    run = load_runs(three)[1]
    row = report.conditions[1]
    assert (row.label, row.condition, row.model, row.seeds) == ("B", "B", "qwen2.5-coder-0.5b", (0,))
    assert (row.n, row.passed, row.errors, row.tasks) == (24, run.passed, 0, 24)
    assert row.pass_rate == pytest.approx(run.passed / 24)
    assert row.interval is not None
    assert row.interval[0] < run.passed / 24 < row.interval[1]
    assert row.tokens_out == sum(task.tokens_out for task in run.tasks)
    assert row.tokens_out_per_task == pytest.approx(row.tokens_out / 24)
    assert row.tokens_per_solved == pytest.approx(row.tokens_out / run.passed)
    assert row.seconds == pytest.approx(run.seconds)
    shares = (row.model_share, row.executor_share, row.overhead_share)
    assert sum(share or 0.0 for share in shares) == pytest.approx(1.0)


def test_pairs_count_the_tasks_on_which_two_conditions_differ(three: list[Path], report: Report) -> None:
    a, b, _ = (run.replicate.results for run in load_runs(three))
    pair = report.pairs[0]
    assert (pair.a, pair.b, pair.n) == ("A", "B", 24)
    assert pair.a_only == sum(a[task].passed and not b[task].passed for task in a)
    assert pair.b_only == sum(b[task].passed and not a[task].passed for task in a)
    assert pair.difference == pytest.approx((pair.b_only - pair.a_only) / 24)
    assert pair.p_method == "exact McNemar"
    assert re.search(
        r"n = 24 .* a true difference of less than [\d.]+ points would have been missed", pair.power
    )
    assert [(p.a, p.b) for p in report.pairs] == [("A", "B"), ("A", "D"), ("B", "D")]


@pytest.mark.usefixtures("no_plots")
def test_seeds_are_one_condition_and_tasks_stay_the_unit(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"s{seed}", POLICIES["B"], 12, seed=seed) for seed in (0, 1)]
    found = gather(load_runs(runs))
    (row,) = found.conditions
    assert (row.label, row.seeds, row.n, row.tasks) == ("B", (0, 1), 24, 12)
    assert row.interval_method == "bootstrap over tasks"
    assert row.pass_rate == pytest.approx(row.passed / 24)
    assert len(found.tasks) == 12
    assert [attempt.seed for attempt in found.tasks[0].attempts] == [0, 1]


@pytest.mark.usefixtures("no_plots")
def test_models_and_budgets_are_told_apart(tmp_path: Path) -> None:
    small = POLICIES["D"].model_copy(update={"token_budget": 1000})
    runs = [
        make_run(tmp_path / "1", POLICIES["D"], 4),
        make_run(tmp_path / "2", small, 4),
        make_run(tmp_path / "3", POLICIES["D"], 4, model="other-1b"),
    ]
    groups = grouped(load_runs(runs))
    assert len({group.label for group in groups}) == 3
    assert {"D, other-1b", "D, qwen2.5-coder-0.5b (token_budget 1000)"} <= {each.label for each in groups}
    compared = {(pair.a, pair.b) for pair in gather(load_runs(runs)).pairs}
    assert len(compared) == 3  # two budgets on one model, and both against the other model


@pytest.mark.usefixtures("no_plots")
def test_errors_and_unfinished_runs_are_in_no_rate_and_said_first(tmp_path: Path) -> None:
    found = gather(load_runs([make_run(tmp_path / "r", POLICIES["A"], 6, errors=(1, 2), asked=9)]))
    (row,) = found.conditions
    assert (row.n, row.errors, row.unfinished) == (4, 2, 3)
    assert "A is not finished: 6 of 9 results are there, and its rate is of those." in found.warnings
    assert any("2 tasks ended in an error" in warning for warning in found.warnings)
    errors = found.listings[-1]
    assert [each.task for each in errors.tasks] == [report_runs.task_id(1), report_runs.task_id(2)]
    assert errors.tasks[0].statuses == ("error",)


@pytest.mark.usefixtures("no_plots")
def test_runs_of_other_tasks_are_compared_with_a_warning(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "1", POLICIES["A"], 4), make_run(tmp_path / "2", POLICIES["B"], 6)
    path = two / "config.json"
    path.write_text(path.read_text().replace("ab" * 32, "ef" * 32))
    found = gather(load_runs([one, two]))
    assert any("not of the same tasks" in warning for warning in found.warnings)
    assert [pair.n for pair in found.pairs] == [4]


def test_a_run_without_any_result_is_a_report_all_the_same(tmp_path: Path) -> None:
    found = gather(load_runs([make_run(tmp_path / "r", POLICIES["A"], 0, asked=5)]))
    assert found.lead == ("No task has a result yet.",)
    assert (found.plots, found.pairs, found.conditions[0].pass_rate) == ((), (), None)


# ---------------------------------------------------------------- groups of tasks


def test_months_after_the_cutoff_stand_apart(three: list[Path]) -> None:
    months = breakdowns(grouped(load_runs(three)))[2]
    names = [row.name for row in months.rows]
    cut = "the training cut-off (2024-06-30)"
    assert names == ["2024-03", "2024-05", "2024-06", f"until {cut}", "2024-08", "2024-09", f"after {cut}"]
    assert [row.total for row in months.rows] == [row.name.endswith(cut) for row in months.rows]
    before, after = months.rows[3], months.rows[6]
    assert before.tasks + after.tasks == 24
    for total, rows in ((before, months.rows[:3]), (after, months.rows[4:6])):
        assert total.rates[0].passed == sum(row.rates[0].passed for row in rows)
    assert "LiveCodeBench's list of models" in months.note


def test_difficulties_stand_in_the_order_of_difficulty(three: list[Path]) -> None:
    difficulty, platform, _ = breakdowns(grouped(load_runs(three)))
    assert [row.name for row in difficulty.rows] == ["easy", "medium", "hard"]
    assert [row.name for row in platform.rows] == ["atcoder", "leetcode"]
    assert sum(row.rates[1].passed for row in difficulty.rows) == load_runs(three)[1].passed


def test_what_no_run_notes_is_said_to_be_unknown(tmp_path: Path) -> None:
    runs = load_runs([make_run(tmp_path / "r", POLICIES["A"], 3, described=False, model="nameless")])
    assert [each.rows for each in breakdowns(grouped(runs))] == [(), (), ()]
    dated = load_runs([make_run(tmp_path / "d", POLICIES["A"], 6, model="nameless")])
    months = breakdowns(grouped(dated))[2]
    assert "nameless is not known" in months.note
    assert not any(row.total for row in months.rows)


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("qwen2.5-coder-0.5b", "2024-06-30"),
        ("Qwen/Qwen2.5-Coder-7B-Instruct-Q4_K_M", "2024-06-30"),
        ("Llama-3.1-8B", "2023-12-31"),
        ("smollm2-135m", None),
    ],
)
def test_cutoffs_by_the_beginning_of_a_name(model: str, day: str | None) -> None:
    found = cutoff_of(model)
    assert (found.date.isoformat() if found else None) == day
    assert all(each.source for each in known().models)


# ---------------------------------------------------------------- lists, and what was measured beside


@pytest.mark.usefixtures("no_plots")
def test_odd_tasks_are_listed_with_the_rate_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = oddities.oddities()[0]
    monkeypatch.setattr(report_runs, "task_id", lambda n: odd.id if n == 0 else f"t{n}")
    found = gather(load_runs([make_run(tmp_path / "r", POLICIES["A"], 5)]))
    listing = found.listings[0]
    assert [each.task for each in listing.tasks] == [odd.id]
    assert odd.reason in listing.tasks[0].text
    assert "(n = 4)" in listing.summary[0]
    assert [section.id for section in found.tasks if section.odd] == [odd.id]


def test_grades_of_both_checkers_show_where_they_differ_and_what_selection_lost(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "r", POLICIES["B"], 10, code=lambda task, name: f"print('{task} {name}')")
    (run,) = load_runs([directory])
    failed = [task for task in run.tasks if not task.passed]
    with GradeFile(directory) as grades:
        for program in programs(run):
            own = program.sha256 == next(t.program_sha256 for t in run.tasks if t.task == program.task)
            right = own == next(t.passed for t in run.tasks if t.task == program.task)
            official = report_runs.grade(right)
            strict = report_runs.grade(right or (own and program.task == failed[0].task))
            grades.add(
                ProgramGrade(
                    task=program.task,
                    program_sha256=program.sha256,
                    official=official,
                    strict=strict.model_copy(update={"checker": "strict"}),
                )
            )
    found = gather(load_runs([directory]))
    differ = found.listings[1]
    assert [(each.task, each.kind) for each in differ.tasks] == [(failed[0].task, "passes strictly only")]
    assert {row.metric for row in found.secondary} >= {"strict", "public_selected@2", "upstream_pass_1_v_k3"}
    assert all(row.note for row in found.secondary)
    origins = next(plot for plot in found.plots if plot.name == "origins")
    lost = sum(
        len(section.attempts[0].candidates) > 1 for section in found.tasks if section.verdict == "none"
    )
    assert f"{lost} lost in selection" in origins.alt
    assert any(each.grade for each in found.tasks[0].attempts[0].candidates)


def test_what_was_not_measured_is_said(report: Report) -> None:
    assert "Not measured" in report.secondary_note
    assert "Not measured" in report.listings[1].note
    assert any("not measured" in line for line in report.costs)
    assert all(row.cost_per_task is None and row.joules is None for row in report.conditions)


@pytest.mark.usefixtures("no_plots")
def test_it_says_how_to_measure_it_again(tmp_path: Path) -> None:
    policy = POLICIES["D"].model_copy(update={"token_budget": 999, "k": 2})
    found = gather(load_runs([make_run(tmp_path / "r", policy, 2, seed=3)]))
    (command,) = found.commands
    assert command.startswith(
        "python -m benchmark.v3_runner --dataset lcb_official.jsonl --condition D --seed 3 --token-budget 999"
    )
    assert command.endswith("# with k = 2")


# ---------------------------------------------------------------- the command


def test_json_has_what_programs_need(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_json(capsys, *three, "--out", tmp_path / "out")
    needed = {"condition", "model", "seeds", "n", "passed", "pass_rate", "interval", "errors"}
    assert needed | {"tokens_in", "tokens_out", "seconds"} <= set(said["conditions"][0])
    assert {"a", "b", "n", "difference", "interval", "p_value", "a_only", "b_only"} <= set(said["pairs"][0])
    assert Path(said["html"]).read_text().startswith("<!doctype html>")
    assert Path(said["markdown"]).read_text().startswith("# qwen2.5-coder-0.5b on lcb_official.jsonl")


def test_an_ablation_is_read_whole_and_pages_go_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_runs(tmp_path / "runs", ("A", "B"), tasks=4)
    said = run_json(capsys, tmp_path)
    assert [row["condition"] for row in said["conditions"]] == ["A", "B"]
    assert (tmp_path / "report.html").is_file()
    for name in re.findall(r"\]\((report-[a-z-]+\.svg)\)", (tmp_path / "report.md").read_text()):
        assert (tmp_path / name).read_text().startswith("<svg")


@pytest.mark.usefixtures("no_plots")
def test_what_is_no_run_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "there is no such directory" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 1
    assert "holds neither a run (config.json)" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2


@pytest.mark.usefixtures("no_plots")
def test_a_place_that_cannot_be_written_is_an_error(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(three[0]), "--out", str(tmp_path / "file" / "out")]) == 1
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.usefixtures("no_plots")
def test_hidden_tests_never_appear_even_where_the_data_set_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "r", POLICIES["A"], 3, described=False)
    rows = [
        {
            "question_id": report_runs.task_id(number),
            "platform": "secretive",
            "difficulty": "hard",
            "question_content": "Add.",
            "public_tests": [{"input": "1\n1\n", "output": "1\n", "testtype": "stdin"}],
            "private_tests": [{"input": CANARIES[0], "output": CANARIES[1], "testtype": "stdin"}],
        }
        for number in range(3)
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_json(capsys, run, "--out", tmp_path / "out", "--dataset", data)
    pages = [path.read_text() for path in (tmp_path / "out").iterdir()]
    assert any("secretive" in page for page in pages)
    assert not any(canary in page for canary in CANARIES for page in pages)


def test_the_same_run_gives_the_same_plots(three: list[Path], report: Report) -> None:
    again = gather(load_runs(three))
    assert again.plots == report.plots
    assert condition_row(grouped(load_runs(three))[0]) == report.conditions[0]


@pytest.mark.usefixtures("no_plots")
def test_a_run_at_work_can_be_read(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "r", POLICIES["A"], 2, asked=3)
    (run,) = load_runs([directory])
    with RunStore(directory, run.configuration):
        assert gather(load_runs([directory])).conditions[0].n == 2
