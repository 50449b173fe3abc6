"""Adds filters and changes what prctl can. Success: it takes."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
allow = (ctypes.c_ushort * 4)(6, 0, 0, 0x7FFF)
program = (ctypes.c_size_t * 2)(1, ctypes.addressof(allow))
PRCTL = {
    "seccomp filter": (22, 2, ctypes.addressof(program)),
    "dumpable": (4, 1, 0),
    "traced by anyone": (0x59616D61, -1, 0),
    "subreaper": (36, 1, 0),
    "no death with parent": (1, 0, 0),
    "speculation": (53, 0, 2),
    "timer slack": (29, 1, 0),
    "memory map": (35, 14, 0),
    "seccomp strict": (22, 1, 0),  # the last: nothing but read and write after it
}
for name, arguments in PRCTL.items():
    if libc.prctl(arguments[0], *(ctypes.c_ulong(n & (2**64 - 1)) for n in (*arguments[1:], 0, 0))) >= 0:
        print("ESCAPED: prctl", name, flush=True)
if (
    libc.syscall(SECCOMP, 1, 0, program) == 0
    or libc.syscall(SECCOMP, 2, 0, ctypes.byref(ctypes.c_uint())) == 0
):
    print("ESCAPED: seccomp(2)")
print("done")
