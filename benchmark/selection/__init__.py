"""How well a program is chosen without an answer key: `python -m benchmark.selection POOL`."""
