"""After a stage that ran before the training: hash what it made, and lay out what comes next.

What a store holds replaces what the stage made of it. The capture and the files that the stage opened are not the
training's; which of the commit it used is kept, since it may have carried a result over (VERDICTS rule 18).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import Any

from runner.inside import layout, uses, workspace
from runner.inside.capture import traces
from runner.inside.capture.reader import read_capture
from runner.inside.chain import overlap
from runner.inside.data.objects import ObjectId, listing, verified
from runner.inside.hashing import FileHash, directory_digest, hash_file
from runner.inside.protocol import MISSING, PhaseError


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Settle the workspace after a stage.

    Request: rerun, stage {name, file, outs[]}, last (whether the training comes next), expected_outputs[].
    Result: files[], as restore gives them, of what the stage made; `rebuilt_by` names it.
    """
    with uses.with_others():
        return _settle(request)


def _settle(request: dict[str, Any]) -> dict[str, Any]:
    rerun, stage = request["rerun"], request["stage"]
    root = layout.work(rerun, f"{layout.SANDBOX}/{layout.WORKSPACE}")
    path = layout.work(rerun, f"{layout.STATE}/restored.json")
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
    state["used_by_stages"] = sorted({*state["used_by_stages"], *_used(rerun, root, state["manifest"])})
    _empty_capture(rerun)
    made = [_as_made(each, stage, root) for each in _of_stage(state["pending"], stage)]
    held = [_laid(each, root) for each in _of_stage(state["deferred"], stage)]
    state["files"] += [*held, *made]
    if request["last"]:
        for output in request["expected_outputs"]:
            workspace.make_parents(root, output)
            workspace.remove(workspace.inside(root, output))
        workspace.exclude(root, [each["path"] for each in (*held, *made)])
        workspace.settle(root)
        state["manifest"] = {name: traces.mark(status) for name, status in workspace.files(root)}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(state, file)
    return {"files": [{**each, "entries": None} for each in (*held, *made)]}


def _of_stage(files: list[dict[str, Any]], stage: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in files if any(overlap(each["path"], out) for out in stage["outs"])]


def _used(rerun: str, root: str, manifest: dict[str, list[int]]) -> set[str]:
    """Return the files that were there before and that the stage opened or read."""
    before = traces.manifest_of(manifest)
    capture = read_capture(layout.work(rerun, f"{layout.SANDBOX}/{layout.CAPTURE}"))
    opened = {name.removeprefix(layout.WORKSPACE_TARGET + "/") for name in capture["files_opened"]}
    read = {name for name, status in workspace.files(root) if traces.is_read(before.get(name), status)}
    return (opened | read) & before.keys()


def _empty_capture(rerun: str) -> None:
    folder = layout.work(rerun, f"{layout.SANDBOX}/{layout.CAPTURE}")
    shutil.rmtree(folder)
    os.mkdir(folder)
    os.chown(folder, layout.TRAINER_UID, layout.TRAINER_GID)


def _laid(file: dict[str, Any], root: str) -> dict[str, Any]:
    """Put what a store holds in the place of what the stage made of it."""
    object_id = ObjectId.parse(file["expected"])
    entries = listing(object_id) if object_id.directory else None
    if verified(object_id) is None:
        raise _not_made(file["path"], "was taken out of the cache meanwhile")
    workspace.lay(root, file["path"], object_id, entries, writable=False)
    return {**file, "digest": str(object_id), "place": "workspace"}


def _as_made(file: dict[str, Any], stage: dict[str, Any], root: str) -> dict[str, Any]:
    full = workspace.inside(root, file["path"])
    try:
        status = os.lstat(full)
    except FileNotFoundError:
        raise _not_made(file["path"], f"was not written by stage {stage['name']} of {stage['file']}") from None
    algorithm = (file["expected"] or "md5:").partition(":")[0]
    if stat.S_ISDIR(status.st_mode):
        found = {name: hash_file(os.path.join(full, name)) for name, _ in workspace.files(full)}
        entries = {name: _of_kind(each, algorithm) for name, each in found.items()}
        digest = f"{algorithm}:{directory_digest(entries.items())}.dir"
        return _rebuilt(file, stage, digest, None, sum(each.size_bytes for each in found.values()), entries)
    if not stat.S_ISREG(status.st_mode):
        raise _not_made(file["path"], f"is neither file nor folder after stage {stage['name']} of {stage['file']}")
    one = hash_file(full)
    return _rebuilt(file, stage, f"{algorithm}:{_of_kind(one, algorithm)}", one.sha256, one.size_bytes, None)


def _rebuilt(
    file: dict[str, Any],
    stage: dict[str, Any],
    digest: str,
    sha256: str | None,
    size_bytes: int,
    entries: dict[str, str] | None,
) -> dict[str, Any]:
    return {
        **file,
        "digest": digest,
        "sha256": sha256,
        "size_bytes": size_bytes,
        "place": "workspace",
        "rebuilt_by": f"stage {stage['name']} of {stage['file']}",
        "entries": entries,
    }


def _of_kind(found: FileHash, algorithm: str) -> str:
    return found.text_md5 or found.md5 if algorithm == "md5-dos2unix" else found.md5


def _not_made(path: str, what: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"{path}, which no store holds, {what}",
        "runner reproduce RUN --remote URL    if a store has its bytes",
        fact="data",
    )
