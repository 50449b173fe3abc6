"""Runs of self-tests are answered by content: brute force on the examples, candidates on the tests."""

from __future__ import annotations

from atlas.contracts import (
    Candidate,
    Example,
    Execution,
    Problem,
    SamplingParams,
    SelfTest,
    TestResult,
    Usage,
    Verdict,
)
from atlas.events import (
    AnyEvent,
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    Entry,
    Pins,
    SelfTestsMade,
    SelfTestsRun,
    TaskSubmitted,
)
from atlas.policy import Policy
from benchmark.recorded.completions import CompletionStore, sha256
from benchmark.recorded.executions import ExecutionStore, how_to_run
from benchmark.recorded.journals import read_journal

PROBLEM = Problem(statement="Double it.", examples=(Example(input="1", output="2"),))


def gave(output: str, verdict: Verdict) -> Execution:
    result = TestResult(verdict=verdict, output=output, output_sha256=sha256(output))
    return Execution(results=(result,), isolation="fake", seconds=0)


def test_runs_of_self_tests_are_found_by_program_and_input() -> None:
    sampling = SamplingParams(temperature=0.7, max_tokens=64, seed=1)
    drawn = Candidate(id="c0", origin="sample", code="candidate", sampling=sampling, usage=Usage())
    test = SelfTest(input="7", output="14", agreed=("b0", "b1"))
    events: list[AnyEvent] = [
        TaskSubmitted(
            problem=PROBLEM,
            policy=Policy(name="t"),
            pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="m"),
            deadline_s=60,
        ),
        CandidateGenerated(candidate=drawn),
        BruteForceWritten(program="b0", code="brute"),
        BruteForceChecked(program="b0", execution=gave("2", Verdict.ACCEPTED)),
        SelfTestsMade(tests=(test,), inputs=1),
        SelfTestsRun(candidate="c0", execution=gave("13", Verdict.WRONG_ANSWER)),
    ]
    executions = ExecutionStore()
    read_journal(
        [Entry(seq=n, time=1.0, event=event) for n, event in enumerate(events, 1)],
        CompletionStore(),
        executions,
    )
    how = how_to_run(PROBLEM)
    checked = executions.find(how, sha256("brute"), sha256("1"))
    tested = executions.find(how, sha256("candidate"), sha256("7"))
    assert checked is not None
    assert checked.output == "2"
    assert tested is not None
    assert tested.output == "13"
    assert executions.find(how, sha256("candidate"), sha256("1")) is None
