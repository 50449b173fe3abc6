"""Repair: mends a program that fails public examples."""
