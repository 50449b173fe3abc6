"""The executor's end of the fork server: starts the launcher process and gets slot servers from it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from atlas.errors import InfrastructureError, StartupError
from services.sandbox.forkserver import wire
from services.sandbox.forkserver.launcher import Order

MAIN = Path(__file__).parent / "forkserver" / "main.py"
START_S = 30.0
SLOT_S = 5.0
# Not "nobody": others run as that. This number is one that distributions leave unused.
UNPRIVILEGED_UID = 65_533
# Fixed, so that a program whose answer depends on the order of a set is judged the same way every time.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class LostError(InfrastructureError):
    """A process of the fork server has gone, or does not answer."""


class SlotProcess(NamedTuple):
    """A slot server: our end of its socket, and its pid."""

    sock: socket.socket
    pid: int


class ForkServer:
    """A launcher process. Thread-safe.

    Raises:
        StartupError: it cannot do what the order's level needs; says what was refused.
    """

    def __init__(self, order: Order) -> None:
        self._lock = Lock()
        self._broken = False
        self._log = os.memfd_create("atlas-launcher-log", os.MFD_CLOEXEC)
        self._control, theirs = wire.pair()
        try:
            command = [sys.executable, "-s", "-S", "-B", "-X", "utf8", str(MAIN)]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), json.dumps(asdict(order))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            os.close(self._log)
            raise StartupError(f"cannot start the sandbox's launcher: {error}") from error
        finally:
            theirs.close()
        try:
            self._answer(START_S)
        except LostError as error:
            said = self._last_words()
            self.close()
            raise StartupError(f"the sandbox's launcher did not start: {error}{said}") from error

    @property
    def alive(self) -> bool:
        """False once it has ended, or has failed to answer: whatever it says later is to an old question."""
        return not self._broken and self._process.poll() is None

    def new_slot(self) -> SlotProcess:
        """Start a slot server and wait until it takes runs.

        Raises:
            LostError: the launcher has gone, or the slot server could not set itself up.
        """
        ours, theirs = wire.pair()
        try:
            with self._lock:
                pid = self._ask(theirs.fileno())
            theirs.close()
            ours.settimeout(SLOT_S)
            expect(ours, "ready")
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        if not isinstance(pid, int):
            raise LostError("the launcher answered nonsense")
        return SlotProcess(ours, pid)

    def close(self) -> None:
        """Kill it, with every slot server and run."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._control.close()
        os.close(self._log)

    def _ask(self, descriptor: int) -> object:
        try:
            wire.send(self._control, {"slot": True}, [descriptor])
            return self._answer(SLOT_S)["pid"]
        except (OSError, LostError) as error:
            self._broken = True
            raise LostError(f"the launcher does not answer: {error}{self._last_words()}") from error

    def _answer(self, timeout_s: float) -> wire.Message:
        self._control.settimeout(timeout_s)
        return expect(self._control)

    def _last_words(self) -> str:
        text = os.pread(self._log, 64 << 10, 0).decode("utf-8", "replace").strip()
        return f" ({text.splitlines()[-1][:500]})" if text else ""


def expect(sock: socket.socket, key: str = "") -> wire.Message:
    """The next message, which must not be a failure and must hold `key`.

    Raises:
        LostError: it is a failure, something else, or nobody is there.
    """
    try:
        message, descriptors = wire.receive(sock)
    except (OSError, ValueError) as error:
        raise LostError(f"no answer: {error}") from error
    for fd in descriptors:
        os.close(fd)
    if message is None:
        raise LostError("it ended")
    if "failed" in message or (key and key not in message):
        raise LostError(str(message.get("failed", message)))
    return message
