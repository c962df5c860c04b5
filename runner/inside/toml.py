"""Reading TOML in our image, whatever its Python."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Return the document of a TOML text. Raises ValueError."""
    # Before Python 3.11 there is no reader in the standard library; DVC brings tomlkit into the image.
    if sys.version_info >= (3, 11):
        document = importlib.import_module("tomllib").loads(text)
    else:
        document = importlib.import_module("tomlkit").parse(text).unwrap()
    return dict(document)
