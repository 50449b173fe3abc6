"""Sends a datagram to the host. Success: it arrives."""

import json
import socket

targets = json.loads(input())
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"escaped", ("127.0.0.1", targets["udp_port"]))
        print("ESCAPED: sent")
except OSError as error:
    print("refused:", error)
print("done")
