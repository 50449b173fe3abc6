"""Writes docs/CLI.md, API.md, CONFIGURATION.md and PIPELINE.md from the code.

python scripts/generate_docs.py            # write them
python scripts/generate_docs.py --check    # exit 1 if they are not what the code says
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # for tests.support, which carries out whole tasks in memory

import docs_api  # noqa: E402
import docs_cli  # noqa: E402
import docs_configuration  # noqa: E402
import docs_pipeline  # noqa: E402

from atlas.cli import app  # noqa: E402
from services.gateway.app import create  # noqa: E402

DOCS = ROOT / "docs"


def documents() -> dict[str, str]:
    """Return each document by its file's name."""
    return {
        "CLI.md": docs_cli.markdown(app),
        "API.md": docs_api.markdown(create().openapi()),
        "CONFIGURATION.md": docs_configuration.markdown(ROOT / "atlas.conf.example"),
        "PIPELINE.md": docs_pipeline.markdown(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check; return the exit status."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a document is stale")
    check = parser.parse_args(argv).check
    stale = {name: text for name, text in documents().items() if _written(name) != text}
    for name, text in stale.items():
        if not check:
            (DOCS / name).write_text(text, encoding="utf-8")
        done = "stale; run python scripts/generate_docs.py" if check else "written"
        sys.stderr.write(f"docs/{name}: {done}\n")
    return 1 if stale and check else 0


def _written(name: str) -> str | None:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
