"""What an installation waits for, and when it gives up: pods, Helm, earlier releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas.errors import InfrastructureError
from atlas.k3s import objects
from atlas.k3s.cluster import Cluster
from atlas.k3s.install import carry_out
from tests.atlas.k3s.install_box import box_of, install, steps_of
from tests.support.kube_api import KubeApi, deployment, pod
from tests.support.recorded_machine import RecordedMachine


def test_it_waits_and_says_for_what(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(deployment("llama-server", ready=False))
    api.put(pod("llama-server", waiting={"reason": "ErrImageNeverPull", "message": "no such image"}))
    monkeypatch.setattr(objects, "READY_S", 0.1)
    told: list[str] = []
    box = box_of(machine, cluster, tmp_path, tell=told.append)
    objects.apply(box).do()
    with pytest.raises(InfrastructureError, match=r"not ready after .*describe pods"):
        objects.ready(box).do()
    assert told == ["  waiting for atlas-llama-server (ErrImageNeverPull: no such image)"]


def helm_pod(
    restarts: int, code: int, *, state: dict[str, Any] | None = None, **metadata: str
) -> dict[str, Any]:
    """Return the pod in which K3s runs Helm; its container ended with `code` before it was started again."""
    said = "Error: UPGRADE FAILED: no such field\n"
    found = pod("helm", namespace="kube-system")
    found["metadata"] |= {"name": "helm-install-atlas-x7", **metadata}
    found["metadata"]["labels"] = {"helmcharts.helm.cattle.io/chart": "atlas"}
    found["status"]["containerStatuses"] = [
        {
            "name": "helm",
            "restartCount": restarts,
            "state": state or {"running": {}},
            "lastState": {"terminated": {"exitCode": code, "message": said}},
        }
    ]
    return found


def test_a_release_that_fails_again_and_again_is_not_waited_for(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "HELM_GRACE_S", 0.0)
    api.put(deployment("gateway", ready=False), helm_pod(2, 1))
    says = r"Helm fails in the cluster: Error: UPGRADE FAILED: no such field; see: .*job/helm-install"
    with pytest.raises(InfrastructureError, match=says):
        objects.ready(box_of(machine, cluster, tmp_path)).do()


@pytest.mark.parametrize(
    "fine",
    [
        helm_pod(1, 1),  # it may have come before its API
        helm_pod(3, 1, state={"terminated": {"exitCode": 0}}),
        helm_pod(9, 1, deletionTimestamp="2026-11-28T12:00:00Z"),
        helm_pod(9, 1, name="helm-delete-atlas-x7"),
    ],
)
def test_helm_that_gets_on_or_is_of_an_earlier_try_is_no_failure(
    api: KubeApi, cluster: Cluster, fine: dict[str, Any]
) -> None:
    api.put(fine)
    assert objects.helm_trouble(cluster) == ""


def test_why_helm_does_not_begin_is_said(api: KubeApi, cluster: Cluster) -> None:
    late = helm_pod(0, 0, state={"waiting": {"reason": "ImagePullBackOff", "message": "no route"}})
    api.objects = {}
    api.put(late)
    (waiting,) = objects.unready(cluster, "atlas")
    assert "not there yet (helm-install-atlas-x7: ImagePullBackOff: no route)" in waiting


def test_pods_of_the_release_before_are_not_taken_for_those_that_were_asked_for(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(machine, cluster, tmp_path)
    monkeypatch.setattr(objects, "READY_S", 0.1)
    api.helm_works = False  # it takes a while
    box = box_of(machine, cluster, tmp_path)
    box.values["settings"]["slots"] = 2
    assert objects.unready(cluster, "atlas") == []
    with pytest.raises(InfrastructureError, match="still of an earlier installation"):
        carry_out(machine, steps_of(box, tmp_path), lambda line: None)
    api.install(api.objects[objects.HELM_CHART])
    carry_out(machine, steps_of(box, tmp_path), lambda line: None)


def test_tries_that_helm_gave_up_are_forgotten_and_good_ones_are_not(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    tries = {1: "superseded", 2: "deployed", 3: "failed", 4: "pending-upgrade"}
    for number, status in tries.items():
        labels = {"owner": "helm", "name": "atlas", "status": status}
        metadata = {"name": f"sh.helm.release.v1.atlas.v{number}", "namespace": "atlas", "labels": labels}
        api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    other = {"name": "sh.helm.release.v1.x.v1", "namespace": "atlas"}
    other_labels = {"owner": "helm", "name": "x", "status": "failed"}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": other | {"labels": other_labels}})
    objects.apply(box_of(machine, cluster, tmp_path)).do()
    base = "/api/v1/namespaces/atlas/secrets"
    assert [line for line in api.written if line.startswith("DELETE")] == [
        f"DELETE {base}/sh.helm.release.v1.atlas.v3",
        f"DELETE {base}/sh.helm.release.v1.atlas.v4",
    ]
    assert api.written[-1] == f"PATCH {objects.HELM_CHART}"


def test_an_older_generation_that_is_ready_is_not_the_one_wanted(api: KubeApi, cluster: Cluster) -> None:
    stale = deployment("gateway")
    stale["metadata"]["generation"] = 2
    api.put(stale)
    assert objects.unready(cluster, "atlas") == ["atlas-gateway"]
