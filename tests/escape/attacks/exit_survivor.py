"""Handlers for exits and every signal that do their work after the run. Success: they outlive it."""

import atexit
import json
import os
import signal
import threading
import time

targets = json.loads(input())


def write_later(*_):
    try:
        if os.fork():
            return
        os.closerange(0, 3)
        time.sleep(0.2)
        with open(f"{targets['directory']}/{targets['mark']}-exit", "w") as file:
            file.write("alive")
        time.sleep(3)
        os._exit(0)
    except OSError:
        pass


for number in range(1, signal.NSIG):
    try:
        signal.signal(number, write_later)
    except (OSError, ValueError):
        pass
atexit.register(write_later)
threading.Thread(target=lambda: (time.sleep(3600), write_later()), daemon=True).start()
signal.setitimer(signal.ITIMER_REAL, 0.05)
print("done", flush=True)
