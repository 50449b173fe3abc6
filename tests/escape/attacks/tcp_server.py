"""Listens for connections. Success: others can reach this program."""

import socket

for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind((host, 0))
            sock.listen()
            print("ESCAPED: listens on", sock.getsockname())
    except OSError as error:
        print("refused:", error)
print("done")
