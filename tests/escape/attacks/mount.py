"""Mounts file systems by the old calls and the new. Success: one is mounted, or taken away."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSPICK, SETATTR = 428, 429, 430, 433, 442
results = {
    f"{kind} on {place}": libc.mount(b"none", place.encode(), kind.encode(), flags, None)
    for kind, flags in (("tmpfs", 0), ("proc", 0), ("none", 0x1000), ("none", 32), ("overlay", 0))
    for place in ("/box", "/tmp", "/", ".")
}
results |= {
    f"umount {p}": libc.umount2(p.encode(), 2) for p in ("/box", "/lib", "/usr/lib", "/dev/null", "/")
}
results["open_tree"] = libc.syscall(OPEN_TREE, -100, b"/", 1 | 0x80000)
results["fsopen"] = libc.syscall(FSOPEN, b"tmpfs", 0)
results["fspick"] = libc.syscall(FSPICK, -100, b"/", 0)
results["setattr"] = libc.syscall(SETATTR, -100, b"/", 0x8000, (ctypes.c_ulonglong * 4)(0, 1), 32)
for what, result in results.items():
    if result >= 0:
        print("ESCAPED:", what)
print("done", os.getcwd() != "")
