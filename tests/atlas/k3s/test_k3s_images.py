"""What an installation makes of images and models: which image is run, who may read which file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from atlas.errors import InfrastructureError, StartupError
from atlas.k3s import images, release
from atlas.k3s.cluster import Cluster
from atlas.k3s.install import carry_out
from atlas.k3s.plan import of_machine
from atlas.k3s.state import read_state
from atlas.k3s.values import LENS_DIR, merged
from tests.atlas.k3s.install_box import MODELS, asked_for, box_of, install
from tests.support.kube_api import KubeApi
from tests.support.recorded_machine import ROCKY, RecordedMachine


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
