"""Starts one of our phases: `serve.py MODULE`, with its request on standard input. Standard library only.

Run by path, so that the interpreter can be isolated (`-I`): nothing of the
environment or the working directory then decides what is imported.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Serve the phase that the command line names."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    protocol = importlib.import_module("runner.inside.protocol")
    module = importlib.import_module(f"runner.inside.{sys.argv[1]}")
    status: int = protocol.serve(module.handle)
    return status


if __name__ == "__main__":
    sys.exit(main())
