"""Lets the kernel send the signal: makes the victim the owner of a pipe's input.

Success: it stands still.
"""

import fcntl
import json
import os
import signal

F_SETSIG, O_ASYNC = 10, 0o20000
victim = json.loads(input())["victim"]
reader, writer = os.pipe()
try:
    fcntl.fcntl(reader, fcntl.F_SETOWN, victim)
    fcntl.fcntl(reader, F_SETSIG, signal.SIGSTOP)
    fcntl.fcntl(reader, fcntl.F_SETFL, O_ASYNC)
    os.write(writer, b"x")
except OSError as error:
    print("refused:", error)
print("done")
