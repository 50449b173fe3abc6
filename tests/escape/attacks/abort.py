"""Aborts, with a core dump if it may. Success: a core file on the host."""

import os

os.abort()
