"""A typed client of the gateway's REST API that outlives a restart of the gateway.

Every call is safe to repeat (submissions carry an idempotency key), so a gateway that is away, loading or
busy is asked again, with growing pauses, until `patience_s` has passed without an answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse
from pydantic import BaseModel, TypeAdapter, ValidationError

from atlas.api import DeadLetter, DeadLetterList, StackStatus, SubmitRequest, TaskList, TaskView
from atlas.errors import BadInput, Conflict, InfrastructureError, NotFound, StartupError
from atlas.events import CLOSING, Entry, Pins, TaskSubmitted
from atlas.model_facts import ModelFacts
from atlas.policy import Policy

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

PATIENCE_S = 120.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
PROBE_S = 5.0
SILENCE_S = 45.0  # the gateway's event streams are never silent for longer than its 15 s pings
PAUSE_FIRST_S = 0.1
PAUSE_MOST_S = 2.0
ASK_AGAIN = (429, 502, 503, 504)
REFUSALS = (400, 404, 413, 422)
ID_CHARS = 32
ID_BEGINNING = re.compile(r"[0-9a-f]{1,32}")
KEY_ADVICE = "atlas sends the key it finds in the variable ATLAS_API_KEY, or as API_KEY in atlas.conf"
CLOSING_TYPES = frozenset(event.__name__ for event in CLOSING)
POLICIES = TypeAdapter(list[Policy])


class GatewayUnreachable(InfrastructureError):
    """The gateway gave no usable answer for as long as we had patience. What was submitted goes on there."""

    title = "No gateway"


class GatewayRefused(InfrastructureError):
    """The gateway answered, and the answer was no (or nothing this client understands)."""

    title = "Gateway failure"


class RequestRefused(GatewayRefused, BadInput):
    """The gateway cannot serve what was asked for: there is no such thing, or it is not well formed."""

    title = "Refused"


class KeyWanted(GatewayRefused):
    """The gateway wants an API key, or does not know the one that was sent."""

    title = "No access"


@dataclass(frozen=True)
class Readiness:
    """What /readyz says at this moment."""

    state: Literal["ready", "unready", "absent"]
    detail: str = ""


class Gateway:
    """An async context manager: `async with Gateway(url) as gateway: await gateway.get(task)`.

    Raises:
        GatewayUnreachable: from every method but `readiness`, once patience is exhausted.
        GatewayRefused: from every method, when the gateway answers with an error.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience_s: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise BadInput(f"{url!r} is not the URL of a gateway: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadInput(f"{url!r} is not the URL of a gateway; it looks like http://127.0.0.1:8400")
        self.url = url.rstrip("/")
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        loopback = parsed.host in ("127.0.0.1", "localhost", "::1")  # never by way of a proxy
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=TIMEOUT, transport=transport, trust_env=not loopback
        )

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def readiness(self) -> Readiness:
        """Ask once whether the gateway can take tasks.

        Raises:
            StartupError: if what answers there is not an ATLAS gateway.
        """
        try:
            answer = await self._http.get("/readyz", timeout=PROBE_S)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Readiness("absent", _name(error))
        except httpx.RequestError as error:  # something listens there: it may be starting
            return Readiness("unready", _name(error))
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or body.get("service") != "gateway":
            raise StartupError(
                f"what answers at {self.url} is not an ATLAS gateway (/readyz: {answer.status_code}); "
                "choose another with --target, or another PORT in atlas.conf"
            )
        if answer.status_code == 200:
            return Readiness("ready")
        problems = body.get("problems")
        return Readiness("unready", "; ".join(map(str, (problems or {"": answer.status_code}).values())))

    async def policies(self) -> list[Policy]:
        """Return the policies that can be asked for by name."""
        answer = await self._request("GET", "/v1/policies")
        try:
            return POLICIES.validate_json(answer.content)
        except ValidationError as error:
            raise _unreadable("a list of policies", error) from error

    async def submit(self, request: SubmitRequest, key: str) -> tuple[TaskView, bool]:
        """Begin a task, or find the one this idempotency key began; True if this call began it.

        Raises:
            Conflict: if the key began a task with another problem or policy.
        """
        answer = await self._request(
            "POST", "/v1/tasks", content=request.model_dump_json(), headers={"Idempotency-Key": key}
        )
        return _parsed(TaskView, answer), answer.status_code == 202

    async def get(self, task: str) -> TaskView:
        """Return a task as it is now."""
        return _parsed(TaskView, await self._request("GET", f"/v1/tasks/{task}"))

    async def cancel(self, task: str) -> TaskView:
        """End a task; one that has ended stays as it is."""
        return _parsed(TaskView, await self._request("POST", f"/v1/tasks/{task}/cancel"))

    async def tasks(self, limit: int = 20, before: float | None = None) -> TaskList:
        """Return at most `limit` (1 to 200) tasks, newest first; `before`: `next_before` of the last page."""
        page = f"?limit={limit}" + (f"&before={before!r}" if before is not None else "")
        return _parsed(TaskList, await self._request("GET", f"/v1/tasks{page}"))

    async def find(self, beginning: str) -> str:
        """Return the id of the one task whose id begins so, looked for among all tasks.

        Raises:
            NotFound: there is none.
            BadInput: there are several, or this is not the beginning of an id.
        """
        if not ID_BEGINNING.fullmatch(beginning):
            raise BadInput(f"{beginning!r} is not the beginning of a task's id; `atlas tasks` lists them")
        if len(beginning) == ID_CHARS:
            return beginning
        found: list[str] = []
        before: float | None = None
        while len(found) < 2:
            page = await self.tasks(200, before)
            found += [task.id for task in page.tasks if task.id.startswith(beginning)]
            if (before := page.next_before) is None:
                break
        if not found:
            raise NotFound(f"no task's id begins with {beginning}; `atlas tasks` lists them")
        if len(found) > 1:
            raise BadInput(f"more than one task's id begins with {beginning}: {found[0]}, {found[1]}")
        return found[0]

    async def journal(self, task: str) -> str:
        """Return a task's journal as it is now, as JSON lines."""
        return (await self._request("GET", f"/v1/tasks/{task}/journal")).text

    async def entries(self, task: str) -> list[Entry]:
        """Return a task's journal as it is now."""
        return [_entry(line) for line in (await self.journal(task)).splitlines()]

    async def pins(self, task: str) -> Pins:
        """Return what the task was pinned to when it was submitted: model, prompts, pipeline, weights."""
        event = _entry((await self.journal(task)).partition("\n")[0]).event
        if not isinstance(event, TaskSubmitted):
            raise GatewayRefused(f"the journal of {task} begins with {event.type}, not with TaskSubmitted")
        return event.pins

    async def status(self) -> StackStatus:
        """Return the state of the whole stack as the gateway sees it."""
        return _parsed(StackStatus, await self._request("GET", "/v1/status"))

    async def model_facts(self) -> ModelFacts:
        """Return what the stack's model server says of its model."""
        return _parsed(ModelFacts, await self._request("GET", "/v1/model"))

    async def dead_letters(self) -> DeadLetterList:
        """Return all commands that were given up, oldest first."""
        letters: list[DeadLetter] = []
        after = ""
        while True:
            page = _parsed(DeadLetterList, await self._request("GET", f"/v1/dead-letters{after}"))
            letters += page.letters
            if page.next_after is None:
                return DeadLetterList(letters=tuple(letters))
            after = f"?after={quote(page.next_after)}"

    async def dead_letter(self, letter: str) -> DeadLetter:
        """Return one of them."""
        return _parsed(DeadLetter, await self._request("GET", f"/v1/dead-letters/{quote(letter, safe='')}"))

    async def retry_letter(self, letter: str) -> TaskView:
        """Submit the letter's problem again, as a new task, and drop the letter."""
        return _parsed(
            TaskView, await self._request("POST", f"/v1/dead-letters/{quote(letter, safe='')}/retry")
        )

    async def drop_letter(self, letter: str) -> None:
        """Forget a letter; its task stays as it is."""
        await self._request("DELETE", f"/v1/dead-letters/{quote(letter, safe='')}")

    async def wait(self, task: str, heard: Callable[[Entry], object] | None = None) -> TaskView:
        """Return the task once it has ended; `heard` is told of each event as it comes, once and in order.

        Follows its events; a broken stream is taken up after the last event seen, and where there is no
        stream to be had, this asks for the task every two seconds.
        """
        position, pause = 0, PAUSE_FIRST_S
        while True:
            before = position
            try:
                async with aclosing(self._events(task, position)) as events:
                    async for message in events:
                        if heard is not None and int(message.id) > position:
                            heard(_entry(message.data))
                        position = int(message.id)
                        if message.event in CLOSING_TYPES:
                            break
            except (httpx.RequestError, SSEError) as error:
                log.debug("events of %s broke off after %d: %s", task, position, _name(error))
            view = await self.get(task)
            if view.status != "running":
                return view
            pause = PAUSE_FIRST_S if position > before else min(pause * 2, PAUSE_MOST_S)
            await asyncio.sleep(pause)

    async def _events(self, task: str, after: int) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events after `after` (each with a whole number as its id), until the stream ends."""
        headers = {"Last-Event-ID": str(after)} if after else {}
        timeout = httpx.Timeout(TIMEOUT.connect, read=SILENCE_S)
        path = f"/v1/tasks/{task}/events"
        async with aconnect_sse(self._http, "GET", path, headers=headers, timeout=timeout) as source:
            if source.response.status_code != 200:
                return
            async with aclosing(source.aiter_sse()) as messages:
                async for message in messages:
                    if message.id.isdigit():
                        yield message

    async def _request(
        self, method: str, path: str, *, content: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        headers = dict(headers or {}) | ({"Content-Type": "application/json"} if content else {})
        deadline = time.monotonic() + self._patience_s
        pause = PAUSE_FIRST_S
        while True:
            try:
                answer = await self._http.request(method, path, content=content, headers=headers)
            except httpx.RequestError as error:
                trouble = _name(error)
            else:
                if answer.status_code not in ASK_AGAIN:
                    return _accepted(answer)
                trouble = f"it answers {_detail(answer)}"
            if time.monotonic() + pause > deadline:
                raise GatewayUnreachable(
                    f"the gateway at {self.url} has not served {method} {path} "
                    f"for {self._patience_s:.0f} s: {trouble}"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MOST_S)


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    if answer.status_code == 401:
        raise KeyWanted(f"{_detail(answer)}. {KEY_ADVICE}")
    if answer.status_code == 409:
        raise Conflict(_detail(answer))
    kind = RequestRefused if answer.status_code in REFUSALS else GatewayRefused
    raise kind(f"{answer.request.method} {answer.request.url.path}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    """The reason in a problem+json answer, else the beginning of whatever came."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    text = body.get("detail") if isinstance(body, dict) else None
    return f"{answer.status_code}: {text or answer.text[:200] or answer.reason_phrase}"


def _entry(line: str) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except ValidationError as error:
        raise _unreadable("a journal", error) from error


def _parsed(model: type[Model], answer: httpx.Response) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise _unreadable(f"a {model.__name__}", error) from error


def _unreadable(what: str, error: ValidationError) -> GatewayRefused:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return GatewayRefused(f"the gateway's answer is not {what} (another version?): {where}: {first['msg']}")


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
