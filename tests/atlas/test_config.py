"""Every key of atlas.conf: that it exists, is documented, can be set both ways, and steers what it says."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from atlas import models
from atlas.client import Gateway
from atlas.config import Settings, load
from atlas.embedded import executor_server, llama_flags, llama_server
from atlas.embedded.stack import Children
from atlas.errors import ConfigError
from atlas.models import ModelFile
from atlas.thinking import ThinkingTags
from benchmark import cost, energy

EXAMPLE = Path(__file__).parents[2] / "atlas.conf.example"
MODEL = ModelFile(Path("/nowhere/m.gguf"), "0" * 64, "m")
KEYS = [name.upper() for name in Settings.model_fields]


def argument(settings: Settings, flag: str) -> str:
    command = llama_flags.flags(settings, MODEL)
    return command[command.index(flag) + 1]


def drafting_flags(settings: Settings) -> list[str]:
    """The end of llama-server's command line, where DRAFT_MODEL is a file that is there."""
    return llama_flags.flags(settings, replace(MODEL, draft=settings.draft_path))[-3:]


def kv_type_flags(settings: Settings) -> set[str]:
    """What llama-server is told of the cache, for the model and for its draft model."""
    command = llama_flags.flags(settings, replace(MODEL, draft=Path("/d.gguf")))
    flags = ["--cache-type-k", "--cache-type-v", "--spec-draft-type-k", "--spec-draft-type-v"]
    return {command[command.index(flag) + 1] for flag in flags}


async def embedded(settings: Settings) -> set[str]:
    """Names of the servers a stack would start."""
    return {part.name for part in await Children(settings, MODEL)._wanted()}


def resolved_name(settings: Settings) -> str:
    return str(models.models_dir_of(settings) / models.named(settings.model).file)


# key: (value as written, what it steers, what that must be then)
EFFECTS: dict[str, tuple[str, Callable[[Settings], object], object]] = {
    "MODEL": ("smollm2-135m", lambda s: Path(resolved_name(s)).name, "smollm2-135m-instruct-q4_1.gguf"),
    "MODEL_PATH": ("/m/own.gguf", lambda s: s.model_path, Path("/m/own.gguf")),
    "DRAFT_MODEL": ("/m/draft.gguf", drafting_flags, ["/m/draft.gguf", "--spec-type", "draft-simple"]),
    "LLAMA_SERVER": (
        "/b/llama-server",
        lambda s: llama_server.command(s, MODEL, port=0)[0],
        "/b/llama-server",
    ),
    "DATA_DIR": ("/d", lambda s: (s.run_dir, models.models_dir_of(s)), (Path("/d/run"), Path("/d/models"))),
    "GPU_DEVICE": (
        "1",
        lambda s: (argument(s, "--gpu-layers"), llama_server.environment(s)["CUDA_VISIBLE_DEVICES"]),
        ("999", "1"),
    ),
    "CONTEXT_TOKENS": ("4096", lambda s: argument(s, "--ctx-size"), "4096"),
    "SLOTS": ("7", lambda s: argument(s, "--parallel"), "7"),
    "KV_TYPE": ("q8_0", kv_type_flags, {"q8_0"}),
    "THREADS": ("3", lambda s: argument(s, "--threads"), "3"),
    "THINKING_TAGS": (
        "<t> </t>",
        lambda s: ThinkingTags.parse(s.thinking_tags),
        ThinkingTags("<t>", "</t>", always=True),
    ),
    "HOST": ("0.0.0.0", lambda s: (s.host, s.gateway_url), ("0.0.0.0", "http://127.0.0.1:8400")),
    "PORT": (
        "9000",
        lambda s: [s.service_port(n) for n in ("gateway", "planner", "lens", "sandbox", "repair")],
        [9000, 9001, 9002, 9003, 9004],
    ),
    "API_KEY": (
        "atlas-k",
        lambda s: Gateway(s.gateway_url, api_key=s.api_key)._http.headers.get("authorization"),
        "Bearer atlas-k",
    ),
    "REDIS_URL": ("redis://r:6379/0", lambda s: s.redis_url, "redis://r:6379/0"),
    "LLAMA_URL": (
        "http://l:8080,http://m:8080/",
        lambda s: (s.llama_urls, s.total_slots),
        (("http://l:8080", "http://m:8080"), 8),
    ),
    "EXECUTOR_URL": ("unix:/e.sock", lambda s: s.executor_url, "unix:/e.sock"),
    "SANDBOX_JOBS": (
        "5",
        lambda s: executor_server.arguments(s, Path("/e.sock"))[:4],
        ["--uds", "/e.sock", "--jobs", "5"],
    ),
    "SANDBOX_ISOLATION": (
        "pod",
        lambda s: executor_server.arguments(s, Path("/e.sock"))[4:],
        ["--isolation", "pod"],
    ),
    "TASK_DEADLINE_SECONDS": ("12.5", lambda s: s.task_deadline_seconds, 12.5),
    "LOG_LEVEL": ("debug", lambda s: s.log_level, "debug"),
    "WATTS": ("65", lambda s: [each.name for each in energy.sources_of(s, remote=True)[0]], ["65 W"]),
    "PRICE_PER_KWH": ("0.31", lambda s: cost.price_of(s), cost.Price(per_kwh=0.31, currency="USD")),
    "CURRENCY": (
        "EUR",
        lambda s: cost.price_of(s.model_copy(update={"price_per_kwh": 0.5})),
        cost.Price(per_kwh=0.5, currency="EUR"),
    ),
}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without an atlas.conf."""
    monkeypatch.chdir(tmp_path)


def conf(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.conf"
    path.write_text(text)
    return path


def test_the_example_documents_every_key_and_no_other() -> None:
    keys = re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert sorted(keys) == sorted(KEYS)
    assert sorted(EFFECTS) == sorted(KEYS)


def test_every_key_of_the_example_has_a_comment_above() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [b for a, b in itertools.pairwise(lines) if re.match(r"[A-Z_]+=", b) and a[:2] != "# "]
    assert bare == []


def test_the_example_holds_the_defaults() -> None:
    loaded = load(EXAMPLE, {})
    assert loaded == Settings(data_dir=EXAMPLE.parent / "data")


def test_a_shell_reads_the_example_as_we_do() -> None:
    script = f"set -aeu; . {EXAMPLE}; env"
    shown = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    shell = dict(line.split("=", 1) for line in shown.splitlines())
    ours = load(None, {f"ATLAS_{key}": shell[key] for key in KEYS})
    assert ours == load(EXAMPLE, {}).model_copy(update={"data_dir": Path.cwd() / "data"})


@pytest.mark.parametrize("key", KEYS)
def test_a_key_in_the_file_has_its_effect(key: str, tmp_path: Path) -> None:
    value, effect, wanted = EFFECTS[key]
    assert effect(Settings()) != wanted
    assert effect(load(conf(tmp_path, f"{key}={shlex.quote(value)}\n"), {})) == wanted


@pytest.mark.parametrize("key", KEYS)
def test_a_variable_overrides_the_file(key: str, tmp_path: Path) -> None:
    value, effect, wanted = EFFECTS[key]
    default = re.search(rf"^{key}=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert default is not None
    path = conf(tmp_path, f"{key}={default[1]}\n")
    assert effect(load(path, {f"ATLAS_{key}": value})) == wanted


@pytest.mark.parametrize(
    ("key", "part"), [("REDIS_URL", "redis"), ("LLAMA_URL", "llama"), ("EXECUTOR_URL", "executor")]
)
async def test_a_url_keeps_the_embedded_server_from_starting(key: str, part: str) -> None:
    everything = {"redis", "llama", "executor"}
    assert await embedded(load(None, {})) == everything
    assert await embedded(load(None, {f"ATLAS_{key}": EFFECTS[key][0]})) == everything - {part}
    assert await embedded(load(None, {f"ATLAS_{key}": ""})) == everything


def test_zero_means_as_many_as_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    settings = load(None, {"ATLAS_THREADS": "0", "ATLAS_SANDBOX_JOBS": "0"})
    assert (settings.generation_threads, settings.execution_jobs) == (4, 8)
    assert argument(settings, "--threads-batch") == "8"
    assert argument(load(None, {"ATLAS_THREADS": "3"}), "--threads-batch") == "3"


def test_no_gpu_hides_every_gpu() -> None:
    settings = load(None, {})
    assert argument(settings, "--gpu-layers") == "0"
    assert llama_server.environment(settings)["CUDA_VISIBLE_DEVICES"] == ""


def test_beside_a_gpu_more_prompts_are_put_aside() -> None:
    assert argument(load(None, {}), "--cache-ram") == "256"
    assert argument(load(None, {"ATLAS_GPU_DEVICE": "0"}), "--cache-ram") == "2048"


def test_the_llama_child_sleeps_while_idle_and_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    environment = llama_server.environment(Settings())
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert "SOME_API_KEY" not in environment


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n# a comment\n\nPORT=70000\n", r"line 4: PORT='70000': .*less than or equal to 65530"),
        ("SLOTS=many\n", r"line 1: SLOTS='many'"),
        ("GPU_DEVICE=-1\n", r"line 1: GPU_DEVICE='-1'"),
        ("LOG_LEVEL=loud\n", r"line 1: LOG_LEVEL='loud'"),
        ("SANDBOX_ISOLATION=none\n", r"line 1: SANDBOX_ISOLATION='none': .*'namespaces', 'pod' or 'gvisor'"),
        ("PROT=1\n", r"line 1: unknown key PROT; did you mean PORT\?"),
        ("LLAMA_URL=http://l,http://l/\n", r"line 1: LLAMA_URL='http://l,http://l/': .*each once"),
        ("LLAMA_URL=http://l,\n", r"line 1: LLAMA_URL='http://l,': .*between commas"),
        ("ZZZZZZ=1\n", r"line 1: unknown key ZZZZZZ; see atlas\.conf\.example"),
        ("PORT=1\n\nSLOTS=2\nPORT=2\n", r"line 4: PORT is set twice \(first: .*line 1\)"),
        ("PORT = 1\n", r"line 1: not a KEY=value line a shell can read: 'PORT = 1'"),
        ("PORT\n", r"line 1: not a KEY=value line"),
        ("MODEL_PATH=/my models/m.gguf\n", r"line 1: not a KEY=value line .*quotes"),
        ("SLOTS=2\nMODEL='x\n", r"line 2: not a KEY=value line"),
        ("REDIS_URL=redis://h/0?a=1&b=2\n", r"line 1: not a KEY=value line"),
        ("THINKING_TAGS='<think>'\n", r"line 1: THINKING_TAGS='<think>': .*two different tags"),
    ],
)
def test_an_error_names_the_key_and_the_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(conf(tmp_path, text), {})


def test_an_error_in_a_variable_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"environment variable ATLAS_PORT: PORT='x'"):
        load(None, {"ATLAS_PORT": "x"})
    with pytest.raises(ConfigError, match=r"environment variable ATLAS_SLOT: unknown key SLOT.*SLOTS"):
        load(None, {"ATLAS_SLOT": "1"})


def test_the_variables_of_the_test_suite_are_no_settings() -> None:
    assert load(None, {"ATLAS_TEST_MODELS": "/x"}) == load(None, {})


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.conf", {})
    with pytest.raises(ConfigError, match="ATLAS_CONF names"):
        load(None, {"ATLAS_CONF": str(tmp_path / "none.conf")})


def test_a_file_that_is_not_text_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "bad.conf").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "bad.conf", {})


# ---------------------------------------------------------------- where things are


def test_the_file_of_the_working_directory_is_read_unless_atlas_conf_names_one(tmp_path: Path) -> None:
    (tmp_path / "atlas.conf").write_text("PORT=1111\n")
    other = conf(tmp_path, "PORT=2222\n")
    assert load(None, {}).port == 1111
    assert load(None, {"ATLAS_CONF": str(other)}).port == 2222


def test_relative_paths_of_the_file_are_relative_to_it_and_of_variables_to_us(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "atlas.conf"
    path.write_text("DATA_DIR=d\nDRAFT_MODEL=m/draft.gguf\nLLAMA_SERVER=b/llama-server\n")
    loaded = load(path, {})
    assert (loaded.data_dir, loaded.draft_path) == (tmp_path / "etc" / "d", tmp_path / "etc" / "m/draft.gguf")
    assert loaded.llama_server == tmp_path / "etc" / "b/llama-server"
    assert load(path, {"ATLAS_DRAFT_MODEL": "none"}).draft_path is None
    assert load(path, {"ATLAS_DATA_DIR": "d"}).data_dir == Path.cwd() / "d"


def test_quoting_is_the_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "/w")
    text = 'export MODEL="m x"  # a comment\nMODEL_PATH="$WHERE/a b.gguf"\nDATA_DIR=\'/d$WHERE\'\n'
    loaded = load(conf(tmp_path, text), {})
    assert (loaded.model, loaded.model_path, loaded.data_dir) == (
        "m x",
        Path("/w/a b.gguf"),
        Path("/d$WHERE"),
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8400"),
        ("0.0.0.0", "http://127.0.0.1:8400"),
        ("::", "http://127.0.0.1:8400"),
        ("::1", "http://[::1]:8400"),
        ("box", "http://box:8400"),
    ],
)
def test_only_the_gateway_listens_elsewhere_and_its_url_can_be_asked(host: str, url: str) -> None:
    settings = Settings(host=host)
    assert settings.gateway_url == settings.service_url("gateway") == url
    assert (settings.service_host("gateway"), settings.service_host("lens")) == (host, "127.0.0.1")
    assert settings.service_url("lens") == "http://127.0.0.1:8402"


def test_settings_travel_as_variables(tmp_path: Path) -> None:
    """What `atlas up --processes` hands its services; each key by a value that is not its default."""
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, (value, _, _) in EFFECTS.items())
    for settings in (Settings(data_dir=tmp_path), load(conf(tmp_path, text), {})):
        assert load(None, settings.as_environment()) == settings
