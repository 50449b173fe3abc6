"""Limits around slots: on a made-up version 2 tree, and on this machine's own groups where it may."""

import errno
import os
import shutil
import subprocess
import sys
import time
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
    (own / "cgroup.type").write_text("domain\n")
    return proc, own


@pytest.fixture
def rmdir_as_the_kernel_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group's own files go with it, and what is inside keeps it."""

    def rmdir(self: Path) -> None:
        if any(path.is_dir() for path in self.iterdir()):
            raise OSError(errno.EBUSY, "busy")
        shutil.rmtree(self)

    monkeypatch.setattr(Path, "rmdir", rmdir)


def test_what_could_not_be_made_on_a_read_only_mount_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a pod of version 1, where the tree is mounted read-only."""
    proc, mounted = tmp_path / "proc", tmp_path / "memory"
    mounted.mkdir()
    proc.mkdir()
    (proc / "cgroup").write_text("5:memory:/pod\n4:pids:/pod\n")
    (proc / "mountinfo").write_text(f"30 24 0:26 /pod {mounted} ro - cgroup cgroup rw,memory,pids\n")

    def refused(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(Path, "rmdir", refused)
    began = time.monotonic()
    assert cgroups.find(proc, "atlas-sandbox-1") is None
    assert time.monotonic() - began < cgroups._GONE_S
    assert "stays" not in caplog.text


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


@pytest.mark.usefixtures("rmdir_as_the_kernel_does")
def test_version_2_is_left_as_it_was(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    root = cgroups.find(proc, "atlas-sandbox-1")
    assert root is not None
    root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=9)
    (own / "atlas-sandbox-1" / "slot-0" / "cgroup.procs").write_text("")
    root.remove()
    assert [path.name for path in own.iterdir() if path.is_dir()] == []
    assert (own / "cgroup.subtree_control").read_text() == "-memory -pids"
    assert (own / "cgroup.procs").read_text() == str(os.getpid())


def test_the_root_of_version_2_needs_no_leaf(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    (own / "cgroup.type").unlink()
    assert cgroups.find(proc, "atlas-sandbox-1") is not None
    assert [path.name for path in own.iterdir() if path.is_dir()] == ["atlas-sandbox-1"]


@pytest.mark.usefixtures("rmdir_as_the_kernel_does")
def test_an_executor_that_another_has_moved_makes_its_groups_beside_it(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    started = cgroups._started(os.getpid())
    first, second = f"atlas-sandbox-{os.getpid()}-{started}.1", f"atlas-sandbox-{os.getpid()}-{started}.2"
    assert cgroups.find(proc, first) is not None
    (proc / "cgroup").write_text(f"0::/user/service/{first}-executor\n")
    assert cgroups.find(proc, second) is not None
    assert (own / second).is_dir()


@pytest.mark.usefixtures("rmdir_as_the_kernel_does")
def test_a_move_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, own = fake_v2(tmp_path)
    write = Path.write_text

    def refused(self: Path, text: str, **options: str) -> int:
        if self == own / "cgroup.subtree_control" and text.startswith("+"):
            raise OSError(errno.EBUSY, "busy")
        return write(self, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", refused)
    assert cgroups.find(proc, "atlas-sandbox-1") is None
    assert [path.name for path in own.iterdir() if path.is_dir()] == []


def test_a_container_sees_its_own_part_of_a_hierarchy(tmp_path: Path) -> None:
    """Without a cgroup namespace: the path is the host's, the mount begins at the container's group."""
    proc, own = fake_v2(tmp_path)
    (proc / "cgroup").write_text("0::/kubepods/pod1/abc\n")
    mount = str(own).replace("service", "serv\\040ice")
    own.rename(own.with_name("serv ice"))
    (proc / "mountinfo").write_text(f"30 24 0:26 /kubepods/pod1/abc {mount} rw - cgroup2 cgroup2 rw\n")
    assert cgroups.find(proc, "atlas-sandbox-1") is not None
    assert (own.with_name("serv ice") / "atlas-sandbox-1").is_dir()


@pytest.mark.usefixtures("rmdir_as_the_kernel_does")
def test_what_dead_executors_left_is_swept(tmp_path: Path) -> None:
    proc, own = fake_v2(tmp_path)
    pid, started = os.getpid(), cgroups._started(os.getpid())
    living = own / f"atlas-sandbox-{pid}-{started}.9"
    dead = [
        own / "atlas-sandbox-4194999-12.1",
        own.parent / "elsewhere" / "atlas-sandbox-4194999-12.1",
        own / f"atlas-sandbox-{pid}-{(started or 0) - 5}.1",  # its number is now ours
    ]
    for left in (*dead, living):
        (left / "slot-0").mkdir(parents=True)
    cgroups.find(proc, "atlas-sandbox-1")
    assert [path for path in dead if path.exists()] == []
    assert living.exists()


@pytest.mark.parametrize("procs", ["0\n0\n", ""], ids=["version 2", "version 1"])
def test_groups_of_another_pid_namespace_are_left_alone_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, procs: str
) -> None:
    """Its executor looks dead from here; its slots' processes read 0, or are not listed at all."""
    theirs = tmp_path / "atlas-sandbox-1234567-89.0"
    for group in (theirs / "slot-0", theirs / "slot-1", theirs):
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.procs").write_text(procs)
    tried: list[Path] = []

    def busy(self: Path) -> None:
        tried.append(self)
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "rmdir", busy)
    began = time.monotonic()
    cgroups.sweep(tmp_path)
    assert time.monotonic() - began < cgroups._GONE_S
    assert len(tried) <= 1


def test_a_process_that_cannot_be_seen_is_not_killed(tmp_path: Path) -> None:
    """Of another pid namespace: it reads 0, and kill(0) would be our own process group."""
    (tmp_path / "cgroup.procs").write_text("0\n0\n")
    cgroups._kill(tmp_path)


# ---------------------------------------------------------------- the real ones


@pytest.fixture
def root() -> Iterator[cgroups.Root]:
    root = cgroups.find()
    if root is None:
        pytest.skip("cgroups are not writable here")
    yield root
    root.remove()
    left = [
        p
        for kind in ("memory", "pids")
        for p in Path(f"/sys/fs/cgroup/{kind}").glob(f"**/atlas-sandbox-{os.getpid()}-*")
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


@pytest.mark.integration
def test_two_runners_of_one_process_do_not_share_a_group(root: cgroups.Root) -> None:
    other = cgroups.find()
    assert other is not None
    slot = root.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=16)
    with start(slot, "print(1)") as process:
        other.slot("slot-0", memory_bytes=64 * MEBIBYTE, tasks=16)
        other.remove()
        assert process.communicate(b"\n", timeout=20)[0] == b"1\n"
