"""Moves the canary away and removes it. Success: it is not where it was."""

import ctypes
import json
import os

targets = json.loads(input())
libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2
canary, other = targets["canary"], targets["directory"] + "/" + targets["mark"] + "-moved"
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}[os.uname().machine]
if (
    libc.syscall(RENAMEAT2, -100, canary.encode(), -100, targets["directory"].encode() + b"/empty", EXCHANGE)
    == 0
):
    print("ESCAPED: exchanged it")
for change in (
    lambda: os.rename(canary, other),
    lambda: os.rename(canary, "here"),
    lambda: os.unlink(canary),
    lambda: os.rmdir(targets["directory"] + "/empty"),
):
    try:
        change()
        print("ESCAPED: moved it")
    except OSError as error:
        print("refused:", error)
print("done")
