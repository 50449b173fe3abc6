"""Looks for what `leave_files` and `directory_depth` left. Success: something is there."""

import glob
import importlib
import json
import os

for place in (".", "/box", "/tmp", "/var/tmp", "/dev/shm", "/run"):
    for name in ("atlas_left.py", "json.py", "sitecustomize.py", "dddd*", "atlas-fill-*", "atlas-inode-*"):
        if glob.glob(f"{place}/{name}"):
            print("ESCAPED: found", place, name)
try:
    importlib.import_module("atlas_left")
except ImportError:
    pass
print("done", json.dumps(sorted(os.listdir("/box")) if os.path.isdir("/box") else []) == "[]")
