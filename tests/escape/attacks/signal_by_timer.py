"""Timers that signal another thread or process. Success: a timer for someone else is made."""

import ctypes
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
CREATE = {"x86_64": 222, "aarch64": 107}[os.uname().machine]
victim = json.loads(input())["victim"]
SIGEV_THREAD_ID, SIGSTOP, CLOCK_MONOTONIC = 4, 19, 1
event = (ctypes.c_int * 16)(0, 0, SIGSTOP, SIGEV_THREAD_ID, victim)
timer = ctypes.c_int()
for kind in (SIGEV_THREAD_ID, 0):
    event[3] = kind
    if libc.syscall(CREATE, CLOCK_MONOTONIC, event, ctypes.byref(timer)) == 0:
        print("ESCAPED: made a timer")
print("done")
