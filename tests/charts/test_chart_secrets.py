"""Secrets are generated once: what a cluster holds stays over upgrades. The cluster is a small fake API."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import helm_python as helm
import pytest

from atlas.api_keys import PREFIX
from benchmark.k8s.job import API_KEY_FIELD
from tests.charts.rendered_chart import NAMESPACE, RELEASE, Object, chart, objects, of_kind, one, pods, render

DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": "secrets",
                "singularName": "secret",
                "namespaced": True,
                "kind": "Secret",
                "verbs": ["get", "list"],
            }
        ],
    },
}


class Cluster(ThreadingHTTPServer):
    """Holds Secrets of one namespace and answers GET."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.secrets: dict[str, Object] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def apply(self, made: list[Object]) -> None:
        """Keep the Secrets as the API server would: `stringData` becomes `data`."""
        for name, secret in of_kind(made, "Secret").items():
            fields = {
                key: base64.b64encode(value.encode()).decode() for key, value in secret["stringData"].items()
            }
            self.secrets[name] = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "data": fields,
            }

    def answer(self, path: str) -> Object | None:
        self.asked.append(path)
        directory, _, name = path.rpartition("/")
        if directory == f"/api/v1/namespaces/{NAMESPACE}/secrets":
            return self.secrets.get(name)
        return DISCOVERY.get(path)


class Answers(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        found = self.server.answer(urlsplit(self.path).path)
        missing = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "NotFound",
            "code": 404,
        }
        body = json.dumps(missing if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base
        """Keep quiet."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = Cluster()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def rendered_in(cluster: Cluster, values: Object | None = None, **how: bool) -> list[Object]:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    with helm.Config(
        kubeconfig_content=json.dumps(kubeconfig), namespace=NAMESPACE, storage_driver="memory"
    ) as config:
        return objects(config.render(chart(), values or {}, name=RELEASE, namespace=NAMESPACE, **how))


def data(made: list[Object], name: str) -> dict[str, str]:
    found: dict[str, str] = one(made, "Secret", name)["stringData"]
    return found


def test_an_upgrade_keeps_what_the_installation_made(cluster: Cluster) -> None:
    first = rendered_in(cluster, is_install=True)
    cluster.apply(first)
    second = rendered_in(cluster, {"logLevel": "debug"}, is_upgrade=True, is_install=False)
    assert of_kind(second, "Secret") == of_kind(first, "Secret")
    assert f"/api/v1/namespaces/{NAMESPACE}/secrets/atlas-redis" in cluster.asked


def test_another_installation_makes_others(cluster: Cluster) -> None:
    first, second = rendered_in(cluster), rendered_in(cluster)
    assert data(first, "atlas-api-key") != data(second, "atlas-api-key")
    assert data(first, "atlas-redis") != data(second, "atlas-redis")


def test_a_field_that_is_missing_is_made_and_the_others_stay(cluster: Cluster) -> None:
    cluster.apply(rendered_in(cluster))
    before = cluster.secrets["atlas-redis"]["data"].pop("url")
    after = data(rendered_in(cluster), "atlas-redis")["url"]
    assert after == base64.b64decode(before).decode()


def test_what_is_generated_cannot_be_guessed_and_needs_no_escaping() -> None:
    key = data(render(), "atlas-api-key")[API_KEY_FIELD]
    password = data(render(), "atlas-redis")["password"]
    assert key.startswith(PREFIX)
    for secret in (key.removeprefix(PREFIX), password):
        assert len(secret) == 43  # of 62 letters and digits: 256 bits
        assert secret.isalnum()


def test_the_parts_of_redis_secret_agree() -> None:
    secret = data(render(), "atlas-redis")
    assert secret["auth.conf"] == f"requirepass {secret['password']}\n"
    assert secret["url"] == f"redis://:{secret['password']}@atlas-redis:6379/0"


def test_they_outlive_the_release() -> None:
    for secret in of_kind(render(), "Secret").values():
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_secrets_of_yours_are_taken_instead() -> None:
    made = render({"apiKey": {"existingSecret": "my-key"}, "redis": {"existingSecret": "my-redis"}})
    assert not of_kind(made, "Secret")
    text = json.dumps([pod.spec for pod in pods(made).values()])
    assert '"my-key"' in text
    assert '"my-redis"' in text
    assert "atlas-api-key" not in text
    assert '"secretName": "atlas-redis"' not in text


def test_an_external_redis_is_known_by_its_url_alone() -> None:
    url = "rediss://:a-secret@10.1.2.3:6380/0"
    external = {"enabled": True, "url": url, "port": 6380, "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}
    made = render({"redis": {"external": external}})
    assert data(made, "atlas-redis") == {"url": url}
    assert not of_kind(made, "StatefulSet")
    assert "a-secret" not in json.dumps([each for each in made if each["kind"] != "Secret"])
