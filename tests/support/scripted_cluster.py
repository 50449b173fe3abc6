"""A Kubernetes API that answers the few calls of `benchmark.k8s` from a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubernetes import client

from benchmark.k8s.api import Cluster

NAMESPACE = "bench"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
Object = dict[str, Any]


@dataclass
class ScriptedCluster:
    """`pods` are the answers to the list calls, one each, the last for good; None: there is no pod.

    `logs` are the answers to the log calls, the last for good. `conditions` are those of every Job. The first
    `away` questions about a Job's pods are answered with 503. `refusal` is the answer to the creation of a
    Job: a status and a message.
    """

    pods: list[Object | None]
    logs: list[str] = field(default_factory=lambda: [""])
    conditions: list[Object] = field(default_factory=list)
    warnings: list[Object] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    away: int = 0
    jobs: dict[str, Object] = field(default_factory=dict)
    secrets: list[Object] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Object) -> tuple[int, Object | str]:
        """The status and the body of the answer to a call."""
        name = path.removeprefix(JOBS + "/")
        if (method, path) == ("POST", JOBS):
            return self._create(body)
        if (method, path) == ("POST", f"{CORE}/secrets"):
            self.secrets.append(body)
            return 201, body
        if method == "DELETE" and name in self.jobs:
            del self.jobs[name]
            self.deleted.append(name)
            self.conditions = []
            return 200, {"kind": "Status", "status": "Success"}
        if path.startswith(JOBS):
            found = self.jobs.get(name)
            return (
                (200, found | {"status": {"conditions": self.conditions}})
                if found
                else _no(404, "no such job")
            )
        if path == f"{CORE}/pods" and self.away:
            self.away -= 1
            return _no(503, "away")
        if path == f"{CORE}/pods":
            return 200, {"kind": "PodList", "items": [pod for pod in [_next(self.pods)] if pod]}
        if path == f"{CORE}/events":
            return 200, {"kind": "EventList", "items": self.warnings}
        if path.endswith("/log"):
            return 200, _next(self.logs)
        return _no(404, path)

    def _create(self, body: Object) -> tuple[int, Object]:
        name = body["metadata"]["name"]
        if self.refusal is not None:
            return _no(*self.refusal)
        if name in self.jobs:
            return _no(409, f'jobs.batch "{name}" already exists')
        self.jobs[name] = body | {"metadata": body["metadata"] | {"uid": "u-1"}}
        return 201, self.jobs[name]

    @contextmanager
    def reached(self) -> Iterator[Cluster]:
        """Serve and give the client of it."""

        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                status, value = answer(self.command, self.path.partition("?")[0], body)
                sent = value if isinstance(value, str) else json.dumps(value)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if value is sent else "application/json")
                self.send_header("Content-Length", str(len(sent.encode())))
                self.end_headers()
                self.wfile.write(sent.encode())

            do_GET = do_POST = do_DELETE = respond  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            settings = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
            try:
                with client.ApiClient(settings) as api:
                    yield Cluster(api, NAMESPACE)
            finally:
                server.shutdown()
                thread.join()


def pod(state: Object, *, restarts: int = 0, last: Object | None = None, conditions: Any = ()) -> Object:
    """A pod whose runner is in `state`."""
    runner = {"name": "runner", "image": "atlas", "imageID": "", "ready": True, "restartCount": restarts}
    return {
        "metadata": {"name": "the-pod", "uid": "p-1", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "runner"}]},
        "status": {
            "containerStatuses": [runner | {"state": state, "lastState": last or {}}] if state else [],
            "conditions": list(conditions),
        },
    }


def ended(code: int, message: str | None = None, reason: str = "Completed") -> Object:
    """The state of a container that has ended."""
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


RUNNING: Object = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def _next(answers: list[Any]) -> Any:
    return answers.pop(0) if len(answers) > 1 else answers[0]


def _no(status: int, message: str) -> tuple[int, Object]:
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}
