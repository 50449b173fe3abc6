"""Loads programs and maps into the kernel with bpf(2). Success: a descriptor."""

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
MAP_CREATE, PROG_LOAD = 0, 5
code = ctypes.create_string_buffer(struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0))
licence = ctypes.create_string_buffer(b"GPL")
commands = {
    MAP_CREATE: struct.pack("IIII", 2, 4, 4, 4),
    PROG_LOAD: struct.pack("IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)),
}
for command, attributes in commands.items():
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    if libc.syscall(BPF, command, buffer, 128) >= 0:
        print("ESCAPED: bpf", command)
print("done")
