"""Changes the canary's size, mode, owner, times and attributes, which needs no descriptor.

Success: one is.
"""

import json
import os

canary = json.loads(input())["canary"]
for change in (
    lambda: os.chmod(canary, 0o777),
    lambda: os.utime(canary, (1, 1)),
    lambda: os.setxattr(canary, "user.escaped", b"1"),
    lambda: os.truncate(canary, 1),
    lambda: os.chown(canary, os.getuid(), os.getgid()),
):
    try:
        change()
        print("ESCAPED: changed it")
    except OSError as error:
        print("refused:", error)
print("done")
