"""Repair: mends failing candidates (not built yet, and says so)."""
