"""Writes to the devices it has, which are the host's: entropy, modes, locks. Success: one is changed."""

import fcntl
import os

for name in ("urandom", "random", "zero"):
    try:
        fd = os.open(f"/dev/{name}", os.O_WRONLY)
        os.write(fd, b"known" * 10)
        print("wrote", name)  # anyone may: it mixes in and gives no credit
    except OSError:
        pass
    for change in (os.chmod, lambda p, mode: os.chown(p, os.getuid(), 0), lambda p, mode: os.unlink(p)):
        try:
            change(f"/dev/{name}", 0o777)
            print("ESCAPED: changed", name)
        except OSError:
            pass
RNDADDTOENTCNT, RNDZAPENTCNT = 0x40045201, 0x5204
try:
    fcntl.ioctl(os.open("/dev/urandom", os.O_RDONLY), RNDADDTOENTCNT, bytes(4))
    print("ESCAPED: credited entropy")
except OSError:
    pass
print("done")
