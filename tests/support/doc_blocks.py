"""The blocks of commands in a document, and what each says it needs: ```bash needs=cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

NEEDS = ("network", "gpu", "cluster", "measuring")
_BLOCK = re.compile(r"^```bash(?: needs=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Lines to type; `needs` is empty where any machine will do."""

    text: str
    needs: str = ""


def blocks(document: Path) -> list[Block]:
    """Return the blocks in their order."""
    return [Block(text, needs or "") for needs, text in _BLOCK.findall(document.read_text())]
