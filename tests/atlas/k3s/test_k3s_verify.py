"""`atlas k3s verify` against an API server over HTTP: what passes, what fails, and what mends it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from atlas.doctor import Check
from atlas.errors import InfrastructureError
from atlas.installed import InstalledStack
from atlas.k3s import verify
from atlas.k3s.cluster import Cluster
from tests.support.kube_api import KubeApi, deployment, node, pod
from tests.support.scripted_gateway import ScriptedGateway, ended

COMPONENTS = ("gateway", "planner", "lens", "sandbox", "repair", "executor", "llama-server")
TIMINGS = {"predicted_n": 32, "predicted_per_second": 61.25, "draft_n": 28, "draft_n_accepted": 27}
PROPS = {"model_alias": "m", "span_embedding": {"version": 1, "n_embd": 5120}}
ENVIRONMENT = {"isolation": "namespaces", "jobs": 2, "why_not_stronger": ""}


@pytest.fixture
def api() -> KubeApi:
    """A cluster with all of ATLAS, in which all is well."""
    api = KubeApi()
    api.objects["/api/v1/nodes/box"] = node()
    labels = {"app.kubernetes.io/name": "atlas"}
    for name in COMPONENTS:
        about = {"name": f"atlas-{name}", "namespace": "atlas", "labels": labels}
        api.put(deployment(name), pod(name))
        api.put({"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": {}})
        there = {"metadata": about, "subsets": [{"addresses": [{"ip": "10.42.0.9"}]}]}
        api.objects[f"/api/v1/namespaces/atlas/endpoints/atlas-{name}"] = there
    api.says = {
        "nvidia-smi": "GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: GPU-1)\n",
        "/completion": json.dumps({"content": " 17 18", "timings": TIMINGS}),
        "/props": json.dumps(PROPS),
        "/v1/environment": json.dumps(ENVIRONMENT),
    }
    return api


EVIDENCE: dict[str, object] = {
    "basis": "passed_public_examples",
    "public_passed": 3,
    "public_total": 3,
    "candidates": 1,
    "survivors": 1,
}


def tried(*endings: dict[str, object]) -> tuple[Check, ScriptedGateway]:
    """The finding of the task alone, and the gateway it was put to; the last ending is for good."""
    gateway = ScriptedGateway({"": [*endings], None: [*endings]})  # type: ignore[dict-item]
    with gateway.served() as url, KubeApi().reached() as cluster:
        stack = InstalledStack(gateway_url=url, api_key="atlas_k", kubeconfig="/k", namespace="atlas")
        (found,) = verify.task(verify.Place(cluster, stack, gpu=False))
    return found, gateway


def test_a_solved_task_passes_and_was_asked_for_with_the_key() -> None:
    found, gateway = tried(ended("print(1)", evidence=EVIDENCE))
    assert (found.state, "solved in 2.0 s, 10 tokens" in found.detail) == ("ok", True), found
    (request, _, _) = next(iter(gateway.tasks.values()))
    assert len(request.problem.examples) == 3
    assert {headers.get("authorization") for _, _, headers in gateway.requests} == {"Bearer atlas_k"}


WRONG = ended("print(1)", evidence=EVIDENCE | {"public_passed": 2})


def test_a_model_that_misses_it_at_first_has_more_tries() -> None:
    found, gateway = tried(WRONG, ended("print(1)", evidence=EVIDENCE))
    assert (found.state, len(gateway.tasks)) == ("ok", 2), found


@pytest.mark.parametrize(
    ("ending", "tries", "says"),
    [
        (WRONG, verify.TASK_TRIES, "its program fails examples"),
        (ended(None, error="no executor"), 1, "ended as failed: no executor"),
    ],
)
def test_a_task_that_is_not_solved_fails(ending: dict[str, object], tries: int, says: str) -> None:
    found, gateway = tried(ending)
    *_, task = gateway.tasks
    assert len(gateway.tasks) == tries
    assert (found.state, says in found.detail) == ("missing", True), found
    assert f"atlas journal {task}" in found.mend


def checked(cluster: Cluster, *, gpu: bool = True) -> tuple[bool, dict[str, Check]]:
    url = "http://127.0.0.1:9"  # nobody
    stack = InstalledStack(gateway_url=url, api_key="atlas_k", kubeconfig="/k", namespace="atlas")
    found: list[Check] = []
    good = verify.verify(verify.Place(cluster, stack, gpu), found.append, task=False)
    return good, {each.name: each for each in found}


def test_all_is_well(api: KubeApi, cluster: Cluster) -> None:
    good, found = checked(cluster)
    assert good, found
    assert list(found) == [
        *("nodes", "gpu", "pods", "endpoints", "generation", "drafting", "span embeddings", "lens", "sandbox")
    ]
    assert {each.state for each in found.values()} == {"ok"}
    assert "61.2 tokens/s" in found["generation"].detail
    assert "27 of 28" in found["drafting"].detail
    assert api.written == [], "nothing is changed"


def test_each_is_asked_from_a_pod_that_may_reach_it(api: KubeApi, cluster: Cluster) -> None:
    checked(cluster)
    asked = {command[-1] if "{" not in command[-1] else command[-2]: at for at, _, command in api.executed}
    assert asked == {
        "-L": "atlas-llama-server-1",
        "/completion": "atlas-planner-1",
        "/props": "atlas-planner-1",
        "/v1/environment": "atlas-sandbox-1",
    }


def test_on_a_cpu_neither_gpu_nor_drafting_is_wanted(api: KubeApi, cluster: Cluster) -> None:
    timings = {key: value for key, value in TIMINGS.items() if not key.startswith("draft")}
    api.says["/completion"] = json.dumps({"content": "17", "timings": timings})
    api.objects["/api/v1/nodes/box"] = node(gpus=0)
    assert checked(cluster, gpu=False)[0]
    good, found = checked(cluster, gpu=True)
    assert not good
    assert (found["gpu"].state, found["drafting"].state) == ("missing", "missing")
    assert "device-plugin" in found["gpu"].mend


def spoiled(api: KubeApi, what: str) -> None:
    span = {"version": 99, "n_embd": 1}
    change: dict[str, Any] = {
        "nodes": lambda: api.objects.update({"/api/v1/nodes/box": node(ready=False)}),
        "gpu": lambda: api.says.update({"nvidia-smi": "No devices were found\n"}),
        "pods": lambda: api.put(
            deployment("repair", ready=False),
            pod("repair", waiting={"reason": "CrashLoopBackOff", "message": "back-off"}),
        ),
        "endpoints": lambda: api.objects.pop("/api/v1/namespaces/atlas/endpoints/atlas-executor"),
        "generation": lambda: api.says.update({"/completion": json.dumps({"content": "", "timings": {}})}),
        "span embeddings": lambda: api.says.update({"/props": json.dumps({"span_embedding": span})}),
        "lens": lambda: api.put(deployment("lens", ready=False)),
        "sandbox": lambda: api.says.update({"/v1/environment": "not JSON"}),
    }[what]
    change()


@pytest.mark.parametrize(
    ("what", "says", "fix"),
    [
        ("nodes", "box is not ready: kubelet is not posting", "describe node box"),
        ("gpu", "No devices were found", "systemctl restart k3s"),
        (
            "pods",
            "atlas-repair (CrashLoopBackOff: back-off)",
            "kubectl --kubeconfig /k -n atlas describe pods",
        ),
        ("endpoints", "atlas-executor", "get endpoints"),
        ("generation", "generated nothing", "logs deployment/atlas-llama-server"),
        ("span embeddings", "99", "services/llama-server"),
        ("lens", "not ready", "logs deployment/atlas-lens"),
        ("sandbox", "JSONDecodeError", "kubectl --kubeconfig /k -n atlas get all"),
    ],
)
def test_what_fails_is_named_with_its_fix_and_the_rest_is_checked_all_the_same(
    api: KubeApi, cluster: Cluster, what: str, says: str, fix: str
) -> None:
    spoiled(api, what)
    good, found = checked(cluster)
    assert not good
    assert (found[what].state, says in found[what].detail, fix in found[what].mend) == (
        "missing",
        True,
        True,
    ), found[what]
    assert found["nodes" if what == "sandbox" else "sandbox"].state == "ok"


def test_helm_that_keeps_failing_is_told_though_pods_of_the_release_before_run(
    api: KubeApi, cluster: Cluster
) -> None:
    helm = pod("helm", namespace="kube-system")
    labels = {"helmcharts.helm.cattle.io/chart": "atlas"}
    helm["metadata"] |= {"name": "helm-install-atlas-x", "labels": labels}
    helm["status"]["containerStatuses"][0] |= {
        "restartCount": 4,
        "lastState": {"terminated": {"exitCode": 1, "message": "Error: no such field"}},
    }
    api.put(helm)
    good, found = checked(cluster)
    assert not good
    assert (found["pods"].state, "Error: no such field" in found["pods"].detail) == ("missing", True)


def test_a_level_that_keeps_out_less_is_a_warning(api: KubeApi, cluster: Cluster) -> None:
    api.says["/v1/environment"] = json.dumps(
        ENVIRONMENT | {"isolation": "pod", "why_not_stronger": "unshare: EPERM"}
    )
    good, found = checked(cluster)
    assert good
    assert (found["sandbox"].state, "unshare: EPERM" in found["sandbox"].detail) == ("warning", True)


def test_a_command_that_fails_in_its_pod_is_no_answer(api: KubeApi, cluster: Cluster) -> None:
    api.exit_code = 3
    with pytest.raises(InfrastructureError, match="nvidia-smi in pod p ended with 3: GPU 0"):
        cluster.execute("atlas", "p", "c", ["nvidia-smi"])
    assert checked(cluster)[1]["gpu"].state == "missing"


def test_a_cluster_that_is_away_fails_every_check() -> None:
    cluster = Cluster(client.Configuration(host="http://127.0.0.1:9"))  # nobody
    good, found = checked(cluster)
    cluster.close()
    assert not good
    assert {each.state for each in found.values()} == {"missing"}
