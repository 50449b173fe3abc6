"""Connects to a server on the host over TCP, and sends. Success: the server has a connection."""

import json
import socket

targets = json.loads(input())
for family, host in (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::ffff:127.0.0.1"),
):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.2)
            sock.connect((host, targets["tcp_port"]))
            sock.send(b"escaped")
            print("ESCAPED: connected to", host)
    except OSError as error:
        print("refused:", error)
print("done")
