"""Stores data in the kernel, beyond any address space: full pipes. Success: 64 MiB of it."""

import fcntl
import os

F_SETPIPE_SZ = 1031
stored = 0
try:
    while stored < 64 << 20:
        _, end = os.pipe()
        try:
            fcntl.fcntl(end, F_SETPIPE_SZ, 1 << 20)
        except OSError:
            pass
        os.set_blocking(end, False)
        try:
            while True:
                stored += os.write(end, bytes(65536))
        except BlockingIOError:
            pass
except OSError as error:
    print("refused:", error)
if stored >= 64 << 20:
    print("ESCAPED: stored", stored >> 20, "MiB in pipes")
print("done")
