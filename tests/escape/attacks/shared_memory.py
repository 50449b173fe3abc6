"""Leaves data in System V shared memory, semaphores and message queues, which outlive it.

Success: it is there.
"""

import ctypes
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
key = json.loads(input())["key"]
IPC_CREAT = 0o1000
results = (libc.shmget(key, ctypes.c_size_t(4096), IPC_CREAT | 0o666),)
results += (libc.semget(key, 1, IPC_CREAT | 0o666), libc.msgget(key, IPC_CREAT | 0o666))
if any(result >= 0 for result in results):
    print("ESCAPED: made", results)
print("done", os.getpid() > 0)
