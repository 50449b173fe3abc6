"""Recurses in C until the stack is gone. Success: anything but its own death."""

import sys

sys.setrecursionlimit(2**31 - 1)
nested = []
for _ in range(3_000_000):
    nested = [nested]
repr(nested)
print(nested == nested.copy())
sorted([nested], key=repr)
