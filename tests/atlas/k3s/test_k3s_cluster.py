"""A cluster is reached as its kubeconfig says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from atlas.k3s.cluster import connect
from tests.support.kube_api import KubeApi, pod


def kubeconfig(directory: Path, server: str, user: dict[str, str]) -> Path:
    file = directory / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("user", "sent"), [({"token": "abc"}, "Bearer abc"), ({}, None)], ids=["a token", "nobody"]
)
def test_requests_and_commands_are_of_the_user(
    tmp_path: Path, user: dict[str, str], sent: str | None
) -> None:
    api = KubeApi(says={"true": "done"})
    api.put(pod("planner"))
    with api.served() as url, closing(connect(kubeconfig(tmp_path, url, user))) as cluster:
        assert cluster.items("/api/v1/namespaces/atlas/pods")
        assert cluster.execute("atlas", "atlas-planner-1", "planner", ["true"]) == "done"
    assert api.authorizations == {sent}
