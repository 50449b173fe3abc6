"""Uninstalling keeps what it was not told to remove, and does not mind what is gone already."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client
from typer.testing import CliRunner

from atlas import installed
from atlas.cli import app
from atlas.config import Settings
from atlas.errors import InfrastructureError
from atlas.installed import InstalledStack
from atlas.k3s import objects, release, uninstall
from atlas.k3s.cluster import Cluster, plural
from atlas.k3s.facts import UNIT_FILE
from atlas.k3s.state import read_state, write
from atlas.k3s.uninstall import Removal, says
from atlas.k3s.values import LENS_DIR
from tests.charts.rendered_chart import render, values_sets
from tests.support.kube_api import KubeApi, deployment, pod
from tests.support.recorded_machine import RecordedMachine, good_box

MODELS = Path("/var/lib/atlas/models")
SECRET = "/api/v1/namespaces/atlas/secrets/atlas-api-key"


@pytest.fixture
def machine(tmp_path: Path) -> RecordedMachine:
    """A box on which ATLAS was installed."""
    machine = good_box(tmp_path / "root")
    for path in (f"{MODELS}/m.gguf", "/var/lib/kubelet/seccomp/atlas/executor.json", release.CONFIG_FILE):
        machine.put(path, "x")
    machine.put(UNIT_FILE, release.UNIT)
    machine.put("/usr/local/bin/k3s", "x")
    machine.put("/proc/self/mounts", "a / ext4 rw 0 0\nb /var/lib/kubelet/pods/1/v tmpfs rw 0 0\n")
    write(machine, dict.fromkeys(("k3s", "profiles", "model", "images", "objects", "ready", "location"), "d"))
    stack = InstalledStack(gateway_url="http://g", api_key="atlas_k", kubeconfig="/k", namespace="atlas")
    installed.write(tmp_path / "run", stack)
    return machine


@pytest.fixture
def api() -> KubeApi:
    api = KubeApi()
    api.objects[objects.HELM_CHART] = {"metadata": {"name": "atlas"}, "spec": {}}
    api.objects[SECRET] = {"metadata": {"name": "atlas-api-key"}}
    return api


def removed(machine: RecordedMachine, api: KubeApi | None, tmp_path: Path, removal: Removal) -> list[str]:
    told: list[str] = []
    more = {"namespace": "atlas", "models_dir": MODELS, "run_dir": tmp_path / "run", "tell": told.append}
    if api is None:
        uninstall.remove(machine, None, removal, **more)  # type: ignore[arg-type]
        return told
    with api.reached() as cluster:
        uninstall.remove(machine, cluster, removal, **more)  # type: ignore[arg-type]
    return told


def test_data_and_k3s_stay_unless_told(machine: RecordedMachine, api: KubeApi, tmp_path: Path) -> None:
    for _ in range(2):  # the second time there is nothing left to remove
        removed(machine, api, tmp_path, Removal())
    assert list(api.objects) == [SECRET]
    assert machine.exists(f"{MODELS}/m.gguf")
    assert machine.exists("/usr/local/bin/k3s")
    assert not machine.exists("/var/lib/kubelet/seccomp/atlas/executor.json")
    assert installed.find(tmp_path / "run") is None
    assert set(read_state(machine)) == {"k3s", "model", "images"}, "so that installing again does the rest"


def test_data_goes_when_told(machine: RecordedMachine, api: KubeApi, tmp_path: Path) -> None:
    weights = f"{LENS_DIR}/mine.safetensors"
    machine.put(weights, "made by the user")
    removed(machine, api, tmp_path, Removal())
    assert machine.exists(weights)
    removed(machine, api, tmp_path, Removal(data=True))
    assert "DELETE /api/v1/namespaces/atlas" in api.written
    assert not machine.exists(str(MODELS))
    assert not machine.exists(weights)
    assert machine.exists("/usr/local/bin/k3s")


def test_k3s_goes_when_it_is_ours(machine: RecordedMachine, tmp_path: Path) -> None:
    removed(machine, None, tmp_path, Removal(k3s=True))
    assert machine.done[0] == "systemctl disable --now k3s"
    assert "umount -l /var/lib/kubelet/pods/1/v" in machine.done
    assert not any(machine.exists(path) for path in ("/usr/local/bin/k3s", UNIT_FILE, release.CONFIG_FILE))
    assert machine.exists(f"{MODELS}/m.gguf")
    assert set(read_state(machine)) == {"model"}


def test_k3s_of_somebody_else_stays(machine: RecordedMachine, tmp_path: Path) -> None:
    machine.put(UNIT_FILE, "[Unit]\nDescription=Lightweight Kubernetes\n")
    removed(machine, None, tmp_path, Removal(k3s=True, data=True))
    assert machine.exists("/usr/local/bin/k3s")
    assert not [line for line in machine.done if "systemctl" in line]
    assert "keep K3s" in says(Removal(k3s=True), "atlas", MODELS, ours=False)[-1]


def test_a_cluster_without_the_controller_loses_what_is_labelled_as_ours(
    machine: RecordedMachine, api: KubeApi, tmp_path: Path
) -> None:
    api.helm_charts = False
    ours, other = deployment("gateway"), deployment("other")
    other["metadata"]["labels"] = {}
    api.put(ours, other)
    removed(machine, api, tmp_path, Removal())
    assert [path for path in api.objects if "deployments" in path] == [
        "/apis/apps/v1/namespaces/atlas/deployments/atlas-other"
    ]


@pytest.mark.parametrize("version", ["policy/v1", "policy/v1beta1"])
def test_a_cluster_of_any_age_loses_the_budgets_too(
    machine: RecordedMachine, api: KubeApi, tmp_path: Path, version: str
) -> None:
    api.helm_charts = False
    budget = deployment("gateway") | {"apiVersion": version, "kind": "PodDisruptionBudget"}
    api.put(budget)
    removed(machine, api, tmp_path, Removal())
    assert list(api.objects) == [objects.HELM_CHART, SECRET]


def test_nothing_is_left_in_a_cluster_but_what_is_kept() -> None:
    """Every kind that the chart makes is deleted where no controller does it."""
    kept = {"Secret", "PersistentVolumeClaim"}
    hooks = {"Pod"}  # deleted with those that have ended
    kinds = {each["kind"] for values in values_sets().values() for each in render(values)}
    assert kinds - kept - hooks == {"Deployment", "StatefulSet", "Job", "Service", "ConfigMap"} | {
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
    }
    assert {plural(kind) for kind in kinds - kept - hooks} == {name for _, name in uninstall.PLAIN}


def test_a_pod_that_has_ended_is_not_waited_for(
    machine: RecordedMachine, api: KubeApi, tmp_path: Path
) -> None:
    ended = pod("test")
    ended["status"]["phase"] = "Succeeded"
    api.put(ended)
    told = removed(machine, api, tmp_path, Removal())
    assert list(api.objects) == [SECRET]
    assert "pods/atlas-test-1" in told


def test_another_cluster_loses_atlas_and_this_machine_nothing(
    machine: RecordedMachine, api: KubeApi, tmp_path: Path
) -> None:
    removed(machine, api, tmp_path, Removal(data=True, k3s=True, here=False))
    assert "DELETE /api/v1/namespaces/atlas" in api.written
    assert machine.done == []
    kept = (f"{MODELS}/m.gguf", "/var/lib/kubelet/seccomp/atlas/executor.json", "/usr/local/bin/k3s")
    assert all(machine.exists(path) for path in kept)
    assert len(read_state(machine)) == 7
    assert installed.find(tmp_path / "run") is None
    lines = says(Removal(data=True, here=False), "n", MODELS, ours=True)
    assert not [line for line in lines if "models" in line]


def test_k3s_that_answers_no_more_goes_all_the_same_but_only_with_k3s(
    machine: RecordedMachine, tmp_path: Path
) -> None:
    cluster = Cluster(client.Configuration(host="http://127.0.0.1:9"))  # nobody
    told: list[str] = []

    def remove(removal: Removal) -> None:
        more = {"namespace": "atlas", "models_dir": MODELS, "run_dir": tmp_path, "tell": told.append}
        uninstall.remove(machine, cluster, removal, **more)  # type: ignore[arg-type]

    with pytest.raises(InfrastructureError, match="does not answer"):
        remove(Removal())
    assert machine.exists("/usr/local/bin/k3s")
    remove(Removal(k3s=True))
    cluster.close()
    assert not machine.exists("/usr/local/bin/k3s")
    assert any("does not answer" in line for line in told)


def test_it_is_removed_from_where_it_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = {"kubeconfig": "/their/kubeconfig", "namespace": "elsewhere"}
    stack = InstalledStack(gateway_url="u", api_key="k", **place)
    installed.write(Settings().run_dir, stack)
    result = CliRunner().invoke(app, ["k3s", "uninstall", "--yes"])
    assert "from namespace elsewhere" in result.output
    assert "models" not in result.output, "not a machine that it was installed on"
    assert (result.exit_code, "/their/kubeconfig" in result.output) == (2, True), "which is not there"
    assert installed.find(Settings().run_dir) == stack


def test_only_root_can_remove_what_is_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = CliRunner().invoke(app, ["k3s", "uninstall", "--yes"])
    assert (result.exit_code, "sudo scripts/uninstall.sh" in result.output) == (2, True), result.output


def test_pods_that_do_not_go_are_named(
    machine: RecordedMachine, api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uninstall, "GONE_S", 0.05)
    monkeypatch.setattr(uninstall, "POLL_S", 0.02)
    api.put(pod("redis"))
    with pytest.raises(InfrastructureError, match="atlas-redis-1; see: kubectl"):
        removed(machine, api, tmp_path, Removal())


def test_what_would_go_is_said_and_nothing_goes() -> None:
    result = CliRunner().invoke(app, ["k3s", "uninstall", "--dry-run", "--models", "/nowhere"])
    assert result.exit_code == 0
    assert "the keys (namespace atlas), the models in /nowhere, and Lens weights in" in result.stdout
