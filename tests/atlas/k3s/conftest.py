"""A recorded machine and an API server to install on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.k3s import objects, release
from atlas.k3s.cluster import Cluster
from tests.atlas.k3s.install_box import MODEL, MODELS
from tests.support.kube_api import KubeApi, deployment, node
from tests.support.recorded_machine import RecordedMachine, good_box


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
