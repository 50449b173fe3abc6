"""What the image runs, without an image: the settings it takes and refuses, what it starts, how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from atlas.embedded.own_stack import free_ports
from atlas.models import ModelFile

REPO = Path(__file__).parents[3]
FOLDER = REPO / "services" / "llama-server"
ENTRYPOINT = FOLDER / "entrypoint"
# atlas requires these too; the image has only what the Containerfile installs for the entrypoint.
NOT_IN_THE_IMAGE = ("fastapi", "httpx_sse", "huggingface_hub", "jinja2", "prometheus_client", "redis", "rich")
NOT_IN_THE_IMAGE += ("scipy", "sse_starlette", "typer", "uvicorn", "xllamacpp")
# The port is the image's own; here it may be taken.
AT_ANOTHER_PORT = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_IN_THE_IMAGE}))
from importlib.machinery import SourceFileLoader
entrypoint = SourceFileLoader("entrypoint", {str(ENTRYPOINT)!r}).load_module()
entrypoint.PORT = int(sys.argv[1])
entrypoint.URL = f"http://127.0.0.1:{{entrypoint.PORT}}"
sys.exit(entrypoint.serve())
"""


def environment(**settings: object) -> dict[str, str]:
    return {"PYTHONPATH": str(REPO), **{f"ATLAS_{key}": str(value) for key, value in settings.items()}}


def refused(*arguments: str, **settings: object) -> str:
    ran = subprocess.run(
        [sys.executable, ENTRYPOINT, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return ran.stderr


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    assert "environment variable ATLAS_SLOT: unknown key SLOT; did you mean SLOTS?" in refused(SLOT=1)


def test_an_unknown_key_is_named_and_those_of_other_parts_are_taken(tmp_path: Path) -> None:
    conf = tmp_path / "atlas.conf"
    conf.write_text(f"PORT=9000\nSANDBOX_JOBS=3\nDATA_DIR={tmp_path}\n")
    assert "model qwen2.5-coder-0.5b is missing" in refused(CONF=conf)
    conf.write_text("CTX=1\n")
    assert "line 1: unknown key CTX" in refused(CONF=conf)


def test_a_flag_is_refused() -> None:
    assert "unknown ['--ctx-size', '1']: settings are keys of atlas.conf" in refused("--ctx-size", "1")


def test_nothing_serves_so_the_probe_fails() -> None:
    assert refused("--probe") == ""


@contextmanager
def serving(
    binary: Path, model: ModelFile, tmp_path: Path, **settings: object
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_ports()
    more = {"CONTEXT_TOKENS": 2048, "SLOTS": 2, "THREADS": 1, "DATA_DIR": tmp_path, "MODEL_PATH": model.path}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", AT_ANOTHER_PORT, str(port)],
            env=environment(**{"LLAMA_SERVER": binary, **more, **settings}),
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()  # killed, it would leave its server behind


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it does not serve")


@pytest.mark.integration
def test_it_serves_the_settings_and_ends_with_its_server(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    with serving(native_llama, smol_model, tmp_path, DRAFT_MODEL=smol_model.path) as (url, process):
        wait_for(url, process)
        props = httpx.get(f"{url}/props").json()
        assert (props["total_slots"], props["model_alias"]) == (2, "smollm2-135m")
        assert props["span_embedding"]["version"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


@pytest.mark.integration
def test_a_draft_model_that_never_drafts_ends_it(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    forgetful = tmp_path / "llama-server"
    without = "[each for each in sys.argv if each not in ('--spec-type', 'draft-simple')]"
    forgetful.write_text(f"#!{sys.executable}\nimport os, sys\nos.execv({str(native_llama)!r}, {without})\n")
    forgetful.chmod(0o755)
    with serving(forgetful, smol_model, tmp_path, DRAFT_MODEL=smol_model.path) as (_, process):
        assert process.wait(60) == 1
    assert "drafted none of 32 tokens" in (tmp_path / "log").read_text()


# ---------------------------------------------------------------- the Containerfile


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its words, continued lines joined."""
    lines = re.sub(
        r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.M)
    )
    return [tuple(line.split(maxsplit=1)) for line in lines.splitlines() if line.strip()]  # type: ignore[misc]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    users = [words for word, words in last_stage() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1])


def test_no_stage_is_named_by_an_argument_which_podman_of_debian_12_cannot_follow() -> None:
    stages = [words for word, words in instructions() if word == "FROM"]
    assert stages == ["${BUILD_IMAGE} AS build", "${RUNTIME_IMAGE}"]
    defaults = dict(words.split("=") for word, words in instructions() if word == "ARG" and "=" in words)
    assert defaults["BUILD_IMAGE"] == defaults["RUNTIME_IMAGE"] == "debian:12-slim"


def test_a_finished_build_is_taken_if_it_is_mounted() -> None:
    (build,) = [words for word, words in instructions() if word == "RUN" and "build.sh" in words]
    finished, compiled = build.split("else")
    # The directory alone may be there: podman leaves mount points in its layers.
    assert "if [ -f /finished/llama-server ]" in finished
    # And it keeps a layer by its arguments, not by what was mounted.
    words = [*instructions()]
    assert words.index(("ARG", "FINISHED=")) == words.index(("RUN", build)) - 1
    assert "build.sh" not in finished
    assert "--portable --output /out/bin" in compiled
    for name in re.findall(r"/finished/([\w.-]+)", finished):
        assert name in (FOLDER / "build.sh").read_text(), name


def test_what_is_copied_from_the_checkout_is_there_and_not_ignored() -> None:
    copied = [
        words.split()[:-1] for word, words in instructions() if word == "COPY" and "--from" not in words
    ]
    kept = {line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in (source for sources in copied for source in sources):
        assert (REPO / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in kept), source


def test_all_that_build_sh_reads_is_in_the_build_stage() -> None:
    read = set(re.findall(r"\$here\"?/([\w.-]+)", (FOLDER / "build.sh").read_text()))
    copied = " ".join(words for word, words in instructions() if word == "COPY")
    assert {name for name in read if f"services/llama-server/{name}" not in copied} == set()
    assert read >= {"patches", "sdist.txt"}


def test_no_weights_are_in_the_image() -> None:
    assert all(
        "gguf" not in words and "data" not in words for word, words in instructions() if word == "COPY"
    )
