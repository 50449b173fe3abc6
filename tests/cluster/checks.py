"""What is asked of the release that runs, each by a function that says what it found or raises."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx

from atlas.api import SubmitRequest, TaskView
from atlas.client import Gateway
from atlas.contracts import Problem
from atlas.errors import StartupError
from atlas.k3s.chart import K3S_FILES
from tests.charts.rendered_chart import CHART, Object, merged, of_kind
from tests.cluster.api import Api
from tests.cluster.node import profiles
from tests.cluster.release import (
    ADDRESSES,
    NAMESPACE,
    RELEASE,
    Release,
    atlas,
    install_again,
    python3,
    render,
    state,
)
from tests.cluster.scratch import Scratch

TASK_S = 900
POD_S = 1200
JOB_S = 1800
POLL_S = 2.0
EXECUTOR = f"http://{ADDRESSES['executor']}:8500"
LLAMA = f"http://{ADDRESSES['llama-server']}:8080"
GATEWAY = f"http://{ADDRESSES['gateway']}:8400"
# What is killed while a task needs it, one after the other.
KILLED = ("planner", "llama-server", "redis")
# What the executor says of itself with the runtime's own seccomp profile, and with the one for K3s.
LEVEL, STRONGER_LEVEL = "pod", "namespaces"
PROFILE = "atlas/executor.json"
OPEN_PROFILE = K3S_FILES / "executor-seccomp.json"
LEVEL_S = 300
# What `atlas k3s verify` looks at, and what it says of that which is not on a machine without a GPU.
VERIFIED = (
    "nodes",
    "gpu",
    "pods",
    "endpoints",
    "generation",
    "drafting",
    "span embeddings",
    "lens",
    "sandbox",
    "task",
)
NOT_HERE = {"gpu": "none is asked for", "drafting": "off, as it should be on a CPU"}
ENDING = ("test", "benchmark")  # components whose pods are to end
BENCHMARK = {
    "benchmark": {
        "enabled": True,
        "runId": "cluster-test",
        "jobs": 1,
        "arguments": ["--condition", "A", "--limit", "1"],
    }
}


def level(release: Release, scratch: Scratch) -> None:
    """The executor's pod isolates as its documentation says."""
    told = httpx.get(f"{EXECUTOR}/v1/environment", timeout=30).json()
    why = told["why_not_stronger"]
    scratch.say(f"sandbox level in the executor's pod: {told['isolation']} ({why})")
    _expect(told["isolation"] == LEVEL, f"the level is {told['isolation']}, not {LEVEL}")


def stronger_level(release: Release, scratch: Scratch) -> None:
    """With a seccomp profile of the node, named in the chart's values, the executor isolates better."""
    with _opened(release, scratch):
        pass


@contextmanager
def _opened(release: Release, scratch: Scratch) -> Iterator[None]:
    """Have an executor with that profile for a while, and then one without again."""
    profile = profiles(scratch) / PROFILE
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_bytes(OPEN_PROFILE.read_bytes())
    opened, _ = render(merged(release.values, {"executor": {"seccompProfile": PROFILE}}))
    _replace_executor(release, scratch, opened, STRONGER_LEVEL)
    try:
        yield
    finally:
        _replace_executor(release, scratch, release.kept, LEVEL)


def _replace_executor(release: Release, scratch: Scratch, objects: list[Object], level_then: str) -> None:
    release.api.apply(of_kind(objects, "Deployment")[f"{RELEASE}-executor"], NAMESPACE)
    _wait(release.api, LEVEL_S, _isolation, (level_then,))
    scratch.say(f"executor replaced; sandbox level: {level_then}")


def refused_without_key(release: Release, scratch: Scratch) -> None:
    """The gateway lets nobody in without the Secret's key."""
    code = httpx.get(f"{GATEWAY}/v1/tasks", timeout=30).status_code
    _expect(code == 401, f"without a key the gateway answers {code}, not 401")
    scratch.say("without the key of the Secret the gateway answers 401")


def one_task(release: Release, scratch: Scratch) -> None:
    """A task through the gateway ends with one program."""
    view = asyncio.run(_solve(release, "one-task", None))
    scratch.say(_told(view))


def verify_install(release: Release, scratch: Scratch) -> None:
    """Everything that `atlas k3s verify` looks at is as it should be, and is as it was afterwards."""
    with _opened(release, scratch):  # without the profile it warns of the level
        _settled(release)
        before = _pods(release.api)
        done = atlas(scratch, "verify", "--json")
        found = json.loads(done.stdout or '{"checks": []}')["checks"]
        for each in found:
            scratch.say(f"verify: {each['name']}: {each['state']}: {each['detail']}")
        _expect(done.returncode == 0, f"its exit code is {done.returncode}: {done.stderr}")
        _expect(
            {each["name"]: each["state"] for each in found} == dict.fromkeys(VERIFIED, "ok"), "not all ok"
        )
        told = {each["name"]: each["detail"] for each in found}
        _expect(told["sandbox"].startswith(f"level {STRONGER_LEVEL}"), told["sandbox"])
        _expect(all(told[name] == said for name, said in NOT_HERE.items()), str(NOT_HERE))
        _expect(_pods(release.api) == before, "the pods are not those that they were")
    left = asyncio.run(_unfinished(release))
    _expect(not left, f"it leaves a task behind: {left}")
    _broken(release, scratch)


def _broken(release: Release, scratch: Scratch) -> None:
    """Without a model server it says so, and what to look at."""
    server = of_kind(release.kept, "Deployment")[f"{RELEASE}-llama-server"]
    release.api.apply(merged(server, {"spec": {"replicas": 0}}), NAMESPACE)
    try:
        _wait(release.api, POD_S, lambda: str(len(release.api.pods(NAMESPACE, "llama-server"))), ("0",))
        _wait(release.api, POD_S, lambda: str(_answers(f"{LLAMA}/health")), ("False",))
        done = atlas(scratch, "verify", "--no-task", "--json")
    finally:
        release.api.apply(server, NAMESPACE)
        _settled(release)
    missing = {each["name"]: each for each in json.loads(done.stdout)["checks"] if each["state"] == "missing"}
    _expect(done.returncode == 1, f"its exit code without a model server is {done.returncode}")
    _expect({"endpoints", "generation"} <= set(missing), f"without a model server it misses {set(missing)}")
    _expect(all(each["mend"] for each in missing.values()), "it does not say what to do")
    scratch.say(f"verify, without a model server: exit code 1, missing: {', '.join(missing)}")


def installed_again(release: Release, scratch: Scratch) -> None:
    """The same `atlas k3s install` changes nothing; after `uninstall` it finds key and journal again."""
    key, view = _api_key(release.api), asyncio.run(_solve(release, "kept", None))
    _settled(release)
    before = _pods(release.api)
    install_again(release, scratch)
    _expect(_pods(release.api) == before, "installing again has replaced pods")
    scratch.say("installed again: the same pods")
    done = atlas(scratch, "uninstall", "--yes")
    _expect(done.returncode == 0, f"uninstall: {done.stdout}{done.stderr}")
    left = [
        f"{each['kind']} {name}"
        for each in release.kept
        if release.api.exists(each["apiVersion"], each["kind"], name := each["metadata"]["name"], NAMESPACE)
    ]
    scratch.say(f"uninstalled: {len(done.stdout.splitlines())} lines; kept: {', '.join(left)}")
    _expect(
        bool(left) and all(each.startswith("Secret ") for each in left), "uninstall leaves more than keys"
    )
    install_again(release, scratch)
    _expect(_api_key(release.api) == key, "the key is another")
    kept = asyncio.run(_view(release, view.id))
    _expect(kept.program == view.program, "the task is another")
    scratch.say("installed after uninstalling: the same key opens it, and the task of before is there")


def helm_test(release: Release, scratch: Scratch) -> None:
    """The pod of `helm test` ends with exit code 0."""
    (pod,) = release.tests
    release.api.apply(pod, NAMESPACE)
    name = pod["metadata"]["name"]
    phase = _wait(
        release.api,
        POD_S,
        lambda: str(release.api.get("v1", "Pod", name, NAMESPACE)["status"].get("phase")),
        ("Succeeded", "Failed"),
    )
    log = release.api.log(NAMESPACE, name, "solve", lines=12)
    scratch.say(f"the pod of helm test: {phase}; its log ends:\n{log}")
    _expect(phase == "Succeeded", f"the pod of helm test: {phase}")


def benchmark_job(release: Release, scratch: Scratch) -> None:
    """The benchmark's Job measures one task and succeeds."""
    made, _ = render(merged(release.values, BENCHMARK))
    (job,) = [each for each in made if each["kind"] == "Job"]
    release.api.apply(job, NAMESPACE)
    name = job["metadata"]["name"]

    def ended() -> str:
        status = release.api.get("batch/v1", "Job", name, NAMESPACE).get("status", {})
        return "succeeded" if status.get("succeeded") else "failed" if status.get("failed") else "active"

    how = _wait(release.api, JOB_S, ended, ("succeeded", "failed"))
    (pod,) = [
        each["metadata"]["name"]
        for each in release.api.pods(NAMESPACE, "benchmark")
        if each["metadata"]["labels"].get("job-name") == name
    ]
    log = release.api.log(NAMESPACE, pod, "runner", lines=400)
    results = [line for line in log.splitlines() if line.startswith("{")]
    _expect(how == "succeeded" and bool(results), f"the Job {how}; its log:\n{log}")
    result = json.loads(results[-1])
    shown = {
        word: result[word]
        for word in ("dataset", "condition", "n", "passed", "errors", "seconds")
        if word in result
    }
    scratch.say(f"the benchmark's Job {how}: {shown or results[-1][:400]}")


def runner_by_itself(release: Release, scratch: Scratch) -> None:
    """`python3 benchmark/v3_runner.py`, by the system's Python, finds URL, key and data set by itself."""
    before = asyncio.run(_newest(release))
    done = python3(scratch, "benchmark/v3_runner.py", "--condition", "A", "--limit", "1", "--json")
    results = [line for line in done.stdout.splitlines() if line.startswith("{")]
    _expect(done.returncode == 0 and bool(results), f"exit code {done.returncode}:\n{done.stderr}")
    result = json.loads(results[-1])
    _expect((result["n"], result["errors"]) == (1, 0), f"n and errors are not 1 and 0: {result}")
    _expect(asyncio.run(_newest(release)) != before, "the gateway has no new task")
    scratch.say(f"python3 benchmark/v3_runner.py by itself: {result['dataset']}, n {result['n']}")


def kills(release: Release, scratch: Scratch) -> None:
    """A pod that is deleted by force while a task needs it is replaced, and the task ends with a program."""
    for component in KILLED:
        view = asyncio.run(_solve(release, f"kill-{component}", component))
        scratch.say(f"{component}'s pod deleted by force during the task: {_told(view)}")


ALL: dict[str, Callable[[Release, Scratch], None]] = {
    "level": level,
    "stronger-level": stronger_level,
    "key": refused_without_key,
    "task": one_task,
    "verify": verify_install,
    "helm-test": helm_test,
    "kills": kills,
    "benchmark": benchmark_job,
    "runner": runner_by_itself,
    "again": installed_again,
}


def _settled(release: Release) -> None:
    """Wait until each component has the pods it wants, all ready, and none on its way out."""

    def how() -> str:
        pods = release.api.pods(NAMESPACE)
        wanted = sum(
            each["spec"]["replicas"] for each in release.kept if each["kind"] in ("Deployment", "StatefulSet")
        )
        ready = [
            pod
            for pod in pods
            if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ENDING or _is_ready(pod)
        ]
        ended = sum(pod["metadata"]["labels"]["app.kubernetes.io/component"] in ENDING for pod in pods)
        return "settled" if len(ready) == len(pods) == wanted + ended else "unsettled"

    _wait(release.api, POD_S, how, ("settled",))


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _pods(api: Api) -> dict[str, str]:
    """Return every pod, by name, with what tells it from a later one of that name."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in api.pods(NAMESPACE)}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.RequestError:
        return False


def _isolation() -> str:
    """Return what the executor that answers says; nothing while none does."""
    try:
        return str(httpx.get(f"{EXECUTOR}/readyz", timeout=10).json().get("isolation"))
    except httpx.RequestError:
        return ""


async def _solve(release: Release, key: str, killed: str | None) -> TaskView:
    """Have the problem of `helm test` solved; delete a component's pod once the model has answered first."""
    problem = Problem.model_validate_json((CHART / "files" / "problem.json").read_text(encoding="utf-8"))
    request = SubmitRequest(problem=problem, policy="full", deadline_s=TASK_S)
    async with Gateway(GATEWAY, api_key=_api_key(release.api), patience_s=300) as gateway:
        view, _ = await gateway.submit(request, f"{key}-{time.time_ns()}")
        if killed is not None:
            await _begun(gateway)
            await _kill(release.api, killed)
        view = await asyncio.wait_for(gateway.wait(view.id), TASK_S + 300)
    _expect(
        view.status == "decided", f"the task {view.id} is {view.status}: {view.error}\n{state(release.api)}"
    )
    return view


async def _unfinished(release: Release) -> list[str]:
    """Return tasks that are still at work."""
    async with Gateway(GATEWAY, api_key=_api_key(release.api)) as gateway:
        return [queue.service for queue in (await gateway.status()).queues if queue.running or queue.waiting]


async def _newest(release: Release) -> str:
    """Return the id of the gateway's newest task, "" where it has none."""
    async with Gateway(GATEWAY, api_key=_api_key(release.api)) as gateway:
        return next((task.id for task in (await gateway.tasks(limit=1)).tasks), "")


async def _view(release: Release, task_id: str) -> TaskView:
    async with Gateway(GATEWAY, api_key=_api_key(release.api)) as gateway:
        return await gateway.get(task_id)


async def _begun(gateway: Gateway) -> None:
    """Wait until the model is at work on the task: its first command is plans, the longest there is."""
    async for _ in _ticks():
        if any(queue.service == "planner" and queue.running for queue in (await gateway.status()).queues):
            return


async def _ticks() -> AsyncIterator[None]:
    end = time.monotonic() + TASK_S
    while time.monotonic() < end:
        yield
        await asyncio.sleep(0.2)
    raise StartupError("no planner has taken the task up")


async def _kill(api: Api, component: str) -> None:
    (pod,) = await asyncio.to_thread(api.pods, NAMESPACE, component)
    await asyncio.to_thread(api.kill_pod, NAMESPACE, pod["metadata"]["name"])


def _api_key(api: Api) -> str:
    secret = api.get("v1", "Secret", f"{RELEASE}-api-key", NAMESPACE)
    return base64.b64decode(secret["data"]["api-key"]).decode()


def _told(view: TaskView) -> str:
    basis = view.evidence.basis if view.evidence is not None else "none"
    return (
        f"{view.status} after {view.seconds:.0f} s, {view.events} events, {view.usage.tokens_out} tokens, "
        f"evidence {basis}"
    )


def _wait(api: Api, seconds: float, now: Callable[[], str], ends: tuple[str, ...]) -> str:
    began = time.monotonic()
    while (how := now()) not in ends:
        if time.monotonic() - began > seconds:
            raise StartupError(f"{how} after {seconds:.0f} s\n{state(api)}")
        time.sleep(POLL_S)
    return how


def _expect(so: bool, otherwise: str) -> None:
    if not so:
        raise StartupError(otherwise)
