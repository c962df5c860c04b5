"""How much a training or a build has written so far: asked while it runs, of a training also after.

What is measured is what its folders take on disk more than when they were laid out; linked data is root's not counted.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from typing import Any

from runner.inside import layout

_LEAST_S = 2.0
_SHARE = 20  # of the time, looking takes one part
_BLOCK = 512  # of st_blocks, whatever the file system's own is
_LONGEST_PATH = 4096 - 256 - 2  # Linux's, less a name


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Watch until more is written than may be. Result: written_bytes.

    Request: limit_bytes, and `rerun` or, for a build, `folders[]` that were empty at first.
    """
    while True:
        began = time.monotonic()
        if "folders" in request:
            written = sum(map(allocated_bytes, request["folders"]))
        else:
            written = written_bytes(request["rerun"])
        if written > request["limit_bytes"]:
            return {"written_bytes": written}
        time.sleep(max(_LEAST_S, _SHARE * (time.monotonic() - began)))


def written_bytes(rerun: str) -> int:
    """Return what a rerun's sandbox takes more than at first; less than nothing where the training removed more."""
    with open(layout.work(rerun, f"{layout.STATE}/restored.json"), encoding="utf-8") as file:
        before: int = json.load(file)["allocated"]
    return allocated_bytes(layout.work(rerun, layout.SANDBOX)) - before


def allocated_bytes(root: str) -> int:
    """Return what the training's files below a folder take on disk: each once, however many names it has."""
    total = 0
    seen: set[int] = set()
    stack = [root]
    while stack:
        folder = stack.pop()
        if len(os.fsencode(folder)) > _LONGEST_PATH:  # a training may nest folders deeper than any path can name
            continue
        # It goes on while we look: what was there may be gone.
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        stack.append(entry.path)
                    if status.st_uid != layout.TRAINER_UID or status.st_ino in seen:
                        continue
                    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                        seen.add(status.st_ino)
                    total += status.st_blocks * _BLOCK
    return total
