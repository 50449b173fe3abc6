"""Makes a socket of every family and type, by name and by number. Success: one is made."""

import ctypes
import os
import socket

libc = ctypes.CDLL(None, use_errno=True)
SOCKET, PAIR = {"x86_64": (41, 53), "aarch64": (198, 199)}[os.uname().machine]
made = set()
for family in range(48):
    for kind in (1, 2, 3, 4, 5, 6, 10):
        for protocol in (0, 1, 3, 6, 16, 17, 255, 768):
            fd = libc.syscall(SOCKET, family, kind, protocol)
            if fd >= 0:
                made.add(family)
                os.close(fd)
ends = (ctypes.c_int * 2)()
for kind in (1, 2, 5):
    if libc.syscall(PAIR, socket.AF_UNIX, kind, 0, ends) == 0:
        made.add("pair")
        os.close(ends[0]), os.close(ends[1])
if made:
    print("ESCAPED: sockets of", sorted(map(str, made)))
print("done")
