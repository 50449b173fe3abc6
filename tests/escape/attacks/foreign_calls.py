"""Makes 32-bit system calls (int 0x80), whose numbers a filter for 64 bits reads wrongly.

Success: one works.
"""

import ctypes
import mmap
import os

if os.uname().machine != "x86_64":
    print("done")
    raise SystemExit(0)
# mov eax,20 (getpid of i386, writev of x86-64); int 0x80; ret
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex("b814000000 cd80 c3"))
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
if call() == os.getpid():
    print("ESCAPED: int 0x80 works")
print("done")
