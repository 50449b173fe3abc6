"""Changes modules, builtins, the environment and limits in its process. Success: the next run feels it."""

import builtins
import gc
import json
import os
import random
import sys
import threading

builtins.sum = lambda *_: "ESCAPED: sum is mine"
json.dumps = lambda *_, **__: '"ESCAPED: dumps is mine"'
os.environ["ATLAS_LEFT"] = "ESCAPED"
sys.path.insert(0, "/tmp")
sys.setrecursionlimit(60)
sys.modules["math"] = sys.modules["os"]
sys.settrace(None)
random.seed(1)
gc.disable()
threading.stack_size(1 << 20)
os.umask(0o777)
os.chdir("/")
sys.stdout.write("done\n")
