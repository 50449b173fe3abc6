"""Changes resource limits: its own up, the victim's down. Success: one changes."""

import ctypes
import json
import os
import resource

libc = ctypes.CDLL(None, use_errno=True)
PRLIMIT = {"x86_64": 302, "aarch64": 261}[os.uname().machine]
victim = json.loads(input())["victim"]
for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
    for value in (
        resource.getrlimit(kind),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        (1 << 40, 1 << 40),
    ):
        try:
            resource.setrlimit(kind, value)
            print("ESCAPED: set", kind, value)
        except (OSError, ValueError):
            pass
for pid in (victim, os.getppid()):
    wanted = (ctypes.c_ulonglong * 2)(7, 7)
    if libc.syscall(PRLIMIT, pid, resource.RLIMIT_NOFILE, wanted, None) == 0:
        print("ESCAPED: limited", pid)
print("done")
