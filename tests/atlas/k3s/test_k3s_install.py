"""Installing on a recorded machine, under another root, against an API server: order, repeats, kills."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from atlas import installed
from atlas.errors import AtlasError, BadInput, ConfigError, InfrastructureError, StartupError
from atlas.k3s import images, objects, release
from atlas.k3s.cluster import Cluster, connect
from atlas.k3s.facts import UNIT_FILE, gather
from atlas.k3s.install import carry_out, plan
from atlas.k3s.machine import Ran
from atlas.k3s.plan import all_of, of_machine
from atlas.k3s.preflight import can_isolate
from atlas.k3s.state import STATE_FILE, read_state, record
from atlas.k3s.steps import Box, Step
from atlas.k3s.values import LENS_DIR, merged, of_box, read
from tests.charts.rendered_chart import CHART
from tests.support.kube_api import KubeApi, deployment, node, pod
from tests.support.recorded_machine import ROCKY, RecordedMachine, good_box

MODELS = Path("/var/lib/atlas/models")
MODEL = "mine.gguf"
BUILT = ("localhost/atlas:0.1.0", "localhost/atlas-executor:0.1.0", "localhost/atlas-llama-server:0.1.0-cpu")
RUN = ["k3s", "profiles", "model", "images", "objects", "ready", "location"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """A good box on which K3s can be had, with a model."""
    machine = good_box(tmp_path / "root")
    machine.put(f"{MODELS}/{MODEL}", "GGUF")
    binary = tmp_path / "k3s"
    binary.write_bytes(b"the right one")
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    monkeypatch.setattr(release, "SHA256", {"x86_64": digest})
    machine.downloads = {"/k3s": binary}
    monkeypatch.setattr(objects, "POLL_S", 0.02)
    return machine


@pytest.fixture
def api() -> KubeApi:
    """A cluster in which ATLAS is ready at once."""
    api = KubeApi()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "atlas-gateway", "namespace": "atlas"},
        "spec": {"clusterIP": "10.43.0.5", "ports": [{"port": 8400, "nodePort": 30840}]},
    }
    key = base64.b64encode(b"atlas_made_in_the_cluster").decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "atlas-api-key", "namespace": "atlas"},
        "data": {"api-key": key},
    }
    api.put(service, secret, deployment("gateway"), deployment("llama-server"))
    api.objects["/api/v1/nodes/box"] = node()
    return api


@pytest.fixture
def cluster(api: KubeApi) -> Iterator[Cluster]:
    with api.reached() as cluster:
        yield cluster


def box_of(machine: RecordedMachine, cluster: Cluster, tmp_path: Path, **more: Any) -> Box:
    asked = merged(read(CHART / "values-cpu.yaml"), {"settings": {"modelPath": f"/data/models/{MODEL}"}})
    facts = gather(machine, asked, MODELS)
    here = of_box(MODELS, seccomp=can_isolate(facts), apparmor=facts.apparmor)
    values = merged(here, asked)
    values = merged(values, images.tags(values, "0.1.0", archive=more.get("images")))
    box = Box(machine, facts, values, MODELS, tmp_path / "local", lambda path: cluster, version="0.1.0")
    machine.images = BUILT
    return replace(box, **more)


def steps_of(box: Box, tmp_path: Path) -> list[Step]:
    return all_of(box, tmp_path / "run")


def asked_for(api: KubeApi) -> set[str]:
    """Return the names of ours that pods are started from."""
    values = helm_values(api)
    tags = values["image"]["tag"], values["executor"]["image"]["tag"], values["llamaServer"]["image"]["tag"]
    return {f"{name.partition(':')[0]}:{tag}" for name, tag in zip(BUILT, tags, strict=True)}


def install(machine: RecordedMachine, cluster: Cluster, tmp_path: Path, **more: Any) -> list[str]:
    told: list[str] = []
    carry_out(machine, steps_of(box_of(machine, cluster, tmp_path, **more), tmp_path), told.append)
    return told


def helm_values(api: KubeApi) -> Any:
    return yaml.safe_load(api.objects[objects.HELM_CHART]["spec"]["valuesContent"])


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


# ---------------------------------------------------------------- images, models, SELinux


def test_images_from_a_tarball_must_be_ours(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path
) -> None:
    tarball = tmp_path / "images.tar"
    tarball.write_bytes(b"layers")
    box = box_of(machine, cluster, tmp_path, images=tarball)
    carry_out(machine, of_machine(box), lambda line: None)
    assert machine.done[-4] == f"/usr/local/bin/k3s ctr -n k8s.io images import {tarball}"
    assert not [line for line in machine.done if "build" in line]
    assert machine.done[-3].endswith(f"-{hashlib.sha256(b'layers').hexdigest()[:12]}")
    tarball.write_bytes(b"layers of 0.2.0")
    later = box_of(machine, cluster, tmp_path, images=tarball, version="0.2.0")
    with pytest.raises(InfrastructureError, match=r"does not hold localhost/atlas-executor:0\.2\.0"):
        carry_out(machine, of_machine(later), lambda line: None)
    with pytest.raises(StartupError, match="cannot read"):
        box_of(machine, cluster, tmp_path, images=tmp_path / "nothing")


def test_another_archive_of_the_same_version_replaces_the_pods(
    machine: RecordedMachine, api: KubeApi, cluster: Cluster, tmp_path: Path
) -> None:
    tarball = tmp_path / "images.tar"
    names = []
    for content in (b"one", b"one", b"two"):
        tarball.write_bytes(content)
        machine.done.clear()
        install(machine, cluster, tmp_path, images=tarball)
        names.append((asked_for(api), len(machine.done) > 0))
    assert names[0][0] == names[1][0] != names[2][0]
    assert [done for _, done in names] == [True, False, True]


def test_an_image_is_known_by_what_it_is_made_of_and_by_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    file = "deploy/images/atlas.Containerfile"
    for name, text in {
        file: "FROM x AS build\nCOPY pyproject.toml \\\n  LICENSE /src/\nCOPY services /src/services\n"
        "FROM x\nCOPY --from=build /opt /opt\n",
        f"{file}.dockerignore": "# what\n*\n!services\nservices/llama-server\n**/__pycache__\n",
        **dict.fromkeys(("pyproject.toml", "LICENSE", "README.md", "services/lens/app.py"), "x"),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def digest() -> bytes:
        return b"".join(images.sources(file, root))

    before = digest()
    for name in ("README.md", "services/llama-server/build.sh", "services/lens/__pycache__/app.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("another")
        assert digest() == before, name
    for name in ("LICENSE", "services/lens/app.py", "services/lens/new.py", file):
        (root / name).write_text("FROM y\nCOPY LICENSE /src/\n" if name == file else name)
        assert digest() != before, name
        before = digest()
    (root / "LICENSE").unlink()
    with pytest.raises(StartupError, match="LICENSE, of which an image is made"):
        digest()


def test_every_file_of_our_images_is_there_and_each_has_its_own_tag() -> None:
    named = images.tags({}, "0.1.0", archive=None)
    tags = [named["image"]["tag"], named["executor"]["image"]["tag"], named["llamaServer"]["image"]["tag"]]
    assert [tag.rpartition("-")[0] for tag in tags] == ["0.1.0", "0.1.0", "0.1.0-cuda"]
    assert len({tag.rpartition("-")[2] for tag in tags}) == 3


def test_images_of_a_registry_are_neither_built_nor_renamed(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path
) -> None:
    theirs = {"repository": "registry.example.org/atlas"}
    values = {"image": theirs, "executor": {"image": {"digest": "sha256:00"}}}
    assert images.tags(values, "0.1.0", archive=None).keys() == {"llamaServer"}
    box = box_of(machine, cluster, tmp_path)
    box.values = merged(box.values, values, {"llamaServer": {"image": theirs}})
    assert [step.name for step in of_machine(box)] == ["k3s", "profiles", "model"]
    tagged = images.tags({"image": {"tag": "mine"}}, "0.1.0", archive=None)
    assert tagged.keys() == {"executor", "llamaServer"}


@pytest.mark.parametrize("semanage", [True, False])
def test_under_selinux_containers_may_read_models_and_lens_weights(
    machine: RecordedMachine, cluster: Cluster, tmp_path: Path, semanage: bool
) -> None:
    machine.put("/etc/os-release", ROCKY)
    machine.put("/sys/fs/selinux/enforce", "1")
    machine.programs |= {"semanage"} if semanage else set()
    box = box_of(machine, cluster, tmp_path)
    carry_out(machine, of_machine(box), lambda line: None)
    labels = [line for line in machine.done if "container_file_t" in line or "restorecon" in line]
    if semanage:
        each = ("semanage fcontext -a -t container_file_t {}(/.*)?", "restorecon -R {}")
    else:
        each = ("chcon -R -t container_file_t {}",)
    assert labels == [line.format(path) for path in (MODELS, LENS_DIR) for line in each]
    assert "selinux: true" in machine.text(release.CONFIG_FILE)
    assert "profiles" not in read_state(machine), "the sandbox runs at level pod"
    executor = box.values["executor"]
    assert (executor["seccompProfile"], executor["appArmorProfile"]) == ("", "")


# ---------------------------------------------------------------- readiness


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
