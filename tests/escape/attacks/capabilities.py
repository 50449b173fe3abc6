"""Looks for capabilities it still has, or can get back. Success: there is one."""

import ctypes
import struct

libc = ctypes.CDLL(None, use_errno=True)
HEADER = struct.pack("Ii", 0x20080522, 0)
held = ctypes.create_string_buffer(24)
if libc.capget(HEADER, held) == 0 and any(held.raw):
    print("ESCAPED: holds", held.raw.hex())
if libc.capset(HEADER, b"\xff" * 24) == 0 or libc.capset(HEADER, b"\xff" * 8 + bytes(16)) == 0:
    print("ESCAPED: took capabilities")
PR_CAP_AMBIENT, RAISE, PR_SET_KEEPCAPS, PR_SET_SECUREBITS = 47, 2, 8, 28
if libc.prctl(PR_CAP_AMBIENT, RAISE, 21, 0, 0) == 0:
    print("ESCAPED: raised one")
print("done")
