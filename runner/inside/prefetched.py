"""Between fetching and training: what the auditor's commands left is hashed, and was there before the training."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from runner.inside import layout, workspace
from runner.inside.capture import traces
from runner.inside.hashing import hash_file
from runner.inside.protocol import MISSING, PhaseError, progress
from runner.inside.usage import allocated_bytes

_MOST_FILES = 100_000


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Take stock of a workspace.

    Request: rerun, expected_outputs[]. Result: files[] {path, sha256, size_bytes} that are new or were changed; those
    of the home folder begin with `~/`.
    """
    rerun = request["rerun"]
    root = layout.work(rerun, f"{layout.SANDBOX}/{layout.WORKSPACE}")
    state_path = layout.work(rerun, f"{layout.STATE}/restored.json")
    with open(state_path, encoding="utf-8") as file:
        state = json.load(file)
    before = traces.manifest_of(state["manifest"])
    for path in request["expected_outputs"]:
        workspace.remove(workspace.inside(root, path))
        workspace.make_parents(root, path)
    capture = layout.work(rerun, f"{layout.SANDBOX}/{layout.CAPTURE}")
    for name in os.listdir(capture):
        workspace.remove(os.path.join(capture, name))
    shutil.rmtree(layout.work(rerun, f"{layout.SANDBOX}/{layout.TEMPORARY}/__pycache__"), ignore_errors=True)
    new = [path for path, status in workspace.files(root) if traces.is_written(before.get(path), status)]
    results = list(_hashed(root, new, ""))
    home = layout.work(rerun, f"{layout.SANDBOX}/{layout.HOME}")
    results += _hashed(home, [path for path, _ in workspace.files(home)], "~/")
    workspace.age(root, new)
    state["manifest"] = {path: traces.mark(status) for path, status in workspace.files(root)}
    state["allocated"] = allocated_bytes(layout.work(rerun, layout.SANDBOX))
    with open(state_path, "w", encoding="utf-8") as file:
        json.dump(state, file)
    return {"files": results}


def _hashed(folder: str, paths: list[str], shown: str) -> Iterator[dict[str, Any]]:
    if len(paths) > _MOST_FILES:
        raise PhaseError(
            MISSING,
            f"the prefetch commands left {len(paths)} files, more than {_MOST_FILES}",
            "fetch an archive, and have `prefetch` in runner.yaml leave that",
            fact="data",
        )
    for number, path in enumerate(sorted(paths)):
        progress("hashing what was fetched", number, len(paths))
        found = hash_file(os.path.join(folder, path))
        name = os.fsencode(shown + path).decode("utf-8", "backslashreplace")
        yield {"path": name, "sha256": found.sha256, "size_bytes": found.size_bytes}
