"""Connects to an abstract Unix socket, which has no place in the file system. Success: it is connected."""

import json
import socket

targets = json.loads(input())
try:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + targets["abstract"])
        print("ESCAPED: connected")
except OSError as error:
    print("refused:", error)
print("done")
