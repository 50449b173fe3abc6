"""Makes new namespaces, in which it would be root. Success: one is made, or joined."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
FLAGS = {
    "user": 0x10000000,
    "user and mount": 0x10020000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "ipc": 0x8000000,
    "uts": 0x4000000,
    "cgroup": 0x2000000,
    "time": 0x80,
    "files": 0x400,
}
for name, flags in FLAGS.items():
    if libc.unshare(flags) == 0:
        print("ESCAPED: unshared", name)
for pid in (1, os.getppid()):
    for kind in ("user", "mnt", "net"):
        try:
            if libc.setns(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY), 0) == 0:
                print("ESCAPED: joined", kind)
        except OSError:
            pass
print("done")
