"""Kills every process it may: its parent, its group, everyone. Success: the slot server dies."""

import os
import signal

for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV):
    for pid in (-1, 0, 1, os.getppid(), -os.getppid()):
        try:
            if pid != os.getpid():
                os.kill(pid, number)
                print("ESCAPED: signalled", pid)
        except OSError:
            pass
print("done")
