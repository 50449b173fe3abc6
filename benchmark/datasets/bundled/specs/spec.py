"""The form of one task's text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """One task without its outputs. `method` is the signature of Solution's method, empty for stdin tasks."""

    id: str
    title: str
    difficulty: str
    statement: str
    public: tuple[str, ...]
    method: str = ""

    @property
    def starter(self) -> str:
        """The starter code as LiveCodeBench writes it."""
        return f"class Solution:\n    def {self.method}:\n        " if self.method else ""
