"""Uses the descriptors it inherited. Success: one is more than a file in memory for this run alone."""

import os
import stat

for descriptor in range(3, 1024):
    try:
        found = os.fstat(descriptor)
    except OSError:
        continue
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFSOCK:
        print("ESCAPED: a socket at", descriptor)
    elif kind == stat.S_IFDIR:
        try:
            print("ESCAPED: lists", os.listdir(descriptor)[:3], "at", descriptor)
        except OSError:
            print("a directory that cannot be listed at", descriptor)
    elif kind == stat.S_IFREG and found.st_nlink:
        print("ESCAPED: a file with a name at", descriptor)
    elif kind == stat.S_IFCHR and found.st_rdev != os.makedev(1, 3):
        print("ESCAPED: a device at", descriptor)
print("done")
