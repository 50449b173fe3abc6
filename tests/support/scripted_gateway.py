"""A gateway whose model is a script: what each problem's title gets. Serves httpx mocks and real sockets.

It keeps its tasks while its clients come and go, and says how many it began: a runner that submits twice
what it should submit once is found out here.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from atlas.api import CommandFailure, SubmitRequest, TaskView
from atlas.contracts import Usage
from atlas.events import Entry, Pins, TaskCancelled, TaskSubmitted
from atlas.model_facts import ModelFacts
from atlas.policy import POLICIES, Policy

RIGHT = "print(1)"
BROKEN = CommandFailure(
    command="execute:c0", reason="handler_error", detail="no executor", infrastructure=True
)


def ended(program: str | None = RIGHT, **more: object) -> dict[str, object]:
    """How a task ends: the fields of its TaskView that differ from the usual."""
    status = "decided" if program is not None else "failed"
    return {"status": status, "program": program} | more


@dataclass
class Answer:
    """An HTTP answer; `parts` of a stream come one by one, and an exception among them breaks it off."""

    status: int
    parts: list[bytes | Exception]
    type: str = "application/json"


@dataclass
class ScriptedGateway:
    """`script[title]` lists how the first, second, … task of that problem ends (the last one for ever)."""

    script: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    model: str = "scripted"
    policies: list[Policy] = field(default_factory=lambda: list(POLICIES.values()))
    tasks: dict[str, tuple[SubmitRequest, TaskView, TaskSubmitted]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    # Called with ("before"|"after", method, path) around each request; may raise, may return an Answer.
    hook: Callable[[str, str, str], Answer | None] | None = None

    @property
    def began(self) -> dict[str, int]:
        """How many tasks were begun for each title."""
        titles = [request.problem.title for request, _, _ in self.tasks.values()]
        return {title: titles.count(title) for title in titles}

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer one request."""
        self.requests.append((method, path, headers))
        if self.hook and (instead := self.hook("before", method, path)):
            return instead
        answer = self._route(method, path, headers, body)
        if self.hook and (instead := self.hook("after", method, path)):
            return instead
        return answer

    def _route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = path.strip("/").split("/")
        if path == "/readyz":
            return _json({"status": "ready", "service": "gateway", "problems": {}})
        if path == "/v1/policies":
            return _json([policy.model_dump() for policy in self.policies])
        if path == "/v1/model":
            facts = ModelFacts(model=self.model, chat_template="", context_tokens=4096, slots=4, time=1.0)
            return _json(facts.model_dump(mode="json"))
        if (method, path) == ("POST", "/v1/tasks"):
            return self._submit(headers["idempotency-key"], body)
        if parts[2] not in self.tasks:
            return problem(404, f"no task '{parts[2]}'")
        _, view, submitted = self.tasks[parts[2]]
        last = parts[-1]
        if last == "cancel" and view.status == "running":
            view = view.model_copy(update={"status": "cancelled"})
            self.tasks[parts[2]] = (*self.tasks[parts[2]][:1], view, submitted)
        if last == "journal":
            return Answer(200, [_journal(submitted)], "application/jsonl")
        if last == "events":
            return Answer(200, list(_stream(submitted, headers)), "text/event-stream; charset=utf-8")
        return _json(view.model_dump(mode="json"))

    def _submit(self, key: str, body: bytes) -> Answer:
        self.bodies.append(body)
        self.keys.append(key)
        request = SubmitRequest.model_validate_json(body)
        task = hashlib.sha256(key.encode()).hexdigest()[:32]
        new = task not in self.tasks
        if new:
            endings = self.script.get(request.problem.title, [ended()])
            ending = endings[min(self.began.get(request.problem.title, 0), len(endings) - 1)]
            policy = request.policy if isinstance(request.policy, Policy) else POLICIES[str(request.policy)]
            usual = {
                "id": task,
                "status": "decided",
                "policy": policy.name,
                "model": self.model,
                "priority": "p1",
                "submitted_at": 1.0,
                "seconds": 2.0,
                "events": 5,
                "usage": Usage(tokens_in=100, tokens_out=10, tokens_cached=40),
                "model_s": 1.5,
                "executor_s": 0.4,
            }
            submitted = TaskSubmitted(
                problem=request.problem,
                policy=policy,
                pins=Pins(pipeline="1", prompts_sha256="0" * 64, model=self.model),
                deadline_s=60,
            )
            self.tasks[task] = (request, TaskView.model_validate(usual | ending), submitted)
        elif self.tasks[task][0] != request:
            return problem(409, "this Idempotency-Key was used with another problem; use a new key")
        return Answer(202 if new else 200, [self.tasks[task][1].model_dump_json().encode()])

    def transport(self) -> httpx.MockTransport:
        """Serve an httpx client in this process."""

        async def answer(request: httpx.Request) -> httpx.Response:
            got = self.handle(request.method, request.url.path, dict(request.headers), request.read())

            async def parts() -> AsyncIterator[bytes]:
                for part in got.parts:
                    if isinstance(part, Exception):
                        raise part
                    yield part

            return httpx.Response(got.status, headers={"content-type": got.type}, content=parts())

        return httpx.MockTransport(answer)

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on a socket; gives the URL."""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = gateway.handle(self.command, self.path, headers, self.rfile.read(length))
                self.send_response(got.status)
                self.send_header("content-type", got.type)
                self.end_headers()
                for part in got.parts:
                    assert isinstance(part, bytes)
                    self.wfile.write(part)

            do_GET = do_POST = do  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def problem(status: int, detail: str) -> Answer:
    """Return a problem+json answer."""
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail}
    return Answer(status, [json.dumps(body).encode()], "application/problem+json")


def _json(body: object) -> Answer:
    return Answer(200, [json.dumps(body).encode()])


def entries(submitted: TaskSubmitted) -> list[Entry]:
    """Two entries that stand for any journal."""
    return [Entry(seq=1, time=1.0, event=submitted), Entry(seq=2, time=3.0, event=TaskCancelled())]


def _journal(submitted: TaskSubmitted) -> bytes:
    return "".join(entry.model_dump_json() + "\n" for entry in entries(submitted)).encode()


def event(entry: Entry) -> bytes:
    """One server-sent event."""
    return f"id: {entry.seq}\r\nevent: {entry.event.type}\r\ndata: {entry.model_dump_json()}\r\n\r\n".encode()


def _stream(submitted: TaskSubmitted, headers: dict[str, str]) -> Iterator[bytes]:
    after = int(headers.get("last-event-id", 0))
    yield b": ping\r\n\r\n"
    for entry in entries(submitted):
        if entry.seq > after:
            yield event(entry)
