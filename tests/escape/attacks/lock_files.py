"""Locks and leases files of the host, so that others wait for them. Success: the canary is locked."""

import fcntl
import json
import os

targets = json.loads(input())
for path in (targets["canary"], os.__file__):
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        print("refused:", error)
        continue
    for lock in (
        lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
        lambda fd: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK),
        lambda fd: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK),
    ):
        try:
            lock(fd)
            print("ESCAPED: locked", path)
        except OSError as error:
            print("refused:", error)
print("done")
