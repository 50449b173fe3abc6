"""Looks for the input and output of a program that runs beside it.

Success: the neighbour's secret is printed.
"""

import glob
import time

began = time.monotonic()
while time.monotonic() < began + 0.4:
    paths = [*glob.glob("/proc/[0-9]*/fd/*"), *glob.glob("/proc/[0-9]*/task/*/fd/*"), *glob.glob("/box/*")]
    paths += [*glob.glob("/tmp/*"), *glob.glob("/dev/shm/*"), *glob.glob("/dev/fd/*"), *glob.glob("/*")]
    for path in paths:
        try:
            with open(path, "rb") as file:
                data = file.read(10_000)
        except OSError:
            continue
        if b"neighbour-" in data:
            print("ESCAPED:", path, data)
    time.sleep(0.05)
print("done")
