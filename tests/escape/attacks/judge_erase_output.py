"""Prints a wrong answer and then erases it by truncating and rewinding its output. Success: accepted."""

import os

print("wrong", flush=True)
for descriptor in range(64):
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        pass
raise SystemExit(0)
