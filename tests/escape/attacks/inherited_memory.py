"""Looks for secrets in its own memory: what its parents read before they forked it.

Success: one is printed.

A write from memory that is not there fails instead of crashing: so every page can be tried.
"""

import ctypes
import gc
import os
import re

libc = ctypes.CDLL(None, use_errno=True)
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
PAGE = os.sysconf("SC_PAGE_SIZE")
reader, writer = os.pipe()
wanted = b"atlas-" + b"secret-"
starts = {id(None), id(gc), id(wanted), ctypes.addressof(ctypes.c_int())}
starts.add(ctypes.cast(libc.write, ctypes.c_void_p).value)
environment = ctypes.c_void_p.in_dll(libc, "environ").value
if environment:
    starts.add(environment)
seen = set()
for start in starts:
    for page in range((start // PAGE - 1500) * PAGE, (start // PAGE + 1500) * PAGE, PAGE):
        if page <= 0 or page in seen or libc.write(writer, page, PAGE) != PAGE:
            continue
        seen.add(page)
        data = os.read(reader, PAGE)
        for found in re.findall(wanted + b"[0-9a-f]{24}", data):
            print("ESCAPED:", found.decode())
print("done", len(seen) > 100)
