"""Reading TOML of the commit: a document that cannot be read says nothing."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_toml(text: str | None) -> dict[str, Any]:
    """Return the document as a mapping; empty where there is none or it is no TOML."""
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def table(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the table at a path of names; empty where there is none."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
