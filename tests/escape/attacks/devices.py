"""Opens devices: memory, disks, terminals, KVM. Success: one opens, or can be made."""

import os
import stat

for name in (
    "mem",
    "kmem",
    "port",
    "kvm",
    "fuse",
    "tty",
    "ptmx",
    "console",
    "vda",
    "sda",
    "loop-control",
    "net/tun",
):
    for flags in (os.O_RDWR, os.O_RDONLY, os.O_WRONLY):
        try:
            os.close(os.open(f"/dev/{name}", flags | os.O_NONBLOCK))
            print("ESCAPED: opened", name)
        except OSError:
            pass
for place in ("", "/tmp/", "/dev/"):
    for kind, device in (
        (stat.S_IFBLK, os.makedev(254, 0)),
        (stat.S_IFCHR, os.makedev(1, 1)),
        (stat.S_IFIFO, 0),
    ):
        try:
            os.mknod(f"{place}atlas-node", kind | 0o666, device)
            print("ESCAPED: made a device or pipe")
            os.unlink(f"{place}atlas-node")
        except OSError:
            pass
print("done")
