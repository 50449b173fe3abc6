"""Leaves data in POSIX shared memory, semaphores and message queues. Success: it is there."""

import ctypes
import json
import os

targets = json.loads(input())
libc = ctypes.CDLL(None, use_errno=True)
name = b"/" + targets["mark"].encode()
MQ_OPEN = {"x86_64": 240, "aarch64": 180}[os.uname().machine]
try:
    from multiprocessing import shared_memory

    shared_memory.SharedMemory(targets["mark"], create=True, size=4096)
    print("ESCAPED: shared memory")
except (OSError, ImportError) as error:
    print("refused:", error)
if libc.shm_open(name + b"2", os.O_CREAT | os.O_RDWR, 0o666) >= 0:
    print("ESCAPED: shm_open")
if libc.syscall(MQ_OPEN, name[1:], os.O_CREAT | os.O_RDWR, 0o666, None) >= 0:
    print("ESCAPED: a message queue")
libc.sem_open.restype = ctypes.c_void_p
if libc.sem_open(name, os.O_CREAT, 0o666, 1):
    print("ESCAPED: a semaphore")
print("done")
