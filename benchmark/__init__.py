"""Measures the stack over its REST API. Hidden tests exist only here; no service may import this package."""
