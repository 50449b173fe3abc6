"""Writes to /proc: its own limits, maps and OOM score, and the kernel's settings. Success: one takes it."""

import os

parent = os.getppid()
for path, text in {
    "/proc/self/oom_score_adj": "-1000",
    "/proc/self/uid_map": "0 0 1",
    "/proc/self/coredump_filter": "0",
    "/proc/self/clear_refs": "1",
    f"/proc/{parent}/oom_score_adj": "1000",
    "/proc/sys/kernel/core_pattern": "|/tmp/x",
    "/proc/sys/kernel/hostname": "escaped",
    "/proc/sysrq-trigger": "h",
    "/proc/self/attr/current": "unconfined",
    "/proc/self/comm": "escaped",
}.items():
    try:
        with open(path, "w") as file:
            file.write(text)
        print("ESCAPED: wrote", path)
    except OSError:
        pass
print("done")
