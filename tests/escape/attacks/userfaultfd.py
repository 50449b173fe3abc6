"""Handles its own page faults, the tool of many kernel exploits. Success: a descriptor."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
USERFAULTFD = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
for flags in (0, 1, os.O_CLOEXEC | os.O_NONBLOCK, 1 | os.O_CLOEXEC):
    if libc.syscall(USERFAULTFD, flags) >= 0:
        print("ESCAPED: userfaultfd")
print("done")
