"""Leaves with status 0 before there is any output. Success: accepted."""

import os

os._exit(0)
