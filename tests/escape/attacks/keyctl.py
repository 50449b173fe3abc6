"""Uses the kernel's key rings, which outlive processes. Success: a key is added or read."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, REQUEST_KEY, KEYCTL = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[os.uname().machine]
PROCESS, SESSION, USER = -2, -3, -4
GET_ID, JOIN = 0, 1
for ring in (PROCESS, SESSION, USER):
    if libc.syscall(ADD_KEY, b"user", b"atlas-escaped", b"x", ctypes.c_size_t(1), ring) > 0:
        print("ESCAPED: added a key")
    if libc.syscall(KEYCTL, GET_ID, ring, 1) > 0:
        print("ESCAPED: has a ring")
if libc.syscall(KEYCTL, JOIN, None) > 0 or libc.syscall(REQUEST_KEY, b"user", b"atlas-escaped", None, 0) > 0:
    print("ESCAPED: keyctl works")
print("done")
