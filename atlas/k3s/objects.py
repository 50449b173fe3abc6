"""The steps in the cluster: its objects, the wait until they are ready, the note of where the gateway is."""

from __future__ import annotations

import base64
import secrets
import string
import time
from pathlib import Path

import yaml

from atlas import installed
from atlas.errors import InfrastructureError
from atlas.k3s import chart
from atlas.k3s.cluster import Cluster, Object
from atlas.k3s.facts import KUBECONFIG
from atlas.k3s.steps import Box, Step, owner
from atlas.k3s.values import Values, merged

HELM_CHART = "/apis/helm.cattle.io/v1/namespaces/kube-system/helmcharts/atlas"
API_KEY_SECRET, REDIS_SECRET = "atlas-api-key", "atlas-redis"
RELEASES = "owner=helm,name=atlas"  # Helm's notes of each try, in Secrets
GIVEN_UP = {"failed", "pending-install", "pending-upgrade", "pending-rollback"}
HELM_PODS = "helmcharts.helm.cattle.io/chart=atlas"
HELM_TRIES = 2
HELM_GRACE_S = 30.0  # until the pod of an earlier try is gone
READY_S = 2400.0  # pulling Redis, loading and hashing 9 GB from a slow disk
CONTROLLER_S = 120.0
POLL_S = 3.0
_LETTERS = string.ascii_letters + string.digits


def in_cluster(box: Box, run_dir: Path) -> list[Step]:
    """Return the steps that need the cluster's API."""
    return [apply(box), ready(box), location(box, run_dir)]


def apply(box: Box) -> Step:
    """The objects: by K3s's controller where there is one, else each by itself."""
    values = chart.marked(box.values, namespace=box.namespace)
    objects = chart.for_k3s(values, gpu=box.gpu, namespace=box.namespace)
    wanted = objects[-1]["spec"]

    def holds() -> bool:
        there = box.cluster.find(HELM_CHART)
        return there is not None and wanted.items() <= (there.get("spec") or {}).items()

    def do() -> None:
        cluster = box.cluster
        # Our own K3s has just started, and brings its controller in a moment.
        deadline = time.monotonic() + (CONTROLLER_S if box.kubeconfig is None else 0.0)
        while not (there := cluster.has_helm_charts()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if there:
            _forget_failed_tries(cluster, box.namespace)
            for each in objects:
                cluster.apply(each)
        else:
            _apply_plainly(cluster, values, box.namespace)

    says = f"the objects of charts/atlas, in namespace {box.namespace}"
    return Step("objects", says, yaml.safe_dump(wanted), holds, do)


def _forget_failed_tries(cluster: Cluster, namespace: str) -> None:
    """Delete Helm's notes of tries that did not end well, after which K3s's job leaves a release alone.

    The last good one, if any, is then upgraded; else Helm installs, and takes over what the try had made.
    """
    base = f"/api/v1/namespaces/{namespace}/secrets"
    for each in cluster.items(base, labelSelector=RELEASES):
        if each["metadata"]["labels"].get("status") in GIVEN_UP:
            cluster.delete(f"{base}/{each['metadata']['name']}")


def _apply_plainly(cluster: Cluster, values: Values, namespace: str) -> None:
    """Apply what Helm renders here, with Secrets that are made once: no release is kept in this cluster."""
    mine = {"apiKey": {"existingSecret": API_KEY_SECRET}, "redis": {"existingSecret": REDIS_SECRET}}
    about = {"kubeVersion": cluster.version().partition("+")[0]}
    objects = chart.render(merged(values, mine, about), namespace=namespace)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for name, fields in _new_secrets().items():
        metadata = {"name": name, "namespace": namespace}
        cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": fields})
    # What has pods comes last: they need the accounts, settings and policies.
    for each in sorted(objects, key=lambda each: "template" in each.get("spec", {})):
        if "helm.sh/hook" not in (each["metadata"].get("annotations") or {}):
            each["metadata"].setdefault("namespace", namespace)
            cluster.apply(each)


def _new_secrets() -> dict[str, dict[str, str]]:
    key, password = (_random(43) for _ in range(2))
    return {
        API_KEY_SECRET: {"api-key": f"atlas_{key}"},
        REDIS_SECRET: {
            "password": password,
            "auth.conf": f"requirepass {password}\n",
            "url": f"redis://:{password}@atlas-redis:6379/0",
        },
    }


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def ready(box: Box) -> Step:
    """Every pod ready, of what was asked for: the model is loaded, and services answer."""
    installation = chart.marked(box.values, namespace=box.namespace)["installation"]

    def holds() -> bool:
        return unready(box.cluster, box.namespace, installation) == []

    def do() -> None:
        begun, told = time.monotonic(), ""
        deadline = begun + READY_S
        while waiting := unready(box.cluster, box.namespace, installation):
            if (line := f"  waiting for {', '.join(waiting)}") != told:
                box.tell(line)
                told = line
            if time.monotonic() > begun + HELM_GRACE_S and (said := helm_trouble(box.cluster)):
                raise InfrastructureError(said, retryable=False)
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"not ready after {READY_S / 60:.0f} min: {'; '.join(waiting)}. See: "
                    f"kubectl -n {box.namespace} describe pods; kubectl -n {box.namespace} get events"
                )
            time.sleep(POLL_S)

    return Step("ready", "wait until every pod is ready", installation, holds, do)


def helm_trouble(cluster: Cluster) -> str:
    """Say why Helm, which K3s starts again when it fails, keeps failing; nothing where it does not."""
    for pod in _helm_pods(cluster):
        for each in (pod.get("status") or {}).get("containerStatuses") or []:
            ended = ((each.get("state") or {}).get("terminated") or {}).get("exitCode")
            last = (each.get("lastState") or {}).get("terminated") or {}
            if ended != 0 and last.get("exitCode") and int(each.get("restartCount") or 0) >= HELM_TRIES:
                said = (last.get("message") or f"it ends with {last['exitCode']}").strip()[-500:]
                more = "kubectl -n kube-system logs job/helm-install-atlas"
                return f"Helm fails in the cluster: {said}; see: {more}"
    return ""


def _helm_pods(cluster: Cluster) -> list[Object]:
    """Return the pods that install the chart; what uninstalls it, or is on its way out, is none."""
    return [
        pod
        for pod in cluster.items("/api/v1/namespaces/kube-system/pods", labelSelector=HELM_PODS)
        if pod["metadata"]["name"].startswith("helm-install-")
        and not pod["metadata"].get("deletionTimestamp")
    ]


def unready(cluster: Cluster, namespace: str, installation: str = "") -> list[str]:
    """Return what is not ready, each with the reason that its pods give.

    `installation`: the word that the objects must be marked by; those of another are still to be replaced.
    """
    base, ours = f"/apis/apps/v1/namespaces/{namespace}", "app.kubernetes.io/name=atlas"
    owners = [
        each
        for kind in ("deployments", "statefulsets")
        for each in cluster.items(f"{base}/{kind}", labelSelector=ours)
    ]
    if not owners or (installation and any(_mark(each) != installation for each in owners)):
        why = next((f" ({said})" for pod in _helm_pods(cluster) if (said := trouble(pod))), "")
        state = "still of an earlier installation" if owners else "not there yet"
        return [f"the chart's objects, which are {state}{why}"]
    late = sorted(each["metadata"]["name"] for each in owners if not _whole(each))
    if not late:
        return []
    reasons = [reason for pod in pods(cluster, namespace) if (reason := trouble(pod))]
    return [f"{name} ({why})" if (why := _first(reasons, name)) else name for name in late]


def pods(cluster: Cluster, namespace: str) -> list[Object]:
    """Return the pods of ATLAS."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    return cluster.items(path, labelSelector="app.kubernetes.io/name=atlas")


def trouble(pod: Object) -> str:
    """Say what holds a pod up, after its name; nothing if nothing does."""
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{name}: {waiting['reason']}: {waiting.get('message') or each['name']}"[:300]
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{name}: {condition.get('reason')}: {condition.get('message')}"[:300]
    return ""


def _mark(owner_: Object) -> str:
    return str((owner_["metadata"].get("annotations") or {}).get("atlas/installation", ""))


def _whole(owner_: Object) -> bool:
    status, spec = owner_.get("status") or {}, owner_.get("spec") or {}
    current = int(status.get("observedGeneration") or 0) >= int(owner_["metadata"].get("generation") or 0)
    wanted = int(spec.get("replicas", 1))
    fresh = int(status.get("updatedReplicas") or 0) >= wanted
    return current and fresh and int(status.get("readyReplicas") or 0) >= wanted


def _first(reasons: list[str], name: str) -> str:
    return next((each for each in reasons if each.startswith(name)), "").partition(": ")[2]


def location(box: Box, run_dir: Path) -> Step:
    """The note by which `atlas` and the benchmark find the gateway and its key."""

    def holds() -> bool:
        return installed.find(run_dir) == stack(box)

    def do() -> None:
        installed.write(run_dir, stack(box), owner())

    says = (
        f"the gateway's URL and key in {run_dir / installed.NAME}, mode 0600: v3_runner and atlas look there"
    )
    return Step("location", says, "", holds, do)


def stack(box: Box) -> installed.InstalledStack:
    """Return where the gateway is and what opens it, as the cluster has it.

    Raises:
        AtlasError: the cluster has it not, or does not answer.
    """
    cluster = box.cluster
    secret = cluster.get(f"/api/v1/namespaces/{box.namespace}/secrets/{API_KEY_SECRET}")
    service = cluster.get(f"/api/v1/namespaces/{box.namespace}/services/atlas-gateway")
    key = base64.b64decode(secret["data"]["api-key"]).decode()
    return installed.InstalledStack(
        gateway_url=gateway_url(service, cluster, here=box.kubeconfig is None),
        api_key=key,
        kubeconfig=str(box.kubeconfig or box.machine.at(KUBECONFIG)),
        namespace=box.namespace,
    )


def gateway_url(service: Object, cluster: Cluster, *, here: bool) -> str:
    """Return where the gateway is reached from outside: its port of the node."""
    port = service["spec"]["ports"][0]
    if not port.get("nodePort"):
        return f"http://{service['spec']['clusterIP']}:{port['port']}"
    if here:
        return f"http://127.0.0.1:{port['nodePort']}"
    node = cluster.items("/api/v1/nodes")[0]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    return f"http://{address}:{port['nodePort']}"
