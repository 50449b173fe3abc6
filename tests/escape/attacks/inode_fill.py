"""Makes empty files and directories until the file system has no more names. Success: over 10,000."""

import os

made = 0
for place in ("", "/tmp/", "/dev/shm/", "/"):
    names = []
    try:
        for number in range(11_000):
            names.append(f"{place}atlas-inode-{os.getpid()}-{number}")
            os.mkdir(names[-1])
            made += 1
    except OSError as error:
        print("refused:", place, error)
        names.pop()
    for name in names:
        os.rmdir(name)
if made > 10_000:
    print("ESCAPED: made", made, "directories")
print("done")
