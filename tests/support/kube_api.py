"""A Kubernetes API server that keeps objects by path, and answers commands in pods over WebSocket."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml  # type: ignore[import-untyped]
from kubernetes import client

from atlas.k3s.cluster import Cluster, collection

Object = dict[str, Any]
LISTS = {"nodes", "pods", "services", "endpoints", "deployments", "statefulsets", "jobs", "configmaps"}
LISTS |= {"serviceaccounts", "networkpolicies", "poddisruptionbudgets", "secrets"}
HELM_CHART = "/apis/helm.cattle.io/v1/namespaces/kube-system/helmcharts/atlas"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


@dataclass
class KubeApi:
    """`objects` by path; `says`: what commands print, by a piece of their words; `refusal`: of all writes.

    `helm_charts`: it has K3s's controller; `helm_works`: which marks what has pods as the chart would.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    refusal: tuple[int, str] | None = None
    written: list[str] = field(default_factory=list)
    executed: list[tuple[str, str, list[str]]] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    helm_charts: bool = True
    helm_works: bool = True

    def put(self, *several: Object) -> None:
        for each in several:
            self.objects[f"{collection(each)}/{each['metadata']['name']}"] = each

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> tuple[int, Object]:
        if method != "GET" and self.refusal is not None:
            return _no(*self.refusal)
        if method != "GET":
            self.written.append(f"{method} {path}")
            return self.write(method, path, body)
        if path == "/version":
            return 200, {"gitVersion": "v1.34.1+k3s1"}
        if path == "/apis/helm.cattle.io/v1":
            return (200, {"kind": "APIResourceList"}) if self.helm_charts else _no(404, "no such group")
        if path in self.objects:
            return 200, self.objects[path]
        if path.rpartition("/")[2] in LISTS:
            items = [each for at, each in self.objects.items() if at.rpartition("/")[0] == path]
            wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
            labelled = [
                each for each in items if wanted.items() <= (each["metadata"].get("labels") or {}).items()
            ]
            return 200, {"items": labelled}
        return _no(404, f"{path} not found")

    def write(self, method: str, path: str, body: Object) -> tuple[int, Object]:
        if method == "DELETE":
            there = self.objects.pop(path, None)
            return (200, {"kind": "Status"}) if there else _no(404, f"{path} not found")
        if method == "POST":
            self.objects[f"{path}/{body['metadata']['name']}"] = body
            return 201, body
        self.objects[path] = body
        if path == HELM_CHART and self.helm_works:
            self.install(body)
        return 200, body

    def install(self, chart: Object) -> None:
        mark = {"atlas/installation": yaml.safe_load(chart["spec"]["valuesContent"])["installation"]}
        for path, each in self.objects.items():
            if path.startswith("/apis/apps/v1/"):
                each["metadata"]["annotations"] = mark

    def printed(self, pod: str, container: str, command: list[str]) -> str:
        self.executed.append((pod, container, command))
        words = " ".join(command)
        return next((text for piece, text in self.says.items() if piece in words), "")

    @contextmanager
    def reached(self) -> Iterator[Cluster]:
        """Serve and give the client of it."""
        with self.served() as url:
            cluster = Cluster(client.Configuration(host=url))
            try:
                yield cluster
            finally:
                cluster.close()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve and give the URL."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                url = urlsplit(self.path)
                api.authorizations.add(self.headers["Authorization"])
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                if url.path.endswith("/exec"):
                    self.execute(url.path, parse_qs(url.query))
                    return
                status, value = api.answer(self.command, url.path, parse_qs(url.query), body)
                sent = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def execute(self, path: str, query: dict[str, list[str]]) -> None:
                text = api.printed(path.split("/")[-2], query["container"][0], query["command"])
                key = self.headers["Sec-WebSocket-Key"] + GUID
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
                self.send_header("Sec-WebSocket-Accept", accept)
                self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
                self.end_headers()
                self._frame(2, b"\x01" + text.encode())  # standard output
                self._frame(2, b"\x03" + json.dumps(_ended(api.exit_code)).encode())
                self._frame(8, struct.pack("!H", 1000))
                self.close_connection = True

            def _frame(self, opcode: int, payload: bytes) -> None:
                size = len(payload)
                head = (
                    struct.pack("!BB", 0x80 | opcode, size)
                    if size < 126
                    else struct.pack("!BBH", 0x80 | opcode, 126, size)
                )
                self.wfile.write(head + payload)

            do_GET = do_POST = do_DELETE = do_PATCH = respond  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


def deployment(name: str, *, ready: bool = True, namespace: str = "atlas") -> Object:
    status = {"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": int(ready)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"atlas-{name}",
            "namespace": namespace,
            "generation": 1,
            "labels": {"app.kubernetes.io/name": "atlas"},
        },
        "spec": {"replicas": 1},
        "status": status,
    }


def pod(component: str, *, waiting: Object | None = None, namespace: str = "atlas") -> Object:
    labels = {"app.kubernetes.io/name": "atlas", "app.kubernetes.io/component": component}
    state = {"waiting": waiting} if waiting else {"running": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"atlas-{component}-1", "namespace": namespace, "labels": labels},
        "status": {"phase": "Running", "containerStatuses": [{"name": component, "state": state}]},
    }


def node(*, ready: bool = True, gpus: int = 1) -> Object:
    condition = {"type": "Ready", "status": "True" if ready else "False", "message": "kubelet is not posting"}
    return {
        "metadata": {"name": "box"},
        "status": {
            "conditions": [condition],
            "allocatable": {"nvidia.com/gpu": str(gpus)} if gpus else {},
            "nodeInfo": {"kubeletVersion": "v1.36.5+k3s1"},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
        },
    }


def _ended(code: int) -> Object:
    if not code:
        return {"status": "Success"}
    cause = {"reason": "ExitCode", "message": str(code)}
    return {"status": "Failure", "message": "it failed", "details": {"causes": [cause]}}


def _no(status: int, message: str) -> tuple[int, Object]:
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}
