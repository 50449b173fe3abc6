"""Limits around slots: on a made-up version 2 tree, and on this machine's own groups where it may."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.errors import StartupError
from services.sandbox import cgroups

MEBIBYTE = 1 << 20
EAT = "x = bytearray()\nwhile True: x += b'x' * (1 << 20)"


def fake_v2(tmp_path: Path, controllers: str = "cpu memory pids") -> tuple[Path, Path]:
    """/proc/self as a process in a delegated group of version 2 sees it; and the group."""
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    own = mounted / "user" / "service"
    own.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/user/service\n")
    (proc / "mountinfo").write_text(
        f"30 24 0:26 / {mounted} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.subtree_control").write_text("")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return proc, own


def test_version_2_moves_its_own_processes_to_a_leaf_and_delegates(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    root = cgroups.find(proc, "atlas-sandbox-1")
    assert root is not None
    assert (own / "atlas-sandbox-1-executor" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (own / "atlas-sandbox-1" / "cgroup.subtree_control").read_text() == "+memory +pids"
    slot = root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=9)
    group = own / "atlas-sandbox-1" / "slot-0"
    assert (group / "memory.max").read_text() == str(64 * MEBIBYTE)
    assert (group / "pids.max").read_text() == "9"
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert slot.oom_kills() == 2
    slot.add(77)
    assert (group / "cgroup.procs").read_text() == "77"


@pytest.mark.parametrize("controllers", ["cpu memory", "pids", ""])
def test_without_the_controllers_there_are_none(tmp_path: Path, controllers: str) -> None:
    proc, own = fake_v2(tmp_path, controllers)
    assert cgroups.find(proc, "atlas-sandbox-1") is None
    assert not (own / "atlas-sandbox-1").exists()


def test_without_a_mount_there_are_none(tmp_path: Path) -> None:
    proc, _ = fake_v2(tmp_path)
    (proc / "mountinfo").write_text("")
    assert cgroups.find(proc) is None


def test_a_limit_that_does_not_take_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, _ = fake_v2(tmp_path)
    root = cgroups.find(proc, "atlas-sandbox-1")
    assert root is not None
    write = Path.write_text

    def ignored(self: Path, text: str, **options: str) -> int:
        return write(self, "max" if self.name == "memory.max" else text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", ignored)
    with pytest.raises(StartupError, match="did not take"):
        root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=9)


def test_what_dead_executors_left_is_swept(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    dead, living = own / "atlas-sandbox-4194999", own / f"atlas-sandbox-{os.getpid()}"
    for left in (dead, living):
        (left / "slot-0").mkdir(parents=True)
    cgroups.find(proc, "atlas-sandbox-1")
    assert not dead.exists()
    assert living.exists()


# ---------------------------------------------------------------- the real ones


@pytest.fixture
def root() -> Iterator[cgroups.Root]:
    root = cgroups.find(name=f"atlas-sandbox-{os.getpid()}-test")
    if root is None:
        pytest.skip("cgroups are not writable here")
    yield root
    root.remove()
    left = [
        p
        for kind in ("memory", "pids")
        for p in Path(f"/sys/fs/cgroup/{kind}").glob(f"**/*{os.getpid()}-test*")
    ]
    assert left == []


def start(slot: cgroups.Slot, code: str) -> subprocess.Popen[bytes]:
    """A process that waits for a line, so that it is in the group before it does anything."""
    command = [sys.executable, "-I", "-S", "-c", f"input()\n{code}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    slot.add(process.pid)
    return process


@pytest.mark.integration
def test_over_the_memory_limit_the_kernel_kills_and_counts(root: cgroups.Root) -> None:
    slot = root.slot("slot-0", memory_bytes=32 * MEBIBYTE, tasks=16)
    process = start(slot, EAT)
    process.communicate(b"\n", timeout=20)
    assert process.returncode == -9
    assert slot.oom_kills() == 1


@pytest.mark.integration
def test_the_limit_can_be_raised_and_lowered(root: cgroups.Root) -> None:
    slot = root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=16)
    for limit in (256, 32, 128, 128):
        slot.set_memory(limit * MEBIBYTE)
    process = start(slot, "x = b'x' * (96 << 20)\nprint(len(x))")
    assert process.communicate(b"\n", timeout=20)[0] == b"100663296\n"


@pytest.mark.integration
def test_the_task_limit_holds(root: cgroups.Root) -> None:
    slot = root.slot("slot-0", memory_bytes=256 * MEBIBYTE, tasks=4)
    code = (
        "import threading\nstop = threading.Event()\nn = 0\ntry:\n"
        "  for n in range(50): threading.Thread(target=stop.wait).start()\n"
        "except RuntimeError: print(n)\nstop.set()"
    )
    assert start(slot, code).communicate(b"\n", timeout=20)[0] == b"3\n"


@pytest.mark.integration
def test_removing_kills_what_is_inside(root: cgroups.Root) -> None:
    slot = root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=16)
    with start(slot, "") as process:
        slot.remove()
        assert process.wait(5) == -9
