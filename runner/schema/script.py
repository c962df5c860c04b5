"""Whether a script says anything."""

from __future__ import annotations


def has_code(source: str) -> bool:
    """Tell whether a source holds more than white space and comments: an empty script is as good as absent."""
    return any(
        line.strip() and not line.lstrip().startswith("#") for line in source.removeprefix("\ufeff").splitlines()
    )
