"""Learns about files of the host without opening them. Success: it knows the canary's size."""

import json
import os

targets = json.loads(input())
for look in (
    os.stat,
    os.lstat,
    lambda p: os.access(p, os.R_OK) or 1 / 0,
    lambda p: os.chdir(os.path.dirname(p)),
):
    try:
        look(targets["canary"])
        print("ESCAPED: it is there")
    except (OSError, ZeroDivisionError):
        pass
print("done")
