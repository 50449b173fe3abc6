"""What every service's FastAPI app has: settings, health, readiness, metrics, errors, a background worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from atlas.cancellation import cancel
from atlas.config import Settings, load
from atlas.errors import ConfigError
from atlas.journal import Journal
from atlas.llama import LlamaClient
from atlas.llama_fleet import LlamaFleet, connect_model
from atlas.problem_json import add_errors, problem
from atlas.redis_client import connect
from atlas.thinking import ThinkingTags

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable["str | None"]]
# True in the scope of a request whose caller is nobody known, and may not see inner addresses.
STRANGER = "atlas.stranger"


@dataclass
class Runtime:
    """What a running service holds; `checks` say None when fine, else what is not.

    `facts` are shown by its `/readyz` to whoever may see them.
    """

    settings: Settings
    stack: AsyncExitStack
    checks: dict[str, Check] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    _journal: Journal | None = None

    async def journal(self) -> Journal:
        """Connect to the journal (once).

        Raises:
            ConfigError: if REDIS_URL is not set.
        """
        if self._journal is None:
            redis = connect(required(self.settings.redis_url, "REDIS_URL"))
            self.stack.push_async_callback(redis.aclose)
            self._journal = Journal(redis)
            self.checks["redis"] = self._ping
        return self._journal

    async def problems(self) -> dict[str, str]:
        """Return what keeps the service from its work, by the part that is missing."""
        return {key: problem for key, check in self.checks.items() if (problem := await check())}

    async def _ping(self) -> str | None:
        try:
            await asyncio.wait_for((await self.journal()).redis.ping(), 3)
        except (RedisError, asyncio.TimeoutError) as error:
            return f"Redis cannot be reached: {type(error).__name__}"
        return None

    def model_server(self) -> LlamaClient | LlamaFleet:
        """Connect to llama-server, or to all of them; readiness tells when none can take calls.

        Raises:
            ConfigError: if LLAMA_URL is not set.
        """
        required(self.settings.llama_url, "LLAMA_URL")
        tags = ThinkingTags.parse(self.settings.thinking_tags)
        server = connect_model(self.settings.llama_urls, tags)
        self.stack.push_async_callback(server.aclose)
        self.checks["llama-server"] = server.ready
        return server

    def background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until the service stops; readiness tells if it died."""
        task = asyncio.ensure_future(work())

        async def alive() -> str | None:
            return f"{name} has stopped; see the log" if task.done() else None

        async def stop() -> None:
            await cancel(task)

        def report(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()):
                log.error("%s died", name, exc_info=error)

        task.add_done_callback(report)
        self.checks[name] = alive
        self.stack.push_async_callback(stop)


Setup = Callable[[FastAPI, Runtime], Awaitable[None]]


def required(value: str | None, key: str) -> str:
    """Return a setting that this service cannot do without.

    Raises:
        ConfigError: naming the key and the two ways to set it.
    """
    if value is None:
        raise ConfigError(f"{key} is not set: set it in atlas.conf or as ATLAS_{key}, or run `atlas up`")
    return value


def create_service(name: str, setup: Setup, settings: Settings | None) -> FastAPI:
    """Return the service's app. Without `settings` they are read when the app starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.runtime = Runtime(settings or load(), stack)
            await setup(app, app.state.runtime)
            yield

    app = FastAPI(title=f"ATLAS {name}", lifespan=lifespan)
    add_errors(app)

    @app.exception_handler(RedisError)
    async def redis_error(_: Request, error: RedisError) -> JSONResponse:
        log.error("Redis failed: %s", error)
        return problem(503, "Infrastructure failure", "the journal cannot be reached; try again shortly")

    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """Answer as long as the process serves requests."""
        return {"status": "ok", "service": name}

    @app.get("/readyz", tags=["health"])
    async def readyz(request: Request) -> JSONResponse:
        """503 with the reasons while something the service needs is missing."""
        runtime: Runtime = request.app.state.runtime
        problems = await runtime.problems()
        body: dict[str, object] = {"status": "unready" if problems else "ready", "service": name}
        if not request.scope.get(STRANGER):
            body |= {"problems": problems, **runtime.facts}
        return JSONResponse(body, status_code=503 if problems else 200)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """Return Prometheus metrics of this process."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app
