"""Forks for ever. Success: a second process exists."""

import os

made = 0
try:
    while True:
        if os.fork():
            made += 1
except OSError as error:
    print("refused:", error)
if made:
    print("ESCAPED: made", made, "processes")
print("done")
