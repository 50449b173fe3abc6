"""Looks for what `leave_state` changed. Success: something is."""

import gc
import json
import math
import os
import sys
import threading

print(sum([1, 2]), json.dumps([3]), os.environ.get("ATLAS_LEFT"), math.sqrt(4.0))
if sys.getrecursionlimit() < 1000 or not gc.isenabled() or threading.stack_size() or "/tmp" in sys.path:
    print("ESCAPED: the interpreter is as the last run left it")
if os.umask(0) == 0o777:
    print("ESCAPED: umask")
print("done")
