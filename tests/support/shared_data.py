"""Where the development data is: $SHARED_DATA, or shared/data beside the checkout; tests skip without it."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
