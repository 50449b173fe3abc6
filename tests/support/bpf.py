"""Classic BPF (linux/filter.h), as much of it as a seccomp filter may use and ours does."""

import struct
from collections.abc import Sequence

Line = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
LOAD, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06


def answer(lines: Sequence[Line], arch: int, number: int, args: Sequence[int]) -> int:
    """What a filter answers to a system call with six arguments, as the kernel would work it out."""
    data = struct.pack("<IIQ6Q", number, arch, 0xDEADBEEF, *args)
    accumulator = at = 0
    while True:
        code, if_true, if_false, constant = lines[at]
        at += 1
        if code == LOAD:
            assert constant % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif code == RET:
            return constant
        else:
            truth = {
                JEQ: accumulator == constant,
                JGE: accumulator >= constant,
                JSET: bool(accumulator & constant),
            }[code]
            at += if_true if truth else if_false
