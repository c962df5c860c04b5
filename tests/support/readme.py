"""The commands that a document promises: each fenced block that follows a line `<!-- command: NAME -->`.

    python tests/support/readme.py README.md NAME    prints one, for CI to run

Standard library only: CI calls it before anything else is there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_BLOCK = re.compile(r"^<!-- (?P<kind>command|screen): (?P<name>[\w-]+) -->\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)


def blocks(document: str, kind: str = "command") -> dict[str, str]:
    """Return name -> text of all marked blocks of a kind. Raises ValueError where a name is used twice."""
    found: dict[str, str] = {}
    for match in _BLOCK.finditer(document):
        if match["kind"] == kind:
            if match["name"] in found:
                raise ValueError(f"two blocks are named {match['name']}")
            found[match["name"]] = match["text"].strip()
    return found


if __name__ == "__main__":
    path, name = sys.argv[1:]
    print(blocks(Path(path).read_text(encoding="utf-8"))[name])
