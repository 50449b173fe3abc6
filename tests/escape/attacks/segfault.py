"""Reads address 0. Success: anything but its own death takes part."""

import ctypes

ctypes.string_at(0)
