"""The Containerfiles of the Python images, without building them: `podman build` is not for every machine."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.charts.rendered_chart import pods, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).parents[2]
FOLDER = REPO / "deploy" / "images"
NAMES = ("atlas", "executor")
each_image = pytest.mark.parametrize("name", NAMES)
# What the executor's image has not, of what atlas requires.
NOT_THERE = ("httpx_sse", "huggingface_hub", "jinja2", "psutil", "dotenv", "redis", "rich")
ELSEWHERE = ("benchmark", "services.gateway", "services.sandbox.worker")


def instructions(name: str) -> list[tuple[str, str]]:
    text = (FOLDER / f"{name}.Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.M)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def stages(name: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions(name):
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def ignored(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def sent(rules: list[str], path: str) -> bool:
    """Whether a path is part of the build: the last rule that matches it, or a directory of it, decides."""
    above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    keep = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(fnmatch(each, pattern) or fnmatch(f"/{each}", pattern.replace("**", "*")) for each in above):
            keep = rule.startswith("!")
    return keep


@each_image
def test_it_runs_as_the_user_of_the_chart(name: str) -> None:
    (user,) = [rest for word, rest in stages(name)[-1] if word == "USER"]
    security = pods(render())["executor"].spec["securityContext"]
    assert user == f"{security['runAsUser']}:{security['runAsGroup']}"


@each_image
def test_no_build_tool_is_in_the_final_image(name: str) -> None:
    _, final = stages(name)
    (installed,) = [rest for word, rest in final if word == "RUN"]
    packages = re.findall(r"--no-install-recommends ([^&]*)", installed)
    assert set(" ".join(packages).split()) <= {"python3", "ca-certificates"}
    copied = [rest.split()[1] for word, rest in final if word == "COPY"]
    assert copied == ["/opt/venv", "/opt/atlas"]  # the wheels in one layer, what changes often in another
    assert "--without-pip /opt/venv" in " ".join(rest for _, rest in stages(name)[0])


@each_image
def test_wheels_are_pinned_and_nothing_of_them_is_built(name: str) -> None:
    installs = [rest for word, rest in stages(name)[0] if word == "RUN" and "/pip --python" in rest]
    wheels, *own = installs
    assert "--only-binary :all:" in wheels
    assert "--constraint /src/constraints.txt" in wheels
    assert all("--no-deps" in install for install in own)


@each_image
def test_it_names_no_package_host(name: str) -> None:
    assert not re.search(
        r"https?://|index-url|trusted-host", (FOLDER / f"{name}.Containerfile").read_text("utf-8")
    )


@each_image
def test_its_base_can_be_pinned_by_digest(name: str) -> None:
    bases = [rest.split()[0] for word, rest in instructions(name) if word == "FROM"]
    assert set(bases) == {"${BASE_IMAGE}"}


@each_image
def test_what_it_copies_is_there_and_sent(name: str) -> None:
    sources = [
        source
        for word, rest in instructions(name)
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (REPO / source).exists(), source
        assert sent(ignored(name), source), source


@each_image
def test_models_journals_and_tests_are_not_sent(name: str) -> None:
    rules = ignored(name)
    for path in (
        "data/models/x.gguf",
        "tests/conftest.py",
        ".git/config",
        "atlas.conf",
        "services/llama-server/build.sh",
    ):
        assert not sent(rules, path), path
    assert not sent(rules, "atlas/__pycache__/config.cpython-311.pyc")
    assert sent(rules, "atlas/config.py")
    assert sent(rules, "services/sandbox/forkserver/child.py")


def test_the_executors_image_has_no_other_service_and_no_benchmark() -> None:
    for path in ("services/gateway/app.py", "services/lens/app.py", "benchmark/v3_runner.py"):
        assert not sent(ignored("executor"), path)
        assert sent(ignored("atlas"), path)


def test_the_executor_starts_with_what_its_image_has() -> None:
    absent = (*NOT_THERE, "sse_starlette", "tenacity", "typer", *ELSEWHERE)
    program = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({absent!r}))
sys.argv = ["executor", "--help"]
runpy.run_module("services.sandbox.executor", run_name="__main__")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--isolation" in done.stdout


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a script of the image's Python, 3.11")
def test_requirements_are_those_of_pyproject() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def printed(*extras: str) -> list[str]:
        command = [sys.executable, str(FOLDER / "requirements.py"), str(REPO / "pyproject.toml"), *extras]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert printed() == project["dependencies"]
    assert printed("benchmark") == project["dependencies"] + project["optional-dependencies"]["benchmark"]


def test_the_chart_names_the_images_as_their_files_say() -> None:
    for name, component in (("atlas", "planner"), ("executor", "executor")):
        image = pods(render())[component].main["image"]
        assert f"-t {image} ." in (FOLDER / f"{name}.Containerfile").read_text(encoding="utf-8")
