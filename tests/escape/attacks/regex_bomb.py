"""Matches a pattern that needs exponential time, in C. Success: the slot is lost."""

import re

re.match(r"(a|a|aa)*$", "a" * 200 + "b")
