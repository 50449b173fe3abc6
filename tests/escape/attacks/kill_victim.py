"""Kills a process it did not start. Success: the victim is dead."""

import json
import os
import signal

try:
    os.kill(json.loads(input())["victim"], signal.SIGKILL)
    print("ESCAPED: killed it")
except OSError as error:
    print("refused:", error)
print("done")
