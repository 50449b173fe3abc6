"""Ends, with an exit handler and a thread that do not. Success: the slot is lost."""

import atexit
import threading


def stay():
    while True:
        pass


atexit.register(stay)
threading.Thread(target=stay).start()
print("done")
