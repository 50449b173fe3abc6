"""Writes files wherever a process might. Success: one is there."""

import json
import os
import sys

targets = json.loads(input())
places = [targets["directory"], "/tmp", "/var/tmp", "/dev/shm", "/run", "/", "/etc", "/home", "/root", "/dev"]
for place in [*places, *sys.path, os.path.dirname(sys.executable or "/x")]:
    path = os.path.join(place, targets["mark"])
    for make in (lambda p: open(p, "w").close(), os.mkdir, os.mkfifo):
        try:
            make(path)
            print("ESCAPED: made", path)
            break
        except OSError:
            pass
print("done")
