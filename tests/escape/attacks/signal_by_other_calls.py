"""Signals the victim by the less known calls: tkill, tgkill, sigqueue, pidfds. Success: it stands still."""

import ctypes
import json
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
TKILL, TGKILL, QUEUE, TGQUEUE = {
    "x86_64": (200, 234, 129, 297),
    "aarch64": (130, 131, 138, 240),
}[os.uname().machine]
PIDFD_OPEN, PIDFD_SEND = 434, 424
victim = json.loads(input())["victim"]
details = (ctypes.c_int * 32)(signal.SIGSTOP, 0, -1)
results = [
    libc.syscall(TKILL, victim, signal.SIGSTOP),
    libc.syscall(TGKILL, victim, victim, signal.SIGSTOP),
    libc.syscall(QUEUE, victim, signal.SIGSTOP, details),
    libc.syscall(TGQUEUE, victim, victim, signal.SIGSTOP, details),
]
pidfd = libc.syscall(PIDFD_OPEN, victim, 0)
results.append(libc.syscall(PIDFD_SEND, pidfd, signal.SIGSTOP, None, 0) if pidfd >= 0 else -1)
if any(result == 0 for result in results):
    print("ESCAPED: signalled it", results)
print("done")
