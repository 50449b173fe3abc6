"""Makes system calls from machine code of its own, past libc: socket, fork, execve. Success: one works."""

import ctypes
import mmap
import os

CODE = {
    # mov rax,rdi; mov rdi,rsi; mov rsi,rdx; mov rdx,rcx; syscall; ret
    "x86_64": "4889f8 4889f7 4889d6 4889ca 0f05 c3",
    # mov x8,x0; mov x0,x1; mov x1,x2; mov x2,x3; svc #0; ret
    "aarch64": "e80300aa e00301aa e10302aa e20303aa 010000d4 c0035fd6",
}
NUMBERS = {"x86_64": (41, 57, 59), "aarch64": (198, 220, 221)}
machine = os.uname().machine
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex(CODE[machine]))
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
call = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 4)(address)
SOCKET, FORK, EXECVE = NUMBERS[machine]
found = {"socket": call(SOCKET, 2, 1, 0)}
pid = call(FORK, 17, 0, 0)
if pid == 0:
    os._exit(0)
found["fork"] = pid
name = ctypes.create_string_buffer(b"/bin/true")
if any(result >= 0 for result in found.values()):
    print("ESCAPED:", found)
    raise SystemExit(0)
found["execve"] = call(EXECVE, ctypes.addressof(name), 0, 0)
print("refused:", found)
print("done")
