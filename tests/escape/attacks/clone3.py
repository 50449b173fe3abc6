"""Makes a process with clone3 and clone, whose flags a filter may not see. Success: there is one."""

import ctypes
import os

libc = ctypes.PyDLL(None, use_errno=True)
CLONE3, CLONE = 435, {"x86_64": 56, "aarch64": 220}[os.uname().machine]
NULL = ctypes.c_void_p()
NEWUSER, NEWPID, VFORK, PARENT, SIGCHLD = 0x10000000, 0x20000000, 0x4000, 0x8000, 17
for flags in (0, NEWUSER, NEWUSER | NEWPID, VFORK, PARENT):
    arguments = (ctypes.c_ulonglong * 11)(flags, 0, 0, 0, SIGCHLD)
    pid = libc.syscall(CLONE3, arguments, ctypes.c_size_t(88))
    if pid < 0:
        pid = libc.syscall(CLONE, ctypes.c_ulong(flags | SIGCHLD), NULL, NULL, NULL, NULL)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        print("ESCAPED: cloned with", hex(flags))
try:
    if os.posix_spawn("/bin/true", ["true"], {}):
        print("ESCAPED: spawned")
except OSError as error:
    print("refused:", error)
print("done")
