"""Closes every descriptor, the result channel among them, and goes.

Success: a run without a result is good.
"""

import os

print("done", flush=True)
os.closerange(0, 4096)
os._exit(7)
