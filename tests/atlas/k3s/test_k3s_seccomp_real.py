"""The executor in a container as its pod is one, under the seccomp profile that is installed, by runc."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas.k3s import chart

REPO = Path(__file__).parents[3]
RUNC = shutil.which("runc") or "/usr/sbin/runc"
USER = 10001  # the chart's
OPENED = ("unshare", "mount", "pivot_root", "setns")
REFUSED = {"keyctl": 250, "bpf": 321, "ptrace": 101, "kexec_load": 246, "io_uring_setup": 425}  # of x86_64
TRY = (
    "import ctypes, sys\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "for number in map(int, sys.argv[1:]):\n"
    "    libc.syscall(number, 0, 0, 0, 0, 0)\n"
    "    print(ctypes.get_errno())\n"
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path(RUNC).exists() or os.geteuid() != 0, reason="needs runc, and root"),
]


@pytest.fixture
def profile() -> dict[str, Any]:
    """The profile that `atlas k3s install` puts in place."""
    found: dict[str, Any] = json.loads((chart.K3S_FILES / "executor-seccomp.json").read_text())
    return found


def contained(tmp_path: Path, profile: dict[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with no more than the pod has: no root, no capability, nothing to write to but /tmp."""
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    mounts = [
        {"destination": name, "type": kind, "source": kind, "options": options}
        for name, kind, options in (
            ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
            ("/dev", "tmpfs", ["nosuid", "mode=755"]),
            ("/tmp", "tmpfs", ["nosuid", "nodev", "mode=1777"]),
        )
    ]
    there = {"/usr", "/etc", "/bin", "/lib", "/lib64", str(REPO), sys.prefix, sys.base_prefix}
    for place in sorted(each for each in there if Path(each).exists()):  # what holds others comes first
        bind = {"source": str(Path(place).resolve()), "type": "bind", "options": ["rbind", "ro"]}
        mounts.append({"destination": place, **bind})
    name = f"atlas-{secrets.token_hex(4)}"
    namespaces = [{"type": each} for each in ("pid", "network", "ipc", "uts", "mount")]
    config = {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "mounts": mounts,
        "process": {
            "user": {"uid": USER, "gid": USER},
            "args": [sys.executable, *command],
            "env": [f"PYTHONPATH={REPO}", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", "PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "linux": {"namespaces": namespaces, "seccomp": profile, "cgroupsPath": f"/{name}"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = [RUNC, "--root", str(tmp_path / "runc"), "run", "--bundle", str(tmp_path), name]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def level(tmp_path: Path, profile: dict[str, Any]) -> str:
    ran = contained(tmp_path, profile, "-m", "services.sandbox.executor", "--check", "--jobs", "1")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_it_opens_the_level_namespaces(tmp_path: Path, profile: dict[str, Any]) -> None:
    assert level(tmp_path, profile) == "namespaces"


def test_without_what_it_opens_the_level_is_pod(tmp_path: Path, profile: dict[str, Any]) -> None:
    profile["syscalls"][0]["names"] += OPENED
    assert level(tmp_path, profile) == "pod"


def test_what_no_pod_needs_is_refused(tmp_path: Path, profile: dict[str, Any]) -> None:
    ran = contained(tmp_path, profile, "-c", TRY, *map(str, REFUSED.values()))
    assert ran.stdout.split() == ["1"] * len(REFUSED), ran.stderr  # EPERM
