"""Attaches to the victim, and to its own parent, as a debugger. Success: it dies with us."""

import ctypes
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE, EXITKILL = 16, 0x4206, ctypes.c_void_p(0x100000)
NULL = ctypes.c_void_p()
for pid in (json.loads(input())["victim"], os.getppid()):
    for request, options in ((SEIZE, EXITKILL), (ATTACH, NULL)):
        if libc.ptrace(request, pid, NULL, options) == 0:
            print("ESCAPED: attached to", pid)
            break
print("done")
