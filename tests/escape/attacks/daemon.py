"""Leaves a process behind that writes a file later: fork, new session, fork. Success: it survives."""

import json
import os
import time

targets = json.loads(input())
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(0.2)
            with open(f"{targets['directory']}/{targets['mark']}-later", "w") as file:
                file.write("alive")
            time.sleep(3)
        os._exit(0)
    print("ESCAPED: left a daemon")
except OSError as error:
    print("refused:", error)
print("done")
