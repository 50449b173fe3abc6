"""A record of model calls and runs, and servers that answer from it by content (docs/ARCHITECTURE.md)."""
