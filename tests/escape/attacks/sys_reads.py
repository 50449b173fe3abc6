"""Reads the machine through /sys, and changes its control groups. Success: anything there opens."""

import glob
import os

found = 0
for place in ("/sys", "/sys/kernel", "/sys/class/net", "/sys/fs/cgroup", "/sys/devices/system/cpu"):
    try:
        found += len(os.listdir(place))
    except OSError:
        pass
for path in [*glob.glob("/sys/kernel/*"), *glob.glob("/sys/class/dmi/id/*"), "/sys/power/state"]:
    try:
        with open(path, "rb") as file:
            file.read(100)
        found += 1
    except OSError:
        pass
try:
    os.mkdir("/sys/fs/cgroup/atlas-escaped")
    print("ESCAPED: made a control group")
except OSError:
    pass
if found:
    print("ESCAPED: saw", found, "things in /sys")
print("done")
