"""Calls for administrators, each with harmless arguments. Success: one answers other than "not permitted".

"No such call" counts as a refusal.
"""

import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "reboot": (169, 142),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "perf_event_open": (298, 241),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "vhangup": (153, 58),
    "kcmp": (312, 272),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "fanotify_init": (300, 262),
    "inotify_init1": (294, 26),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "signalfd4": (289, 74),
    "timerfd_create": (283, 85),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "quotactl_fd": (443, 443),
    "splice": (275, 76),
    "vmsplice": (278, 75),
    "tee": (276, 77),
    "fallocate": (285, 47),
    "mlockall": (151, 230),
    "map_shadow_stack": (453, 453),
}
column = ("x86_64", "aarch64").index(os.uname().machine)
for name, numbers in CALLS.items():
    if numbers[column] is None:
        continue
    ctypes.set_errno(0)
    result = libc.syscall(numbers[column], -1, 0, 0, 0, 0, 0)
    if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print("ESCAPED:", name, "answers", result, errno.errorcode.get(ctypes.get_errno()))
print("done")
