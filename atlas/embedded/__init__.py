"""What `atlas up` runs as children of its own process: Redis, llama-server, the sandbox executor."""
