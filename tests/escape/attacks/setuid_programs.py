"""Starts programs that run as root for everyone. Success: one is started."""

import os

for path in ("/bin/su", "/usr/bin/sudo", "/bin/mount", "/usr/bin/passwd", "/bin/ping", "/usr/bin/newgrp"):
    try:
        os.posix_spawn(path, [path, "--version"], {})
        print("ESCAPED: started", path)
    except OSError:
        pass
try:
    with open("mine", "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod("mine", 0o6755)
    print("ESCAPED: made a set-user-id file")
except OSError:
    pass
print("done")
