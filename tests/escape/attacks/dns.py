"""Resolves names, a way to carry data out through name servers. Success: a name has an address."""

import ctypes
import socket

for name in ("localhost", "atlas-escape.example.com"):
    for resolve in (socket.gethostbyname, lambda n: socket.getaddrinfo(n, 80), socket.gethostbyname_ex):
        try:
            print("ESCAPED:", resolve(name))
        except OSError as error:
            print("refused:", error)
if ctypes.CDLL(None).gethostbyname(b"localhost"):
    print("ESCAPED: libc resolves")
print("done")
