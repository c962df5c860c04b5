"""The README's commands: `readme.py FILE NAME` prints the fenced block below `<!-- command: NAME -->`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def command(text: str, name: str) -> str:
    """Return the one block of a name. Raises LookupError where there is none, or several."""
    found = re.findall(rf"<!-- command: {re.escape(name)} -->\n```sh\n(.*?)```", text, re.DOTALL)
    if len(found) != 1:
        raise LookupError(f"{len(found)} commands named {name}")
    return str(found[0]).strip()


if __name__ == "__main__":
    sys.stdout.write(command(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]) + "\n")
