"""What the chart says of the services is what their code says: ports, variables, health paths, commands."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import version
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import helm_python
import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from fastapi import FastAPI

from atlas.config import Settings, load
from atlas.embedded.apps import APPS, WORKERS
from atlas.embedded.own_stack import free_ports
from atlas.policy import POLICIES
from atlas.problem_file import request_of
from services.gateway.guard import OPEN_PATHS, key_required
from services.sandbox import executor as executor_process
from tests.charts.rendered_chart import (
    CHART,
    EVERYTHING,
    Object,
    chart,
    cpu_values,
    environment,
    merged,
    objects,
    one,
    pods,
    render,
    values_sets,
)

REPO = Path(__file__).parents[2]
LLAMA_IMAGE = REPO / "services" / "llama-server"
START_S = 60


def resolved(container: Object) -> dict[str, str]:
    """Return a container's ATLAS_ variables, with a text for each Secret's field."""
    found = environment(container).items()
    return {
        key: str(value if isinstance(value, str) else "given")
        for key, value in found
        if key.startswith("ATLAS_")
    }


def containers() -> Iterator[tuple[str, Object]]:
    for name, values in values_sets().items():
        for pod in pods(render(values)).values():
            for container in pod.containers:
                yield f"{name}: {pod.component} {container['name']}", container


def port_of(container: Object) -> int:
    (port,) = container["ports"]
    return int(port["containerPort"])


def answer(url: str) -> int:
    """Return the status of the first answer; 0: there is none in time."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            return httpx.get(url, timeout=10).status_code
        except httpx.TransportError:
            time.sleep(0.1)
    return 0


def routes(app: FastAPI) -> set[str]:
    return set(app.openapi()["paths"])


# ---------------------------------------------------------------- the five services


@pytest.mark.parametrize("name", APPS)
def test_a_service_listens_on_its_port_of_the_settings(name: str) -> None:
    main = pods(render())[name].main
    settings = load(environ=resolved(main))
    assert port_of(main) == settings.service_port(name) == Settings().service_port(name)
    assert main["args"] == ["--host=0.0.0.0"]  # the kubelet asks from outside the pod


@pytest.mark.parametrize("name", APPS)
def test_a_service_is_the_command_that_serves_its_app(name: str) -> None:
    main = pods(render())[name].main
    assert main["command"] == ["python", "-m", "atlas.cli", "serve", name]
    app = importlib.import_module(f"services.{name}.app").create(load(environ=resolved(main)))
    assert app.title == f"ATLAS {name}"
    probes = {main[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert probes == {"/healthz", "/readyz"} <= routes(app)
    # An absent Redis makes /readyz fail, and is no reason to die.
    assert main["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert main["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_service_runs_as_the_chart_starts_it(tmp_path: Path, redis_url: str) -> None:
    """The very command and variables of the planner's container, but for addresses of a cluster."""
    main = pods(render({"logLevel": "debug"}))["planner"].main
    first = free_ports()
    addresses = {
        "ATLAS_REDIS_URL": redis_url,
        "ATLAS_LLAMA_URL": "http://127.0.0.1:9",
        "ATLAS_PORT": str(first),
    }
    port = Settings(port=first).service_port("planner")
    variables = {**os.environ, "PYTHONPATH": str(REPO), **resolved(main), **addresses}
    command = [sys.executable, *main["command"][1:], *main["args"]]
    log = tmp_path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=out)
    try:
        path = main["startupProbe"]["httpGet"]["path"]
        assert answer(f"http://127.0.0.2:{port}{path}") == 200, log.read_text()  # on every address
        running.terminate()
        assert running.wait(30) == 0
        assert " D asyncio: " in log.read_text()
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize(("where", "container"), list(containers()))
def test_variables_are_settings_that_load(where: str, container: Object) -> None:
    variables = resolved(container)
    settings = load(environ=variables)  # refuses what is no setting, and what is out of range
    assert settings.data_dir.name == "data"
    if "ATLAS_LLAMA_URL" in variables:
        first = "http://atlas-llama-server:8080"
        several = (first, "http://atlas-llama-server-1:8080")
        assert settings.llama_urls == (several if where.startswith("everything") else (first,))


def test_services_know_whom_they_need() -> None:
    found = pods(render())
    needs = {
        name: set(resolved(found[name].main)) & {"ATLAS_REDIS_URL", "ATLAS_LLAMA_URL", "ATLAS_EXECUTOR_URL"}
        for name in APPS
    }
    with_model = {"ATLAS_REDIS_URL", "ATLAS_LLAMA_URL"}
    for name in APPS:
        said = str(importlib.import_module(f"services.{name}.app").__doc__)  # "Needs REDIS_URL and ..."
        assert needs[name] == {f"ATLAS_{key}" for key in re.findall(r"[A-Z]+_URL", said)}, name
        assert needs[name] in (with_model, {"ATLAS_REDIS_URL", "ATLAS_EXECUTOR_URL"})


def test_settings_reach_every_service_and_the_model_server() -> None:
    values = {
        "settings": {
            "contextTokens": 2_097_152,
            "slots": 8,
            "taskDeadlineSeconds": 90.5,
            "thinkingTags": "<a> </a>",
        }
    }
    found = pods(render(values))
    for name in (*APPS, "llama-server"):
        settings = load(environ=resolved(found[name].main))
        assert (settings.context_tokens, settings.slots) == (2_097_152, 8)
        assert (settings.task_deadline_seconds, settings.thinking_tags) == (90.5, "<a> </a>")
        assert settings.model == "qwen3-14b"


def test_the_gateway_asks_everyone_for_a_key_but_answers_probes() -> None:
    main = pods(render())["gateway"].main
    (argument,) = main["args"]
    host = argument.removeprefix("--host=")  # which `atlas serve` makes the gateway's own HOST
    assert key_required(host, ("127.0.0.1", 8400))  # kubectl port-forward
    assert key_required(host, ("10.42.0.7", 8400))
    for kind in ("startup", "readiness", "liveness"):
        assert main[f"{kind}Probe"]["httpGet"]["path"] in OPEN_PATHS


def test_services_log_as_the_values_say() -> None:
    for level in ("debug", "warning"):
        found = pods(render({"logLevel": level}))
        for name in APPS:
            assert load(environ=resolved(found[name].main)).log_level == level


def test_a_changed_file_restarts_its_pods_and_no_others(tmp_path: Path) -> None:
    def sums(values: Object, chart: Path = CHART) -> dict[str, Any]:
        made = objects(helm_python.Chart.load(chart).render(values, name="atlas", namespace="atlas"))
        return {name: pod.annotations for name, pod in pods(made).items() if pod.annotations}

    before, after = sums({}), sums({"redis": {"maxMemory": "2gb"}})
    assert {name for name in before if before[name] != after[name]} == {"redis"}
    changed = Path(shutil.copytree(CHART, tmp_path / "atlas"))
    with (changed / "files" / "admit_key.py").open("a") as file:
        file.write("# changed\n")
    after = sums({}, changed)
    assert {name for name in before if before[name] != after[name]} == {"gateway"}


# ---------------------------------------------------------------- the executor


def test_the_executor_understands_its_arguments() -> None:
    for values in values_sets().values():
        main = pods(render(values))["executor"].main
        assert main["command"] == ["python", "-m", executor_process.__name__]
        options = executor_process._parser().parse_args(main["args"])
        assert options.port == port_of(main)
        assert options.host == "0.0.0.0"
        assert options.jobs >= 1


def test_the_executors_probes_are_its_routes() -> None:
    main = pods(render())["executor"].main
    source = Path(importlib.import_module("services.sandbox.routes").__file__ or "").read_text(
        encoding="utf-8"
    )
    for kind in ("startup", "readiness", "liveness"):
        assert f'@app.get("{main[f"{kind}Probe"]["httpGet"]["path"]}")' in source
    url = load(environ=resolved(pods(render())["sandbox"].main)).executor_url
    assert url == f"http://atlas-executor:{port_of(main)}"


# ---------------------------------------------------------------- the model server


def test_the_model_server_is_the_image_s() -> None:
    loader = SourceFileLoader("llama_entrypoint", str(LLAMA_IMAGE / "entrypoint"))
    entrypoint = module_from_spec(ModuleSpec(loader.name, loader))
    loader.exec_module(entrypoint)
    main = pods(render())["llama-server"].main
    assert port_of(main) == entrypoint.PORT
    containerfile = (LLAMA_IMAGE / "Containerfile").read_text(encoding="utf-8")
    assert f"EXPOSE {port_of(main)}" in containerfile
    assert "GET /health on 8080" in containerfile
    assert {main[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")} == {
        "/health"
    }
    assert "command" not in main  # its ENTRYPOINT
    assert "args" not in main  # which takes none
    assert "USER 10001:10001" in containerfile
    data = re.search(r"ATLAS_DATA_DIR=(\S+)", containerfile)
    assert data is not None
    assert f"{data[1]}/models" in {mount["mountPath"] for mount in main["volumeMounts"]}


def test_the_model_server_has_a_gpu_or_none() -> None:
    assert load(environ=resolved(pods(render())["llama-server"].main)).gpu_device == 0
    assert load(environ=resolved(pods(render(cpu_values()))["llama-server"].main)).gpu_device == "none"


def test_the_download_is_a_command_of_atlas_into_the_models_directory() -> None:
    from typer.testing import CliRunner

    from atlas.cli import app
    from atlas.models import models_dir_of

    (download,) = pods(render(EVERYTHING))["llama-server"].spec["initContainers"]
    settings = load(environ=resolved(download))
    assert settings.model == "qwen3-14b"
    assert str(models_dir_of(settings)) in {mount["mountPath"] for mount in download["volumeMounts"]}
    assert download["command"][:3] == ["python", "-m", "atlas.cli"]
    assert CliRunner().invoke(app, [*download["command"][3:], "--help"]).exit_code == 0


def test_a_draft_model_of_ones_own_is_fetched_too() -> None:
    def fetched(draft: str) -> list[str]:
        values = merged(EVERYTHING, {"settings": {"draftModel": draft}})
        downloads = pods(render(values))["llama-server"].spec["initContainers"]
        assert len({each["name"] for each in downloads}) == len(downloads)
        return [load(environ=resolved(each)).model for each in downloads]

    assert fetched("smollm2-135m") == ["qwen3-14b", "smollm2-135m"]
    assert fetched("none") == fetched("") == ["qwen3-14b"]  # with what the catalogue has for it
    with pytest.raises(helm_python.HelmError, match="names a file"):
        fetched("/data/models/my.gguf")


# ---------------------------------------------------------------- helm test, versions


def test_the_test_submits_a_problem_and_fails_unless_its_examples_pass(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from atlas.cli import app

    test = pods(render())["test"]
    hook = one(render(), "Pod", "atlas-test")["metadata"]["annotations"]
    assert hook["helm.sh/hook"] == "test"
    assert "hook-succeeded" not in hook["helm.sh/hook-delete-policy"]  # --logs reads it afterwards
    file = tmp_path / "problem.json"
    file.write_text(one(render(), "ConfigMap", "atlas-files")["data"]["problem.json"])
    request = request_of(str(file), policy=chart().values["test"]["policy"])
    assert request.policy in POLICIES
    assert len(request.problem.examples) == 3
    for example in request.problem.examples:
        assert sum(map(int, example.input.split())) == int(example.output)
    assert test.main["command"][3] == "solve"
    options = {argument.partition("=")[0] for argument in test.main["args"]}
    assert options <= set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, ["solve", "--help"]).output))
    assert "--target=http://atlas-gateway:8400" in test.main["args"]
    assert set(resolved(test.main)) == {"ATLAS_API_KEY"}
    assert test.spec["restartPolicy"] == "Never"
    assert test.spec["activeDeadlineSeconds"] > chart().values["test"]["seconds"]


def test_the_test_reaches_the_gateway_by_the_port_of_its_service() -> None:
    assert "--target=http://atlas-gateway:80" in pods(render(EVERYTHING))["test"].main["args"]


def test_the_chart_is_of_this_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["appVersion"] == version("atlas")
    assert pods(render())["planner"].main["image"] == f"localhost/atlas:{version('atlas')}"


def test_workers_and_gateway_are_all_there_is_to_serve() -> None:
    assert set(APPS) == {"gateway", *WORKERS}
