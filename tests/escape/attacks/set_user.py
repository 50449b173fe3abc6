"""Becomes another user. Success: it is one, or root."""

import os

for change in (
    lambda: os.setuid(0),
    lambda: os.setresuid(0, 0, 0),
    lambda: os.setreuid(0, 0),
    lambda: os.seteuid(0),
    lambda: os.setgid(0),
    lambda: os.setresgid(0, 0, 0),
    lambda: os.setgroups([0]),
    lambda: os.setuid(os.getuid() + 1),
    lambda: os.initgroups("root", 0),
):
    try:
        change()
        print("ESCAPED: changed user or group")
    except OSError:
        pass
if 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()):
    print("ESCAPED: is root", os.getresuid(), os.getresgid(), os.getgroups())
print("done")
