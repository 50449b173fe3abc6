"""Fills the disk. Success: more than 64 MiB written anywhere."""

import os

written, places = 0, ["", "/tmp/", "/var/tmp/", "/dev/shm/", "/"]
for place in places:
    names = []
    try:
        for number in range(4000):
            name = f"{place}atlas-fill-{os.getpid()}-{number}"
            with open(name, "wb") as file:
                names.append(name)
                written += file.write(bytes(30_000))
            if written > 64 << 20:
                break
    except OSError as error:
        print("refused:", place, error)
    for name in names:
        os.unlink(name)
if written > 64 << 20:
    print("ESCAPED: wrote", written >> 20, "MiB")
print("done")
