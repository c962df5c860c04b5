"""Lock files of one small project, written by the tools themselves; the names of the folders say by which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.tags import Tag, compatible_tags, cpython_tags

from runner.inside.packages import toml

FOLDER = Path(__file__).parents[1] / "data" / "locks"
POETRY = ("poetry-1.0", "poetry-1.1", "poetry-1.4", "poetry-1.8", "poetry-2", "poetry-2-legacy")
PDM = ("pdm-2.0", "pdm-2.10", "pdm-2.12")


def text(name: str) -> str:
    """Return a file of one of the folders."""
    return (FOLDER / name).read_text(encoding="utf-8")


def document(name: str) -> dict[str, Any]:
    """Return it read."""
    return dict(json.loads(text(name))) if name.endswith("Pipfile.lock") else toml.loads(text(name))


def linux_tags(minor: str) -> Iterator[Tag]:
    """Return what wheels a Python on Linux takes, the best first."""
    version = tuple(map(int, minor.split(".")))
    platforms = ["manylinux_2_17_x86_64", "linux_x86_64"]
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{minor.replace('.', '')}", platforms)
