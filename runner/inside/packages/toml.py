"""Reading TOML in our image, whatever its Python."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Return the document of a TOML text. Raises ValueError."""
    # Before Python 3.11 the standard library has no reader; this one became it.
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(reader.loads(text))
    except RecursionError:
        raise ValueError("its tables are nested too deeply") from None
