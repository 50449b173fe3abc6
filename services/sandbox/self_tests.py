"""Self-tests: brute-force programs run on generated inputs, and candidates on what they agree on.

Programs run here with the short limits of probes, so that an input too large for brute force makes no test.
"""

from __future__ import annotations

from atlas import checkers
from atlas.commands import CheckBruteForce, MakeSelfTests, RunSelfTests
from atlas.contracts import Example, SelfTest
from atlas.errors import BadOutput
from atlas.events import BruteForceChecked, SelfTestsMade, SelfTestsRun
from atlas.executor import Executor, Run, RunStatus
from atlas.judge import Kind
from atlas.self_tests import references
from atlas.state import TaskState
from services.sandbox.asking import ask_each, how
from services.sandbox.judging import on_tests

MAX_OUTPUT_CHARS = 2_000


async def check(executor: Executor, state: TaskState, command: CheckBruteForce) -> BruteForceChecked:
    """Run a brute-force program on the public examples.

    Raises:
        ExecutorError: if the executor could not be asked, or spoiled every try.
    """
    code, problem = state.brute_forces[command.program], state.task.problem
    ran = await on_tests(executor, problem, code, problem.examples)
    return BruteForceChecked(command=command.id, program=command.program, execution=ran)


async def make(executor: Executor, state: TaskState, command: MakeSelfTests) -> SelfTestsMade:
    """Return tests on the inputs whose outputs a quorum agrees on, and more than on any other output.

    At most `Policy.self_tests`, the shortest inputs first.

    Raises:
        BadOutput: if there are no inputs.
        ExecutorError: if the executor could not be asked, or spoiled every try.
    """
    made = state.inputs.get(0)
    if made is None or not made.inputs:
        raise BadOutput("there are no inputs")
    policy, problem = state.task.policy, state.task.problem
    texts = tuple(sorted((each.text for each in made.inputs), key=len))
    runs: dict[str, tuple[Run, ...]] = {}
    for name, code in references(state).items():
        runs[name], _ = await ask_each(executor, how(problem, code, texts))
    tests = []
    for number, text in enumerate(texts):
        given = {name: of[number] for name, of in runs.items()}
        if test := agreed("function" if problem.kind == "function" else "stdin", text, given, policy.quorum):
            tests.append(test)
    return SelfTestsMade(command=command.id, tests=tuple(tests[: policy.self_tests]), inputs=len(texts))


def agreed(kind: Kind, text: str, runs: dict[str, Run], quorum: int) -> SelfTest | None:
    """Return the test that programs' runs on an input make, if enough of them agree (`checkers.agree`).

    Each run joins the first output that it agrees with. A function's empty output is a value without a word
    for it in JSON, which no test can ask for.
    """
    groups: list[list[str]] = []
    for name, run in runs.items():
        if (
            run.status is RunStatus.OK
            and len(run.output) <= MAX_OUTPUT_CHARS
            and (run.output or kind == "stdin")
        ):
            same = (each for each in groups if checkers.agree(kind, runs[each[0]].output, run.output))
            if (group := next(same, None)) is None:
                groups.append(group := [])
            group.append(name)
    names = max(groups, key=len, default=[])
    against = sum(map(len, groups)) - len(names)
    if len(names) < quorum or against >= len(names):
        return None
    return SelfTest(input=text, output=runs[names[0]].output, agreed=tuple(names), against=against)


async def run(executor: Executor, state: TaskState, command: RunSelfTests) -> SelfTestsRun:
    """Run a candidate on the self-tests.

    Raises:
        ExecutorError: if the executor could not be asked, or spoiled every try.
    """
    code = state.candidates[command.candidate].code or ""
    tests = tuple(Example(input=test.input, output=test.output) for test in state.self_tests)
    ran = await on_tests(executor, state.task.problem, code, tests)
    return SelfTestsRun(command=command.id, candidate=command.candidate, execution=ran)
