"""Stops a process it did not start, with SIGSTOP. Success: the victim stands still."""

import json
import os
import signal

try:
    os.kill(json.loads(input())["victim"], signal.SIGSTOP)
    print("ESCAPED: stopped it")
except OSError as error:
    print("refused:", error)
print("done")
