"""Decides, with hidden tests and on an executor of its own, whether a program is right."""
