"""Switches address randomisation off, and reads as pages that may be executed. Success: it takes."""

import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for persona in (0x0040000, 0x0400000, 0x0100000, 8):
    if libc.personality(ctypes.c_ulong(persona)) >= 0:
        print("ESCAPED: personality", hex(persona))
print("done")
