"""Changes the library that later runs import. Success: one of its files opens for writing."""

import glob
import json
import mmap
import os

library = os.path.dirname(os.__file__)
paths = [
    os.__file__,
    json.__file__,
    *glob.glob(f"{library}/__pycache__/*")[:20],
    *glob.glob("/lib/*/libc.so*"),
]
for path in paths:
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        try:
            os.close(os.open(path, flags))
            print("ESCAPED: may write", path)
        except OSError:
            pass
    for change in (os.unlink, lambda p: os.chmod(p, 0o777), lambda p: os.rename(p, p + "x")):
        try:
            change(path)
            print("ESCAPED: changed", path)
        except OSError:
            pass
    try:
        fd = os.open(path, os.O_RDONLY)
        mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        print("ESCAPED: mapped for writing", path)
    except (OSError, ValueError):
        pass
print("done")
