"""Exec a command as a child that dies with its parent: `trampoline.py PARENT_PID COMMAND…`.

Linux ties a process's life to its parent's with `prctl(PR_SET_PDEATHSIG)`. Asking for it in a
`preexec_fn` runs Python between fork and exec, which may deadlock in a parent with threads; this file
asks for it in a fresh interpreter (about 20 ms) that then becomes the command. If the parent died before
the request took effect, `getppid` has changed by now and nothing is started.

On systems without prctl (macOS) the command runs all the same; it just outlives a killed parent.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, check that the parent still lives, become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent is gone; not starting")
    os.execvpe(command[0], command, os.environ)  # noqa: S606 - a list, no shell


main()
