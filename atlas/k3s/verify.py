"""Whether an installed ATLAS works, check by check. Nothing is changed, but that one task is solved.

What only pods can see (the model server, the executor) is asked from within the pods that may reach them, so
that the network policies stay as they are.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atlas.doctor import Check
from atlas.errors import AtlasError
from atlas.k3s import chart
from atlas.k3s.cluster import Cluster, Object
from atlas.k3s.objects import helm_trouble, pods, trouble, unready
from atlas.span_embedding import SPAN_VERSION

if TYPE_CHECKING:
    from atlas.api import TaskView
    from atlas.client import Gateway
    from atlas.installed import InstalledStack

# Runs in a pod of ours, which has Python and the addresses in its environment, and no curl.
ASK = (
    "import json,os,sys,urllib.request as u\n"
    "url=os.environ[sys.argv[1]].rstrip('/')+sys.argv[2]\n"
    "body=sys.argv[3].encode() if len(sys.argv)>3 else None\n"
    "r=u.Request(url,body,{'Content-Type':'application/json'})\n"
    "print(json.dumps(json.load(u.urlopen(r,timeout=50))))"
)
# What goes on as it began is easy to draft.
DRAFTING = {"prompt": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "n_predict": 32, "temperature": 0}
TASK_S = 600.0
TASK_TRIES = 3


@dataclass(frozen=True)
class Place:
    """What is verified: a cluster, where in it, and the gateway from here."""

    cluster: Cluster
    stack: InstalledStack
    gpu: bool

    @property
    def kubectl(self) -> str:
        """The beginning of commands that show more."""
        return f"kubectl --kubeconfig {self.stack.kubeconfig} -n {self.stack.namespace}"


def verify(place: Place, tell: Callable[[Check], None], *, task: bool = True) -> bool:
    """Do every check, telling each as it is done; whether none failed.

    A check that cannot be made has failed, and says why: none is left out.
    """
    good = True
    checks = CHECKS if task else {name: check for name, check in CHECKS.items() if name != "task"}
    for name, check in checks.items():
        try:
            found = list(check(place))
        except (AtlasError, LookupError, TypeError, ValueError, OSError) as error:
            said = f"{type(error).__name__}: {error}"[:600]
            found = [Check(name, "missing", said, f"{place.kubectl} get all")]
        for each in found:
            tell(each)
            good = good and each.state != "missing"
    return good


def nodes(place: Place) -> Iterator[Check]:
    """Every node is ready."""
    for node in place.cluster.items("/api/v1/nodes"):
        name = node["metadata"]["name"]
        conditions = {each["type"]: each for each in node["status"].get("conditions") or []}
        state = conditions.get("Ready") or {}
        version = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
        if state.get("status") == "True":
            yield Check("nodes", "ok", f"{name} is ready ({version})")
        else:
            fix = f"kubectl describe node {name}; journalctl -u k3s -n 50"
            detail = f"{name} is not ready: {state.get('message', 'it says nothing')}"
            yield Check("nodes", "missing", detail, fix)


def gpu(place: Place) -> Iterator[Check]:
    """The GPU is the cluster's to give, and llama-server's pod sees it."""
    if not place.gpu:
        yield Check("gpu", "ok", "none is asked for")
        return
    given = [
        int(node["status"].get("allocatable", {}).get("nvidia.com/gpu", 0))
        for node in place.cluster.items("/api/v1/nodes")
    ]
    if not sum(given):
        fix = "kubectl -n kube-system logs daemonset/nvidia-device-plugin; nvidia-smi"
        yield Check("gpu", "missing", "no node offers nvidia.com/gpu", fix)
        return
    seen = _execute(place, "llama-server", ["nvidia-smi", "-L"]).strip()
    if "GPU" in seen:
        yield Check("gpu", "ok", f"in llama-server's pod: {seen.splitlines()[0]}")
    else:
        yield Check("gpu", "missing", f"nvidia-smi in the pod says {seen!r}", "systemctl restart k3s")


def running(place: Place) -> Iterator[Check]:
    """Every pod is ready."""
    late = unready(place.cluster, place.stack.namespace)
    if said := helm_trouble(place.cluster):
        yield Check("pods", "missing", said, "mend what it says, then scripts/install.sh")
    elif not late:
        count = len(pods(place.cluster, place.stack.namespace))
        yield Check("pods", "ok", f"all ready ({count})")
    for each in late:
        yield Check("pods", "missing", f"not ready: {each}", f"{place.kubectl} describe pods")


def endpoints(place: Place) -> Iterator[Check]:
    """Every Service has an address behind it."""
    base = f"/api/v1/namespaces/{place.stack.namespace}/endpoints"
    there = {each["metadata"]["name"]: each for each in place.cluster.items(base)}
    services = place.cluster.items(f"/api/v1/namespaces/{place.stack.namespace}/services")
    names = sorted(each["metadata"]["name"] for each in services if _ours(each))
    empty = [name for name in names if not _has_address(there.get(name) or {})]
    if not names:
        yield Check("endpoints", "missing", "there are no Services of ATLAS", "scripts/install.sh")
    elif empty:
        fix = f"{place.kubectl} get endpoints,pods"
        yield Check("endpoints", "missing", f"nothing answers behind {', '.join(empty)}", fix)
    else:
        yield Check("endpoints", "ok", ", ".join(names))


def generation(place: Place) -> Iterator[Check]:
    """The model generates; a draft model, where there should be one, drafts."""
    answer = _ask(place, "planner", "ATLAS_LLAMA_URL", "/completion", json.dumps(DRAFTING))
    timings, fix = answer["timings"], f"{place.kubectl} logs deployment/atlas-llama-server"
    if not answer.get("content"):
        yield Check("generation", "missing", "llama-server generated nothing", fix)
        return
    speed = f"{timings['predicted_per_second']:.1f} tokens/s"
    yield Check("generation", "ok", f"{timings['predicted_n']} tokens at {speed}")
    drafted, accepted = int(timings.get("draft_n", 0)), int(timings.get("draft_n_accepted", 0))
    if drafted:
        yield Check("drafting", "ok", f"on: {accepted} of {drafted} drafted tokens were accepted")
    elif place.gpu:
        fix = "put the catalogue's draft model beside the model, unless DRAFT_MODEL=none is meant"
        yield Check("drafting", "missing", "no token was drafted", fix)
    else:
        yield Check("drafting", "ok", "off, as it should be on a CPU")


def lens(place: Place) -> Iterator[Check]:
    """Span embeddings come with what is generated; the Lens's service answers."""
    span = _ask(place, "planner", "ATLAS_LLAMA_URL", "/props").get("span_embedding")
    if span and span.get("version") == SPAN_VERSION:
        yield Check("span embeddings", "ok", f"{span['n_embd']} numbers a token, version {SPAN_VERSION}")
    else:
        fix = "use the image of services/llama-server: an unpatched server costs a second pass per candidate"
        yield Check("span embeddings", "missing", f"this llama-server offers {span or 'none'}", fix)
    if any("lens" in each for each in unready(place.cluster, place.stack.namespace)):
        fix = f"{place.kubectl} logs deployment/atlas-lens"
        yield Check("lens", "missing", "its service is not ready", fix)
    else:
        yield Check("lens", "ok", "its service is ready")


def sandbox(place: Place) -> Iterator[Check]:
    """The level at which programs are isolated."""
    found = _ask(place, "sandbox", "ATLAS_EXECUTOR_URL", "/v1/environment")
    level, why = found["isolation"], found.get("why_not_stronger") or ""
    if level == "pod":
        fix = "docs/SANDBOX.md says what it keeps out, and what opens `namespaces`"
        yield Check("sandbox", "warning", f"level {level}{f' ({why})' if why else ''}", fix)
    else:
        yield Check("sandbox", "ok", f"level {level}, {found['jobs']} programs at once")


def task(place: Place) -> Iterator[Check]:
    """One small task from submission to a program that passes its examples; cancelled if it does not end.

    The smallest models miss even this one at times, which is no fault of the installation.
    """
    for _ in range(TASK_TRIES):
        view = asyncio.run(_solve(place))
        evidence = view.evidence
        passes = evidence is not None and evidence.public_passed == evidence.public_total
        if view.status == "decided" and view.program and passes:
            yield Check("task", "ok", f"solved in {view.seconds:.1f} s, {view.usage.tokens_out} tokens")
            return
        if view.status != "decided":
            break
    fix = f"atlas journal {view.id}; {place.kubectl} logs deployment/atlas-planner"
    yield Check(
        "task", "missing", f"ended as {view.status}: {view.error or 'its program fails examples'}", fix
    )


async def _solve(place: Place) -> TaskView:
    from atlas.client import Gateway
    from atlas.problem_file import request_of

    problem = chart.directory() / "files" / "problem.json"  # that of `helm test`
    request = request_of(str(problem), policy="full", deadline_s=TASK_S)
    async with Gateway(place.stack.gateway_url, api_key=place.stack.api_key, patience_s=30.0) as gateway:
        view, _ = await gateway.submit(request, f"verify-{secrets.token_hex(8)}")
        return await _end_of(gateway, view.id)


async def _end_of(gateway: Gateway, task_id: str) -> TaskView:
    try:
        return await asyncio.wait_for(gateway.wait(task_id), TASK_S + 30.0)
    except BaseException:  # whatever it is: the task is not left behind
        await gateway.cancel(task_id)
        raise


def _execute(place: Place, component: str, command: list[str]) -> str:
    namespace = place.stack.namespace
    selector = f"app.kubernetes.io/name=atlas,app.kubernetes.io/component={component}"
    for pod in place.cluster.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector):
        if pod["status"].get("phase") == "Running" and not trouble(pod):
            return place.cluster.execute(namespace, pod["metadata"]["name"], component, command)
    raise LookupError(f"no pod of {component} runs")


def _ask(place: Place, component: str, variable: str, path: str, body: str | None = None) -> dict[str, Any]:
    """Return what a service answers to a pod that may ask it: the one its variable names."""
    arguments = [variable, path, *([] if body is None else [body])]
    found: dict[str, Any] = json.loads(_execute(place, component, ["python", "-c", ASK, *arguments]))
    return found


def _has_address(found: Object) -> bool:
    return any(each.get("addresses") for each in found.get("subsets") or [])


def _ours(service: Object) -> bool:
    return (service["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "atlas"


CHECKS: dict[str, Callable[[Place], Iterator[Check]]] = {
    "nodes": nodes,
    "gpu": gpu,
    "pods": running,
    "endpoints": endpoints,
    "generation": generation,
    "lens": lens,
    "sandbox": sandbox,
    "task": task,
}
