"""Settings: one `atlas.conf` (KEY=value lines a shell can source), overridden by `ATLAS_<KEY>` variables.

The file is `$ATLAS_CONF`, else `./atlas.conf` if there is one; without a file the defaults stand.
Relative paths in the file are relative to the file, those in variables to the working directory.
Variables that begin with `ATLAS_TEST_` belong to the test suite and are not settings.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, field_validator

from atlas.errors import ConfigError
from atlas.thinking import ThinkingTags

Isolation = Literal["auto", "namespaces", "pod", "gvisor"]
KvType = Literal["f16", "q8_0", "q4_0"]

ENV_PREFIX = "ATLAS_"
ENV_CONF = "ATLAS_CONF"
ENV_NOT_SETTINGS = "ATLAS_TEST_"

# What a shell and python-dotenv read alike: no blanks around `=`; blanks and shell syntax only in quotes.
_SHELL_LINE = re.compile(
    r"""(export\s+)?[A-Za-z_]\w*=("[^"`\\]*"|'[^']*'|[^\s"'`\\;&|<>()#][^\s"'`\\;&|<>()]*)?(\s+\#.*)?""",
    re.VERBOSE,
)


class Settings(BaseModel):
    """Every setting, typed. The upper-case field name is the key in atlas.conf."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    model: str = "qwen2.5-coder-0.5b"
    model_path: Path | None = None
    draft_model: str | None = None
    data_dir: Path = Path("data")
    llama_server: Path | None = None
    gpu_device: Literal["none"] | NonNegativeInt = "none"
    context_tokens: int = Field(default=16_384, ge=1024)
    slots: int = Field(default=4, ge=1, le=64)
    kv_type: KvType = "f16"
    threads: int = Field(default=0, ge=0, description="0: half the cores, at least one")
    thinking_tags: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=1, le=65_530, description="gateway; the services use the next four")
    api_key: str | None = None
    redis_url: str | None = None
    llama_url: str | None = None
    executor_url: str | None = None
    sandbox_jobs: int = Field(default=0, ge=0, description="0: one per core")
    sandbox_isolation: Isolation = "auto"
    task_deadline_seconds: float = Field(default=1800, gt=0, le=86_400)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    watts: float | None = Field(default=None, gt=0, description="for runs whose energy no counter tells")
    price_per_kwh: float | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", min_length=1, max_length=10)

    @field_validator(
        "model_path",
        "draft_model",
        "llama_server",
        "api_key",
        "redis_url",
        "llama_url",
        "executor_url",
        "watts",
        "price_per_kwh",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("thinking_tags")
    @classmethod
    def _two_tags(cls, value: str) -> str:
        ThinkingTags.parse(value)
        return value

    @field_validator("llama_url")
    @classmethod
    def _distinct_servers(cls, value: str | None) -> str | None:
        urls = _listed(value)
        if value is not None and (not all(urls) or len(set(urls)) < len(urls)):
            raise ValueError("llama-servers' URLs between commas, each once")
        return value

    @property
    def llama_urls(self) -> tuple[str, ...]:
        """The llama-servers that LLAMA_URL names; none where the stack starts its own."""
        return _listed(self.llama_url)

    @property
    def total_slots(self) -> int:
        """Calls that all llama-servers together serve at once."""
        return self.slots * max(1, len(self.llama_urls))

    @property
    def draft_path(self) -> Path | None:
        """The file that DRAFT_MODEL names; None where it names a model of the catalogue, or nothing."""
        draft = self.draft_model
        return Path(draft) if draft is not None and draft.endswith(".gguf") else None

    @property
    def generation_threads(self) -> int:
        """CPU threads for generation: one per physical pair of cores unless set (more only spin)."""
        return self.threads or max(1, (os.cpu_count() or 2) // 2)

    @property
    def execution_jobs(self) -> int:
        """Programs the sandbox runs at once."""
        return self.sandbox_jobs or os.cpu_count() or 1

    @property
    def run_dir(self) -> Path:
        """Where sockets, the Redis files and logs of the embedded stack live."""
        return self.data_dir / "run"

    def service_port(self, service: str) -> int:
        """Port of one service's app: gateway first, then planner, lens, sandbox, repair."""
        return self.port + ("gateway", "planner", "lens", "sandbox", "repair").index(service)

    def as_environment(self) -> dict[str, str]:
        """Return the variables from which `load` makes these settings again, in any directory."""
        values = {key: getattr(self, key) for key in type(self).model_fields}
        return {
            f"{ENV_PREFIX}{key.upper()}": "" if value is None else str(value) for key, value in values.items()
        }

    def service_host(self, service: str) -> str:
        """Address that one service's app listens on; only the gateway's reaches beyond this machine."""
        return self.host if service == "gateway" else "127.0.0.1"

    def service_url(self, service: str) -> str:
        """Where programs on this machine reach one service's app."""
        host = self.service_host(service)
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.service_port(service)}"

    @property
    def gateway_url(self) -> str:
        """Where clients on this machine reach the gateway."""
        return self.service_url("gateway")


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: naming the key and the line (or variable) of the first thing wrong.
    """
    environ = os.environ if environ is None else environ
    path = _file(environ) if path is None else path
    values: dict[str, str] = {}
    origin: dict[str, str] = {}
    base = Path.cwd()
    if path is not None:
        base = path.resolve().parent
        _read_file(path, values, origin)
    from_variables = _variables(environ)
    for key, value in from_variables.items():
        values[key], origin[key] = value, f"environment variable {ENV_PREFIX}{key.upper()}"
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigError(_unknown(key, origin[key]))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        message = f"{origin.get(key, 'default')}: {key.upper()}={values.get(key)!r}: {first['msg']}"
        raise ConfigError(message) from error

    def absolute(key: str, value: Path) -> Path:
        return _absolute(Path.cwd() if key in from_variables else base, value)

    return settings.model_copy(
        update={
            "data_dir": absolute("data_dir", settings.data_dir),
            "model_path": settings.model_path and absolute("model_path", settings.model_path),
            "draft_model": str(absolute("draft_model", settings.draft_path))
            if settings.draft_path
            else settings.draft_model,
            "llama_server": settings.llama_server and absolute("llama_server", settings.llama_server),
        }
    )


def _file(environ: Mapping[str, str]) -> Path | None:
    if environ.get(ENV_CONF):
        path = Path(environ[ENV_CONF])
        if not path.is_file():
            raise ConfigError(f"{ENV_CONF} names {path}, which is not a file")
        return path
    return Path("atlas.conf") if Path("atlas.conf").is_file() else None


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name[len(ENV_PREFIX) :].lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX) and name != ENV_CONF and not name.startswith(ENV_NOT_SETTINGS)
    }


def _read_file(path: Path, values: dict[str, str], origin: dict[str, str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    for binding in parse_stream(io.StringIO(text)):
        string = binding.original.string
        # A binding begins with the blank lines before it.
        where = (
            f"{path} line {binding.original.line + string[: -len(string.lstrip()) or None].count(chr(10))}"
        )
        if binding.key is None and not binding.error:
            continue  # a comment
        if binding.error or not _SHELL_LINE.fullmatch(string.strip()):
            raise ConfigError(
                f"{where}: not a KEY=value line a shell can read: {string.strip()!r} "
                "(no blanks around =, quotes around a value with blanks or any of ;&|<>())"
            )
        key, value = str(binding.key).lower(), binding.value or ""
        if key in values:
            raise ConfigError(f"{where}: {binding.key} is set twice (first: {origin[key]})")
        literal = f"='{value}'" in string  # single quotes: as in a shell, nothing is expanded
        values[key], origin[key] = value if literal else os.path.expandvars(value), where


def _unknown(key: str, where: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    hint = f"; did you mean {near[0].upper()}?" if near else "; see atlas.conf.example for the keys"
    return f"{where}: unknown key {key.upper()}{hint}"


def _listed(urls: str | None) -> tuple[str, ...]:
    return () if urls is None else tuple(url.strip().rstrip("/") for url in urls.split(","))


def _absolute(base: Path, path: Path) -> Path:
    path = path.expanduser()
    return path if path.is_absolute() else base / path
