"""The rates beside the headline: by hand on small runs, and by their definitions on random ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas.contracts import Verdict
from atlas.policy import RESAMPLE, A, Policy
from benchmark.drawn import drawn, programs
from benchmark.grades import Program, ProgramGrade
from benchmark.protocol import Metric, Protocol, protocol
from benchmark.results import RunResults, load_run, program_sha256
from benchmark.run_store import GradeSummary
from tests.benchmark.drawn_runs import POOL, Draw, make_run

OK, WRONG = Verdict.ACCEPTED, Verdict.WRONG_ANSWER
# What each letter of a test's tasks stands for: on one public example and one hidden test.
VERDICTS = {"R": (OK, OK), "P": (OK, WRONG), "W": (WRONG,)}  # right; only the public one; wrong
letters = st.sampled_from("RPW")


def summary(verdicts: Sequence[Verdict], passed: bool | None, checker: str = "official") -> GradeSummary:
    return GradeSummary.model_validate(
        {
            "checker": checker,
            "passed": passed,
            "tests": 2,
            "verdicts": verdicts,
            "isolation": "",
            "seconds": 0,
        }
    )


def grade(program: Program, letter: str) -> ProgramGrade:
    verdicts = VERDICTS[letter]
    both = [summary(verdicts, verdicts == (OK, OK), checker) for checker in ("official", "strict")]
    return ProgramGrade(task=program.task, program_sha256=program.sha256, official=both[0], strict=both[1])


def draws(text: str, origin: str = "sample") -> list[Draw]:
    """`RPW` is three candidates; `-` is an answer without a program."""
    return [Draw(None if c == "-" else f"{c}{i}", origin) for i, c in enumerate(text)]  # type: ignore[arg-type]


def graded(run: RunResults) -> dict[Program, ProgramGrade]:
    return {name: grade(name, code[0]) for name, code in programs(run).items()}


def measured(
    tmp_path: Path, tasks: dict[str, list[Draw]], policy: Policy = POOL, **more: object
) -> tuple[dict[str, Metric], Protocol]:
    wrong = [name for name, each in tasks.items() if not (each[0].code or "").startswith("R")]
    make_run(tmp_path / "run", tasks, policy=policy, wrong=wrong, **more)  # type: ignore[arg-type]
    run = load_run(tmp_path / "run")
    read = [each for result in run.graded if (each := drawn(result))]
    said = protocol(run, graded(run), read)
    return {metric.name: metric for metric in said.metrics}, said


def test_the_first_that_passes_the_public_examples_is_chosen(tmp_path: Path) -> None:
    tasks = {"a": draws("WPR"), "b": draws("WWR"), "c": draws("RWW"), "d": draws("WWW"), "e": draws("-RW")}
    found, _ = measured(tmp_path, tasks)
    assert found["headline"].rate == 1 / 5
    assert [found[f"public_selected@{k}"].rate for k in (1, 2, 3)] == [1 / 5, 2 / 5, 3 / 5]
    assert "public_selected@4" not in found


def test_upstream_counts_whatever_passes_the_public_examples(tmp_path: Path) -> None:
    tasks = {
        "hidden tests are not asked": draws("WWP"),
        "three at most": draws("WWWR"),
        "a repair counts": [*draws("WWW"), Draw("P9", "repair")],
        "none": draws("WWW"),
    }
    found, _ = measured(tmp_path, tasks)
    assert (found["upstream_pass_1_v_k3"].rate, found["upstream_pass_1_v_k3"].n) == (2 / 4, 4)
    assert found["headline"].rate == 0
    assert "not a pass rate" in found["upstream_pass_1_v_k3"].what


def test_repairs_are_none_of_the_first_k(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, {"a": [Draw("W0"), Draw("R1", "repair"), Draw("P2")]})
    assert [found[f"public_selected@{k}"].rate for k in (1, 2)] == [0, 0]
    assert found["oracle_pass@2"].rate == 0


def test_a_policy_that_stops_early_is_scored_as_if_it_had_gone_on(tmp_path: Path) -> None:
    """It stopped because a candidate passed the public examples, which is the one that is chosen."""
    found, said = measured(tmp_path, {"a": draws("R"), "b": draws("WWP"), "c": draws("WW")}, RESAMPLE)
    chosen = found["public_selected@3"]
    assert (chosen.rate, chosen.n, chosen.short) == (1 / 3, 3, 1)
    assert "stops drawing" in said.not_given["oracle_pass"]
    assert not [name for name in found if name.startswith("oracle")]


def test_the_oracle_takes_plain_samples_drawn_alike(tmp_path: Path) -> None:
    tasks = {"a": [Draw("R0", "plan"), *draws("WWRW"), Draw("R9", max_tokens=7)], "b": draws("-WW")}
    found, _ = measured(tmp_path, tasks)
    assert found["oracle_pass@1"].rate == pytest.approx((1 / 4 + 0) / 2)
    assert found["oracle_pass@2"].rate == pytest.approx((1 / 2 + 0) / 2)
    assert (found["oracle_pass@4"].rate, found["oracle_pass@4"].n, found["oracle_pass@4"].left_out) == (
        1,
        1,
        1,
    )


def test_a_baseline_of_one_sample(tmp_path: Path) -> None:
    found, said = measured(tmp_path, {"a": draws("R"), "b": draws("P")}, A)
    names = ["headline", "headline_without_odd_tasks", "strict", "public_selected@1"]
    assert list(found) == [*names, "upstream_pass_1_v_k3", "oracle_pass@1"]
    assert [round(metric.rate, 3) for metric in found.values()] == [0.5, 0.5, 0.5, 0.5, 1.0, 0.5]
    assert said.not_given == {}


def test_samples_at_temperature_0_are_one_sample(tmp_path: Path) -> None:
    _, said = measured(tmp_path, {"a": draws("RR")}, POOL.model_copy(update={"temperature": 0.0}))
    assert "temperature 0" in said.not_given["oracle_pass"]


def test_without_public_examples_upstream_counts_nothing(tmp_path: Path) -> None:
    found, said = measured(tmp_path, {"a": draws("RW")}, examples=0)
    assert "no task has public examples" in said.not_given["upstream_pass_1_v_k3"]
    assert found["public_selected@2"].rate == 1.0


def test_errors_are_in_nothing_and_ungraded_tasks_only_in_the_headline(tmp_path: Path) -> None:
    tasks = {"a": draws("RW"), "b": draws("WR"), "c": draws("RR")}
    make_run(tmp_path / "run", tasks, wrong=["b"], errors=["c"])
    run = load_run(tmp_path / "run")
    read = [each for result in run.tasks if (each := drawn(result))]
    grades = graded(run)
    unsettled = Program("b", program_sha256("R1"))
    broken = summary((), None)
    grades[unsettled] = grades[unsettled].model_copy(update={"strict": broken})
    found = {metric.name: metric for metric in protocol(run, grades, read).metrics}
    assert (found["headline"].n, found["headline"].rate) == (2, 0.5)
    assert (found["public_selected@2"].n, found["public_selected@2"].left_out) == (1, 1)
    said = protocol(run, {}, read)
    assert [metric.name for metric in said.metrics] == ["headline", "headline_without_odd_tasks"]
    assert {"public_selected", "upstream_pass_1_v_k3", "oracle_pass"} == set(said.not_given)


def test_odd_tasks_stay_in_the_headline_and_out_of_the_rates_that_say_so(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"a": draws("R"), "b": draws("W"), "c": draws("W")}, wrong=["b", "c"])
    run = load_run(tmp_path / "run")
    said = protocol(run, graded(run), [], odd=lambda t: t in {"b", "c"}, strict_leaves_out=lambda t: t == "b")
    rates = {metric.name: (metric.n, metric.rate, metric.left_out) for metric in said.metrics}
    assert rates["headline"] == (3, pytest.approx(1 / 3), 0)
    assert rates["headline_without_odd_tasks"] == (1, 1.0, 2)
    assert rates["strict"] == (2, 0.5, 1)


def test_a_run_without_results_has_no_rates(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"a": draws("R")}, errors=["a"])
    assert protocol(load_run(tmp_path / "run"), {}, []) == Protocol(
        metrics=(), not_given={"headline": "no task has a result"}
    )


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(letters, min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_rates_are_their_definitions(
    tmp_path_factory: pytest.TempPathFactory, drawn_letters: list[list[str]]
) -> None:
    tasks = {f"t{i}": draws("".join(each)) for i, each in enumerate(drawn_letters)}
    found, _ = measured(tmp_path_factory.mktemp("p"), tasks)
    n = len(drawn_letters)
    for k in (1, 2, 3, 4):
        subsets = [["R" in c for c in combinations(each, k)] for each in drawn_letters]
        assert found[f"oracle_pass@{k}"].rate == pytest.approx(sum(sum(s) / len(s) for s in subsets) / n)
        first = [next((c for c in each[:k] if c != "W"), "W") for each in drawn_letters]
        assert found[f"public_selected@{k}"].rate == pytest.approx(first.count("R") / n)
        assert found[f"public_selected@{k}"].rate <= sum("R" in each[:k] for each in drawn_letters) / n + 1e-9
    upstream = [set(each[:3]) != {"W"} for each in drawn_letters]
    assert found["upstream_pass_1_v_k3"].rate == pytest.approx(sum(upstream) / n)
