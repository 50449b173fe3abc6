"""The scripts: shellcheck finds nothing, and the dry run changes nothing on the machine that tests."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from atlas.k3s.state import STATE_FILE

REPO = Path(__file__).parents[1]
SCRIPTS = sorted(path for room in ("scripts", "services", "deploy") for path in (REPO / room).rglob("*.sh"))
THIN = ("install", "verify-install", "uninstall")


def test_shellcheck_finds_nothing() -> None:
    assert {"build.sh", *(f"{name}.sh" for name in THIN)} <= {path.name for path in SCRIPTS}
    shellcheck = Path(sys.executable).with_name("shellcheck")
    ran = subprocess.run(
        [shellcheck, "--external-sources", *SCRIPTS], cwd=REPO, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_shellcheck_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "bad.sh").write_text("#!/bin/bash\nrm -rf $1\n")
    ran = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), tmp_path / "bad.sh"], capture_output=True
    )
    assert ran.returncode == 1


@pytest.mark.parametrize("name", THIN)
def test_a_thin_script_does_no_more_than_its_command(name: str) -> None:
    lines = [
        line
        for line in (REPO / "scripts" / f"{name}.sh").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    command = name.removesuffix("-install")
    assert lines[3:] == [f'k3s {command} "$@"']


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        ("install --yes", "benchmark,k8s"),
        ("install --kubeconfig FILE", "benchmark,charts,k8s"),
        ("install --kubeconfig=FILE --dry-run", "benchmark,charts,k8s"),
        ("uninstall --kubeconfig FILE", "benchmark,k8s"),
        ("verify", "benchmark,k8s"),
    ],
)
def test_the_venv_has_helm_where_the_chart_is_rendered_here(command: str, extras: str) -> None:
    # On K3s its controller renders it.
    told = 'ensure_venv() { echo "$1"; exit; }'
    script = f"set -euo pipefail; source scripts/lib/k3s.sh; {told}; k3s {command}"
    ran = subprocess.run(["bash", "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [extras]
    declared = set(metadata("atlas").get_all("Provides-Extra") or ())
    assert set(extras.split(",")) <= declared


def dry_run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atlas.cli", "k3s", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_a_dry_run_on_this_machine_shows_findings_and_plan_and_changes_nothing(tmp_path: Path) -> None:
    before = Path(STATE_FILE).exists()
    ran = dry_run("install", "--cpu", "--dry-run", "--models", str(tmp_path / "models"), cwd=tmp_path)
    assert ran.returncode in (0, 1), ran.stderr
    assert "Traceback" not in ran.stderr
    assert "memory" in ran.stdout
    plan = ran.stdout.partition("The plan:")[2]
    assert f"the model qwen2.5-coder-0.5b in {tmp_path}/models" in plan
    assert list(tmp_path.iterdir()) == []
    assert Path(STATE_FILE).exists() is before


def test_preflight_and_a_broken_atlas_conf(tmp_path: Path) -> None:
    (tmp_path / "atlas.conf").write_text("SLOTS=many\n")
    ran = dry_run("preflight", "--cpu", "--json", cwd=tmp_path)
    assert ran.returncode == 1
    checks = {each["name"]: each for each in json.loads(ran.stdout)["checks"]}
    assert checks["settings"]["state"] == "missing"
    assert "atlas.conf line 1: SLOTS='many'" in checks["settings"]["detail"]


def test_verify_says_that_nothing_was_installed_from_here(tmp_path: Path) -> None:
    ran = dry_run("verify", cwd=tmp_path)
    assert (ran.returncode, "nothing was installed from here" in ran.stderr) == (1, True)
