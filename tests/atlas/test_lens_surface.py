"""The surface set: every feature there and finite, whatever the program; nothing told before its stage."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from atlas.cli import app
from atlas.contracts import Candidate, Execution, LogprobSummary, SamplingParams, TestResult, Usage, Verdict
from atlas.events import CandidatesClustered
from atlas.evidence import CandidateCluster
from atlas.lens.surface import COMPARED, DRAWN, RUN, SURFACE, Surface, surface_of
from atlas.lens.table import directories
from atlas.state import TaskState
from tests.support.lens_weights import surface_set, write_weights

SAMPLING = SamplingParams(temperature=0.7, max_tokens=64, seed=1)


def candidate(code: str | None, name: str = "c0") -> Candidate:
    logprob = LogprobSummary(mean=-0.5, minimum=-99.0, lowest_decile=-2.0)
    return Candidate(
        id=name, origin="sample", code=code, sampling=SAMPLING, usage=Usage(tokens_out=7), logprob=logprob
    )


def compared() -> TaskState:
    verdicts = (Verdict.ACCEPTED, Verdict.RUNTIME_ERROR)
    results = tuple(TestResult(verdict=verdict) for verdict in verdicts)
    clusters = (
        CandidateCluster(candidates=("c0", "c1", "c2"), probability=0.7),
        CandidateCluster(candidates=("c3",), probability=0.1),
    )
    return TaskState(
        executions={"c0": Execution(results=results, tests=4, isolation="fake", seconds=0.1)},
        clustered=CandidatesClustered(clusters=clusters, inputs=5, agreeing=3),
    )


@given(
    st.one_of(
        st.none(), st.text(max_size=80), st.sampled_from(["x = 1", "def f(:", "'\\d'", "\0", "(" * 400])
    )
)
def test_every_feature_is_there_and_finite_whatever_the_program(code: str | None) -> None:
    for state in (TaskState(), compared()):
        values = surface_of(state, candidate(code)).values
        assert set(values) == set(SURFACE)
        assert all(math.isfinite(value) for value in values.values())


def test_counts_are_those_of_the_program() -> None:
    code = "def f(n):\n    for i in range(n):\n        if i:\n            print(i)\n"
    values = surface_of(TaskState(), candidate(code)).values
    assert values["parses"] == values["has_code"] == values["has_logprob"] == 1
    assert [values[f"log_{name}"] for name in ("functions", "loops", "branches", "calls")] == [
        math.log1p(n) for n in (1, 1, 1, 2)
    ]
    assert values["nesting"] >= 3
    assert values["logprob_minimum"] == -20, "one token that hardly could be says no more than that"
    assert values["log_tokens"] == math.log1p(7)
    assert surface_of(TaskState(), candidate("def f(:")).values["parses"] == 0


def test_what_a_run_and_a_comparison_tell_is_known_only_from_that_stage() -> None:
    after = surface_of(compared(), candidate("x")).values
    assert {name: after[name] for name in (*RUN, *COMPARED)} == {
        "ran": 1,
        "examples_passed": 0.25,
        "examples_crashed": 0.25,
        "compared": 1,
        "log_inputs": math.log1p(5),
        "agreement": 0.75,
    }
    for stage, known in (("drawn", DRAWN), ("run", (*DRAWN, *RUN)), ("compared", SURFACE)):
        values = surface_of(compared(), candidate("x"), stage).values
        assert values == {name: after[name] if name in known else 0 for name in SURFACE}
    assert surface_of(compared(), candidate("x", "c9")).values["compared"] == 0


def test_a_lacking_or_unknown_feature_is_refused() -> None:
    values = dict.fromkeys(SURFACE, 0.0)
    for wrong in ({**values, "charm": 1.0}, {k: v for k, v in values.items() if k != "ran"}):
        with pytest.raises(ValidationError):
            Surface(values=wrong)


def test_the_command_lists_weights_and_what_is_wrong_with_others(tmp_path: Path) -> None:
    conf = tmp_path / "atlas.conf"
    conf.write_text(f"DATA_DIR={tmp_path}\n")
    own = directories(tmp_path)[0]
    write_weights(own / "mine.safetensors", surface_set())
    (own / "broken.safetensors").write_bytes(b"x")
    listed = CliRunner().invoke(app, ["lens", "list", "--config", str(conf)])
    assert listed.exit_code == 0
    assert "surface:" in listed.output
    assert "left out" in listed.output
    assert "broken.safetensors" in listed.output
    for name, why in (("mine", "no card"), ("yours", "no lens weights 'yours'")):
        shown = CliRunner().invoke(app, ["lens", "card", name, "--config", str(conf)])
        assert shown.exit_code == 2
        assert why in shown.output
    (own / "mine.card.md").write_text("# Its card\n")
    assert "Its card" in CliRunner().invoke(app, ["lens", "card", "mine", "--config", str(conf)]).output
