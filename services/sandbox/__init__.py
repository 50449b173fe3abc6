"""Sandbox: the executor that runs hostile code, and the worker that asks it to."""
