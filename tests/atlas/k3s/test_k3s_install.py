"""Installing on a recorded machine, under another root, against an API server: order, repeats, kills."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from atlas import installed
from atlas.errors import AtlasError, BadInput, ConfigError, InfrastructureError, StartupError
from atlas.k3s import objects, release
from atlas.k3s.cluster import Cluster, connect
from atlas.k3s.facts import UNIT_FILE
from atlas.k3s.install import carry_out, plan
from atlas.k3s.machine import Ran
from atlas.k3s.plan import all_of, of_machine
from atlas.k3s.state import STATE_FILE, read_state, record
from tests.atlas.k3s.install_box import BUILT, RUN, asked_for, box_of, helm_values, install, steps_of
from tests.support.kube_api import KubeApi, deployment
from tests.support.recorded_machine import RecordedMachine

# ---------------------------------------------------------------- the whole way


def test_a_bare_box_gets_everything_in_order(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    told = install(machine, cluster, tmp_path)
    assert [line.split("] ")[1].split(":")[0] for line in told if line.startswith("[")] == RUN
    assert machine.at("/usr/local/bin/k3s").read_bytes() == b"the right one"
    assert machine.at("/usr/local/bin/k3s").stat().st_mode & 0o777 == 0o755
    assert 'write-kubeconfig-mode: "0600"' in machine.text(release.CONFIG_FILE)
    assert "ExecStart=/usr/local/bin/k3s server" in machine.text(UNIT_FILE)
    assert machine.done[:3] == ["systemctl daemon-reload", "systemctl enable k3s", "systemctl restart k3s"]
    assert "apparmor_parser -r /etc/apparmor.d/atlas-executor-pod" in machine.done
    built = [line for line in machine.done if line.startswith("podman build")]
    assert [line.split(" -t ")[1].split()[0] for line in built] == list(BUILT)
    assert "--build-arg BASE=cpu" in built[2]
    store = "/usr/local/bin/k3s ctr -n k8s.io images"
    assert machine.done[-4] == f"{store} import /var/lib/atlas/images.tar"
    tagged = [line.split()[-2:] for line in machine.done[-3:] if line.startswith(f"{store} tag --force ")]
    assert [name for name, _ in tagged] == list(BUILT)
    assert {tag for _, tag in tagged} == asked_for(api)
    assert helm_values(api)["gateway"]["service"] == {"type": "NodePort", "nodePort": 30840}
    assert helm_values(api)["executor"]["appArmorProfile"] == "atlas-executor-pod"
    assert api.written == [f"PATCH {objects.HELM_CHART}"], "no GPU, no device plugin"
    found = installed.find(tmp_path / "run")
    assert found is not None
    assert (found.gateway_url, found.api_key) == ("http://127.0.0.1:30840", "atlas_made_in_the_cluster")
    assert "atlas_made_in_the_cluster" not in "".join(told) + machine.text("/var/lib/atlas/install.json")


def test_the_second_time_nothing_is_done(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    install(machine, cluster, tmp_path)
    machine.done.clear()
    api.written.clear()
    told = install(machine, cluster, tmp_path)
    assert [line.endswith(": holds") for line in told] == [True] * len(RUN)
    assert (machine.done, api.written) == ([], [])
    planned = plan(steps_of(box_of(machine, cluster, tmp_path), tmp_path), read_state(machine))
    assert [each.todo for each in planned] == [False] * len(RUN)


@pytest.mark.parametrize(
    ("failing", "step", "left"),
    [
        ("systemctl restart", "k3s", RUN),
        ("apparmor_parser", "profiles", RUN[1:]),
        ("podman save", "images", RUN[3:]),
    ],
)
def test_an_interrupted_installation_goes_on_where_it_stopped(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path, failing: str, step: str, left: list[str]
) -> None:
    machine.failing = failing
    with pytest.raises(InfrastructureError, match=f"step {step} failed: `{failing}"):
        install(machine, cluster, tmp_path)
    machine.failing = ""
    planned = plan(steps_of(box_of(machine, cluster, tmp_path), tmp_path), read_state(machine))
    assert [each.step.name for each in planned if each.todo] == left
    told = install(machine, cluster, tmp_path)
    held = [line for line in told if line.endswith(": holds")]
    assert len(held) == len(RUN) - len(left)


def test_what_holds_no_more_is_done_again_and_only_that(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    install(machine, cluster, tmp_path)
    machine.put("/var/lib/kubelet/seccomp/atlas/executor.json", "{}")
    machine.done.clear()
    install(machine, cluster, tmp_path)
    assert machine.done == ["apparmor_parser -r /etc/apparmor.d/atlas-executor-pod"]
    del api.objects[objects.HELM_CHART]
    install(machine, cluster, tmp_path)
    assert objects.HELM_CHART in api.objects


def test_other_values_are_applied_anew(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    install(machine, cluster, tmp_path)
    box = box_of(machine, cluster, tmp_path)
    box.values["settings"]["slots"] = 2
    api.written.clear()
    carry_out(machine, steps_of(box, tmp_path), lambda line: None)
    assert helm_values(api)["settings"]["slots"] == 2
    assert api.written == [f"PATCH {objects.HELM_CHART}"]


def test_a_damaged_note_of_what_is_done_costs_only_doing_it_again(machine: RecordedMachine) -> None:
    record(machine, "k3s", "abc")
    assert read_state(machine) == {"k3s": "abc"}
    for text in ("{", "[]", '{"done": 3}', ""):
        machine.put("/var/lib/atlas/install.json", text)
        assert read_state(machine) == {}


# ---------------------------------------------------------------- K3s


def test_a_binary_that_is_not_the_pinned_one_never_takes_its_place(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path
) -> None:
    machine.put("/usr/local/bin/k3s", "the old one")
    machine.downloads["/k3s"].write_bytes(b"another one")
    with pytest.raises(StartupError, match="its sha256 is"):
        release.put_binary(machine, "x86_64", None)
    assert machine.text("/usr/local/bin/k3s") == "the old one"
    assert not machine.exists(release.FETCHED)
    given = tmp_path / "given"
    given.write_bytes(b"the right one")
    release.put_binary(machine, "x86_64", str(given))
    assert machine.text("/usr/local/bin/k3s") == "the right one"
    with pytest.raises(StartupError, match="cannot copy"):
        release.put_binary(machine, "x86_64", str(tmp_path / "nothing"))


def test_where_none_is_pinned_the_releases_own_list_is_asked(
    machine: RecordedMachine, tmp_path: Path
) -> None:
    binary, sums = tmp_path / "arm", tmp_path / "sums"
    binary.write_bytes(b"for arm")
    machine.downloads = {"v1.36.5%2Bk3s1/k3s-arm64": binary, "sha256sum-arm64.txt": sums}
    digest = hashlib.sha256(b"for arm").hexdigest()
    sums.write_text(f"{'0' * 64}  k3s-airgap-images-arm64.tar\n{digest}  k3s-arm64\n")
    release.put_binary(machine, "aarch64", None)
    assert machine.text("/usr/local/bin/k3s") == "for arm"
    sums.write_text(f"{'0' * 64}  k3s-arm64\n")
    with pytest.raises(StartupError, match="its sha256 is"):
        release.put_binary(machine, "aarch64", None)
    sums.write_text("<html>")
    with pytest.raises(InfrastructureError, match="has no k3s-arm64"):
        release.put_binary(machine, "aarch64", None)
    with pytest.raises(StartupError, match="is pinned"):  # nothing to hold a given file against
        release.put_binary(machine, "aarch64", str(binary))


def test_a_pinned_hash_is_a_hash() -> None:
    import importlib

    pinned = importlib.reload(release).SHA256
    assert all(len(bytes.fromhex(each)) == 32 for each in pinned.values())
    assert set(pinned) <= set(release.FILES)


def test_k3s_that_was_there_is_left_as_it_is(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path
) -> None:
    machine.put("/usr/local/bin/k3s", "#!")
    machine.answers["/usr/local/bin/k3s", "--version"] = Ran(0, "k3s version v1.33.4+k3s1 (1)\n")
    install(machine, cluster, tmp_path)
    assert "k3s" not in read_state(machine)
    assert not [line for line in machine.done if line.startswith("systemctl")]


# ---------------------------------------------------------------- a cluster of one's own


def test_a_cluster_without_k3s_gets_each_object_and_secrets_once(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    api.helm_charts = False
    del api.objects["/api/v1/namespaces/atlas/secrets/atlas-api-key"]
    box = box_of(machine, cluster, tmp_path, kubeconfig=tmp_path / "kubeconfig")
    assert of_machine(box) == []
    objects.apply(box).do()
    base = "/apis/apps/v1/namespaces/atlas"
    assert {f"{base}/deployments/atlas-planner", f"{base}/statefulsets/atlas-redis"} <= api.objects.keys()
    secret = api.objects["/api/v1/namespaces/atlas/secrets/atlas-api-key"]
    assert secret["stringData"]["api-key"].startswith("atlas_")
    redis = api.objects["/api/v1/namespaces/atlas/secrets/atlas-redis"]["stringData"]
    assert redis["password"] in redis["url"]
    assert api.written[0] == "PATCH /api/v1/namespaces/atlas"
    kinds = [path.split("/")[-2] for path in api.written]
    first = min(kinds.index(kind) for kind in ("deployments", "statefulsets"))
    assert set(kinds[first:]) == {"deployments", "statefulsets"}, "what pods need is there before them"
    assert not [path for path in api.objects if "/pods/" in path], "hooks are Helm's"
    before = json.dumps(secret)
    objects.apply(box).do()
    assert json.dumps(api.objects["/api/v1/namespaces/atlas/secrets/atlas-api-key"]) == before


def test_an_installation_elsewhere_leaves_nothing_on_this_machine(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    box = box_of(machine, cluster, tmp_path, kubeconfig=tmp_path / "kubeconfig")
    run = tmp_path / "run"
    state = box.state_file(run)
    before, there = sorted(machine.root.rglob("*")), Path(STATE_FILE).exists()
    machine.root = Path("/")  # the note is this user's own
    carry_out(machine, all_of(box, run), lambda line: None, state)
    assert set(read_state(machine, state)) == {"objects", "ready", "location"}
    assert {path.name for path in run.iterdir()} == {"install.json", "installed.json"}
    assert sorted((tmp_path / "root").rglob("*")) == before
    assert Path(STATE_FILE).exists() is there


def test_a_kubeconfig_of_root_asks_for_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k3s.yaml").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="not for this user to read: call this with sudo"):
        connect(tmp_path / "k3s.yaml")


def test_where_the_gateway_is_reached(api: KubeApi, cluster: Cluster) -> None:
    service = api.objects["/api/v1/namespaces/atlas/services/atlas-gateway"]
    assert objects.gateway_url(service, cluster, here=False) == "http://10.0.0.7:30840"
    service["spec"]["ports"] = [{"port": 80}]
    assert objects.gateway_url(service, cluster, here=True) == "http://10.43.0.5:80"


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [(403, AtlasError, "can-i"), (422, BadInput, "no good"), (500, InfrastructureError, "no good")],
)
def test_what_the_api_refuses_is_said_in_its_words(
    api: KubeApi, cluster: Cluster, status: int, kind: type[AtlasError], says: str
) -> None:
    api.refusal = (status, "no good")
    with pytest.raises(kind, match=says):
        cluster.apply(deployment("gateway"))
