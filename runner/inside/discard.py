"""Removes the workspaces of reruns: the last step of each, and what a killed process left. No network."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

from runner.inside import layout


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Remove work/RERUN for each of `reruns`. Result: how many were there."""
    removed = 0
    for rerun in request["reruns"]:
        if not re.fullmatch(r"[0-9a-zA-Z_-]+", rerun):
            continue
        folder = layout.work(rerun)
        if os.path.isdir(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return {"removed": removed}
