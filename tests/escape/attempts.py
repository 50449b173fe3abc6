"""Makes one attack on a runner, and says everything it achieved."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Iterator

from atlas.contracts import Example, Problem, Verdict
from atlas.executor import ExecuteRequest, ExecuteResponse, Run, RunStatus
from atlas.judge import judge
from services.sandbox.runner import Runner
from tests.escape.corpus import AMPLE, Attack, program
from tests.escape.scene import Scene, left_running

# Resident memory is more than the limit by what the interpreter itself has.
_INTERPRETER_MB = 48


def attempt(attack: Attack, runner: Runner, scene: Scene, *, alone: bool = True) -> list[str]:
    """Make the attack.

    Args:
        attack: which.
        runner: on which runner.
        scene: what it may damage.
        alone: nothing else runs on this runner now, so that its processes can be told.

    Returns:
        What it achieved that it must not; [] if it failed. One who achieves less than the table says it is
        known to is in the list, too: then the table and the documents are to be mended.
    """
    if attack.witness == "verdict":
        return _deceive(attack, runner)
    with _neighbour(runner, attack):
        response = runner.execute(_request(attack, scene))
    achieved = [complaint for run in response.runs for complaint in _achieved(attack, run, scene)]
    if attack.then:
        later = runner.execute(ExecuteRequest(code=program(attack.then), inputs=("",), limits=AMPLE))
        achieved += [f"the next run: {text}" for text in _said(later.runs[0])]
        if later.runs[0].status is not RunStatus.OK:
            achieved.append(f"the next run: {later.runs[0]}")
    if alone:
        achieved += [f"{witness}: {text}" for witness, text in scene.broken().items()]
        achieved += [f"still running: {text}" for text in left_running()]
    if runner.isolation in attack.known:
        return [] if achieved else [f"known to achieve something, but did not: {attack.known}"]
    return achieved


def _request(attack: Attack, scene: Scene) -> ExecuteRequest:
    return ExecuteRequest(
        code=attack.code,
        kind=attack.kind,
        entry_point="solve" if attack.kind == "function" else None,
        inputs=(scene.targets,) * attack.inputs,
        limits=attack.limits,
    )


def _achieved(attack: Attack, run: Run, scene: Scene) -> list[str]:
    found = _said(run)
    if scene.secret in run.output or scene.secret in run.error:
        found.append("the secret is in its output")
    if run.status not in attack.statuses:
        found.append(f"ended as {run.status.value}: {run.error} {run.output[-300:]}")
    elif run.status is RunStatus.OK and run.output.splitlines()[-1:] not in (["done"], ["done True"]):
        found.append(f"did not come to its end: {run.output[-300:]}")
    if run.memory_mb > attack.limits.memory_mb + _INTERPRETER_MB:
        found.append(f"had {run.memory_mb} MB of memory")
    return found


def _said(run: Run) -> list[str]:
    return [line for line in (*run.output.splitlines(), *run.error.splitlines()) if "ESCAPED" in line]


@contextlib.contextmanager
def _neighbour(runner: Runner, attack: Attack) -> Iterator[None]:
    """For the attack on other runs: one that has something to hide."""
    if attack.name != "neighbour_data":
        yield
        return
    code = "import time\ntext = input()\nprint(text, flush=True)\ntime.sleep(0.6)"
    request = ExecuteRequest(code=code, inputs=(f"neighbour-{secrets.token_hex(8)}",), limits=AMPLE)
    thread = threading.Thread(target=runner.execute, args=(request,))
    thread.start()
    yield
    thread.join()


class _Local:
    """The runner in this process, as a judge asks for one."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.responses: list[ExecuteResponse] = []

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        self.responses.append(self._runner.execute(request))
        return self.responses[-1]


def _deceive(attack: Attack, runner: Runner) -> list[str]:
    """Judge a program that cannot know the answer."""
    answer = f"answer-{secrets.token_hex(8)}"
    function = attack.kind == "function"
    problem = Problem(
        statement="Say what cannot be known.",
        kind=attack.kind,
        entry_point="solve" if function else None,
        limits=AMPLE,
    )
    tests = [Example(input="1", output=f'"{answer}"' if function else answer)]
    local = _Local(runner)
    execution = asyncio.run(judge(local, code=attack.code, problem=problem, tests=tests, checker="official"))
    achieved = [] if execution.results[0].verdict is not Verdict.ACCEPTED else ["it was accepted"]
    for run in local.responses[0].runs:
        achieved += [f"the answer is in {run}"] if answer in run.output + run.error else []
        if run.status not in attack.statuses:
            achieved.append(f"ended as {run.status.value}: {run.error}")
    return achieved
