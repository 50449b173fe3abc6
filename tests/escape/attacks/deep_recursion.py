"""Recurses for ever in Python. Success: it does not end as an error of the program."""

import sys

sys.setrecursionlimit(2**31 - 1)


def down(n):
    return down(n + 1) + 1


down(0)
