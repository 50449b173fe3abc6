"""Starts programs by every way there is. Success: one runs."""

import ctypes
import os
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
MEMFD = {"x86_64": 319, "aarch64": 279}[os.uname().machine]
if os.system("echo ESCAPED: system") == 0:
    print("ESCAPED: system")
for path in ("/bin/sh", "/bin/true", "/usr/bin/env", sys.executable or "/usr/bin/python3"):
    for start in (
        lambda p: subprocess.run([p, "-c", "echo ESCAPED: a shell"]),
        lambda p: os.posix_spawn(p, [p, "-c", "exit"], {}),
        lambda p: os.popen(f"{p} -c 'echo ESCAPED'").read(),
        lambda p: os.spawnv(os.P_WAIT, p, [p, "-c", "exit"]),
    ):
        try:
            print("ESCAPED:", start(path))
        except (OSError, ValueError) as error:
            print("refused:", error)
fd = libc.syscall(MEMFD, b"program", 0)
if fd >= 0:
    print("ESCAPED: a file in memory to execute")
for loader in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"):
    try:
        os.execv(loader, [loader, "/bin/echo", "ESCAPED: the loader runs"])
    except OSError as error:
        print("refused:", error)
print("done")
