"""Tasks of ATLAS's own writing: `tasks.jsonl` is what is loaded, `build.py` is how it was made."""
