"""What is asked of the kernel for each version of Landlock, and what this one's then refuses."""

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from services.sandbox.forkserver import landlock, linux

Calls = list[tuple[int, tuple[object, ...]]]


@pytest.fixture(params=range(1, 9))
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Calls]:
    """A kernel of that version, which only writes down what it is asked."""
    version: int = request.param
    calls: Calls = []

    class Libc:
        @staticmethod
        def syscall(number: object, *args: object) -> int:
            plain = tuple(getattr(arg, "value", arg) for arg in args)
            if plain[-1] == 1 and plain[0] is None:
                return version
            calls.append((getattr(number, "value", number), plain))  # type: ignore[arg-type]
            return os.open(os.devnull, os.O_RDONLY) if getattr(number, "value", number) == 444 else 0

    monkeypatch.setattr(landlock, "_libc", Libc)
    return version, calls


def test_each_version_is_asked_for_what_it_knows(kernel: tuple[int, Calls], tmp_path: Path) -> None:
    version, calls = kernel
    (tmp_path / "file").touch()
    rules: dict[str | int, int] = {str(tmp_path): landlock.READ | landlock.WRITE}
    rules[str(tmp_path / "file")] = landlock.READ | landlock.WRITE
    ruleset = landlock.create_ruleset(rules)
    landlock.restrict_self(ruleset)
    os.close(ruleset)
    (create, (attributes, size, _)), (_, folder), (_, file), (restrict, (_, flags)) = calls
    assert (create, restrict) == (444, 446)
    assert isinstance(attributes, bytes)
    assert size == len(attributes) == (8 if version < 4 else 16 if version < 6 else 24)
    fields = struct.unpack(f"{len(attributes) // 8}Q", attributes)
    assert fields[0].bit_length() == (
        13 if version == 1 else 14 if version == 2 else 15 if version < 5 else 16
    )
    assert fields[1:] == ((3, 3)[: len(fields) - 1])
    assert (flags != 0) is (version >= 7)
    granted, _ = struct.unpack("=Qi", folder[2])  # type: ignore[arg-type]
    assert granted == (landlock.READ | landlock.WRITE) & fields[0]
    granted, _ = struct.unpack("=Qi", file[2])  # type: ignore[arg-type]
    assert granted & (landlock.READ_DIR | landlock.MAKE_REG) == 0
    assert granted & landlock.READ_FILE


def test_without_landlock_there_is_no_ruleset(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        @staticmethod
        def syscall(*args: object) -> int:
            return -1

    monkeypatch.setattr(landlock, "_libc", Libc)
    assert landlock.abi() == 0
    with pytest.raises(OSError, match="landlock"):
        landlock.create_ruleset({"/": landlock.READ})


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    if not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    with pytest.raises(FileNotFoundError):
        landlock.create_ruleset({str(tmp_path / "nothing"): landlock.READ})


def test_a_rule_of_which_nothing_is_left_allows_nothing(kernel: tuple[int, Calls], tmp_path: Path) -> None:
    """The kernel answers ENOMSG to a rule without rights: rights of directories, asked for a file."""
    _, calls = kernel
    (tmp_path / "file").touch()
    os.close(landlock.create_ruleset({str(tmp_path / "file"): landlock.READ_DIR | landlock.MAKE_REG}))
    assert [number for number, _ in calls] == [444]


def test_a_path_may_be_given_as_a_descriptor_which_stays_open(
    kernel: tuple[int, Calls], tmp_path: Path
) -> None:
    _, calls = kernel
    folder = os.open(tmp_path, os.O_PATH | os.O_CLOEXEC)
    os.close(landlock.create_ruleset({folder: landlock.READ}))
    assert struct.unpack("=Qi", calls[1][1][2]) == (landlock.READ, folder)  # type: ignore[arg-type]
    os.fstat(folder)
    os.close(folder)


# ---------------------------------------------------------------- in real processes


def refused(ruleset: int, attempt: Callable[[], object]) -> str:
    """The name of what `attempt` raises in a process under the ruleset, "" if it works."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        linux.no_new_privileges()
        landlock.restrict_self(ruleset)
        try:
            attempt()
            os.write(writer, b"-")
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    name = os.read(reader, 100).decode().strip("-")
    os.close(reader)
    return name


@pytest.mark.integration
def test_a_restricted_process_has_what_the_rules_say(tmp_path: Path) -> None:
    version = landlock.abi()
    if version == 0:
        pytest.skip("this kernel has no Landlock")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "old").write_text("x")
    ruleset = landlock.create_ruleset({str(inside): landlock.READ | landlock.WRITE})
    allowed: list[Callable[[], object]] = [
        (inside / "old").read_text,
        (inside / "new").touch,
        lambda: (inside / "folder").mkdir(exist_ok=True),
        (inside / "new").unlink,
        lambda: list(inside.iterdir()),
    ]
    forbidden: list[Callable[[], object]] = [
        (outside / "old").read_text,
        (outside / "new").touch,
        (outside / "folder").mkdir,
        (outside / "old").unlink,
        lambda: list(outside.iterdir()),
        lambda: (inside / "link").symlink_to("old"),
        lambda: os.mkfifo(inside / "pipe"),
        lambda: os.execv("/bin/true", ["true"]),
    ]
    if version >= 3:
        forbidden.append(lambda: os.truncate(outside / "old", 0))
    if version >= 6:
        forbidden.append(lambda: os.kill(os.getppid(), 0))
    # Two processes under one ruleset, as the fork server has it.
    for _ in range(2):
        assert [refused(ruleset, attempt) for attempt in allowed] == [""] * len(allowed)
    assert [refused(ruleset, attempt) for attempt in forbidden] == ["PermissionError"] * len(forbidden)
    os.close(ruleset)
    assert (outside / "old").read_text() == "x"


@pytest.mark.integration
def test_tcp_is_refused_from_version_4_on() -> None:
    if landlock.abi() < 4:
        pytest.skip("this kernel's Landlock does not know the network")
    ruleset = landlock.create_ruleset({"/": landlock.READ})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        connect = refused(ruleset, lambda: socket.create_connection(address, 1))
        bind = refused(ruleset, lambda: socket.create_server(("127.0.0.1", 0)))
    os.close(ruleset)
    assert (connect, bind) == ("PermissionError", "PermissionError")
