"""Takes ATLAS away again, and only what is asked for: first the release, then data, then K3s."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from atlas import installed
from atlas.errors import InfrastructureError, NotFound
from atlas.k3s import profiles, release
from atlas.k3s.cluster import Cluster, Object
from atlas.k3s.facts import K3S, OURS, UNIT_FILE
from atlas.k3s.machine import Machine
from atlas.k3s.objects import HELM_CHART, POLL_S
from atlas.k3s.state import STATE_FILE, read_state, write
from atlas.k3s.values import LENS_DIR

GONE_S = 300.0
ENDED = ("Succeeded", "Failed")
K3S_DATA = "/var/lib/rancher/k3s"


@dataclass(frozen=True)
class Removal:
    """What goes: the release always; `data`: claims with the journal, keys, models; `k3s`: K3s itself.

    `here`: it was installed on this machine; else on another cluster, and the machine is left alone.
    """

    data: bool = False
    k3s: bool = False
    here: bool = True


def says(removal: Removal, namespace: str, models_dir: Path, *, ours: bool) -> list[str]:
    """Say what will go, and what stays."""
    lines = [f"remove ATLAS's pods, Services and settings from namespace {namespace}"]
    kept = f"the journal and the keys (namespace {namespace})"
    if removal.here:
        kept += f", the models in {models_dir}, and Lens weights in {LENS_DIR}"
    lines.append(f"{'remove' if removal.data else 'keep'} {kept}")
    if removal.k3s:
        gone = "remove K3s, with everything that runs on it"
        lines.append(gone if ours and removal.here else "keep K3s: it was here before ATLAS")
    return lines


def remove(
    machine: Machine,
    cluster: Cluster | None,
    removal: Removal,
    *,
    namespace: str,
    models_dir: Path,
    run_dir: Path,
    tell: Callable[[str], None],
) -> None:
    """Remove it; what is gone already is no trouble. `cluster` None: there is none any more.

    Raises:
        InfrastructureError: something does not go; says what shows more.
    """
    whole = removal.here and removal.k3s and OURS in machine.text(UNIT_FILE)
    if cluster is not None and not (whole and not _answers(cluster, tell)):
        _release(cluster, namespace, tell)
        if removal.data:
            tell(f"namespace {namespace}")
            cluster.delete(f"/api/v1/namespaces/{namespace}")
    if removal.here:
        _from_machine(machine, removal, models_dir, tell, whole=whole)
    installed.forget(run_dir)


def _answers(cluster: Cluster, tell: Callable[[str], None]) -> bool:
    """Whether K3s, which is about to go, can be asked to end the pods properly."""
    try:
        cluster.version()
    except InfrastructureError as error:
        tell(f"everything with K3s, which does not answer ({error})")
        return False
    return True


def _from_machine(
    machine: Machine, removal: Removal, models_dir: Path, tell: Callable[[str], None], *, whole: bool
) -> None:
    done = read_state(machine)
    left = {"k3s", "images", "model"}
    if removal.data:
        for directory in (str(models_dir), LENS_DIR):
            tell(directory)
            shutil.rmtree(machine.at(directory), ignore_errors=True)
        left -= {"model"}
    profiles.remove(machine)
    if whole:
        _k3s(machine, tell, data=removal.data)
        left -= {"k3s", "images"}
    if machine.exists(STATE_FILE):
        write(machine, {step: each for step, each in done.items() if step in left})


def _release(cluster: Cluster, namespace: str, tell: Callable[[str], None]) -> None:
    """Delete the objects, but for what is marked to be kept: Secrets, and claims."""
    if cluster.has_helm_charts():
        tell("the HelmChart object; its controller removes the rest")
        cluster.delete(HELM_CHART)
    else:
        for path in PLAIN:
            base = f"{path[0]}/namespaces/{namespace}/{path[1]}"
            for each in _labelled(cluster, base):
                tell(f"{path[1]}/{each['metadata']['name']}")
                cluster.delete(f"{base}/{each['metadata']['name']}")
    deadline = time.monotonic() + GONE_S
    pods = f"/api/v1/namespaces/{namespace}/pods"
    for each in _labelled(cluster, pods):
        if each["status"].get("phase") in ENDED:  # of `helm test`: nobody's, and in nobody's way until now
            tell(f"pods/{each['metadata']['name']}")
            cluster.delete(f"{pods}/{each['metadata']['name']}")
    while left := cluster.items(pods, labelSelector="app.kubernetes.io/name=atlas"):
        if time.monotonic() > deadline:
            names = ", ".join(each["metadata"]["name"] for each in left)
            raise InfrastructureError(
                f"not gone after {GONE_S:.0f} s: {names}; see: kubectl -n {namespace} describe pods"
            )
        time.sleep(POLL_S)


def _labelled(cluster: Cluster, path: str) -> list[Object]:
    """Return our objects of a kind; none where the cluster does not know it, or not any more."""
    try:
        return cluster.items(path, labelSelector="app.kubernetes.io/name=atlas")
    except NotFound:
        return []


PLAIN = (
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/batch/v1", "jobs"),
    ("/api/v1", "services"),
    ("/api/v1", "configmaps"),
    ("/api/v1", "serviceaccounts"),
    ("/apis/networking.k8s.io/v1", "networkpolicies"),
    ("/apis/policy/v1", "poddisruptionbudgets"),
    ("/apis/policy/v1beta1", "poddisruptionbudgets"),  # before 1.21
)


def _k3s(machine: Machine, tell: Callable[[str], None], *, data: bool) -> None:
    tell("K3s")
    machine.do("systemctl", "disable", "--now", "k3s")
    for process in _of_k3s():
        process.kill()
    for path in (UNIT_FILE, release.CONFIG_FILE, K3S):
        machine.at(path).unlink(missing_ok=True)
    machine.do("systemctl", "daemon-reload")
    for mount in _mounts(machine):
        machine.do("umount", "-l", mount)
    if data:
        shutil.rmtree(machine.at(K3S_DATA), ignore_errors=True)
    tell("networks of its pods (cni0, flannel.1) go with the next boot")


def _of_k3s() -> list[psutil.Process]:
    """Return the pods' processes: those that outlive the service, with what they started."""
    shims = [
        each
        for each in psutil.process_iter(["cmdline"])
        if (words := each.info["cmdline"] or [""])[0].startswith(f"{K3S_DATA}/data/")
        and "containerd-shim" in words[0]
    ]
    return [each for shim in shims for each in (*shim.children(recursive=True), shim)]


def _mounts(machine: Machine) -> list[str]:
    """Return what is mounted for pods, the innermost first."""
    lines = machine.text("/proc/self/mounts").splitlines()
    points = [line.split()[1] for line in lines if len(line.split()) > 1]
    ours = ("/run/k3s", "/var/lib/kubelet/pods", f"{K3S_DATA}/agent", "/run/netns/cni-")
    return sorted((each for each in points if each.startswith(ours)), reverse=True)
