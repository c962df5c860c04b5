"""Files that the host sends into a workspace, hashed here as they come: no byte counts for what only a name says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from runner.inside import layout, workspace
from runner.inside.hashing import CHUNK, Hashing
from runner.inside.protocol import MISSING, PhaseError, ask_for_files, progress, receive


def clone_submodules(root: str, submodules: list[dict[str, Any]], state: str) -> None:
    """Clone each submodule into its folder, from a bundle as the repository is; outer ones come before inner ones."""
    for submodule in submodules:
        progress(f"cloning {submodule['path']}")
        target = workspace.inside(root, submodule["path"])
        bundle = os.path.join(state, "submodule.bundle")
        receive("submodule", bundle, submodule["path"])
        workspace.remove(target)  # git leaves an empty folder
        workspace.clone(bundle, target, commit=submodule["commit"], branch=None, url=submodule["place"])
        os.unlink(bundle)


def lay_supplied(root: str, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the files to their paths, as the training's own, and return those that are inputs as restored files.

    Raises PhaseError where the host sent other bytes than the plan's.
    """
    wanted = {file["path"]: file for file in files}
    results = []

    def take(path: str, pieces: Iterator[bytes]) -> None:
        file = wanted[path]
        found = _write(root, path, pieces)
        algorithm, _, hexdigest = file["digest"].partition(":")
        if not found.matches(algorithm, hexdigest):
            raise _other_bytes(file, found.sha256 if algorithm == "sha256" else found.md5)
        if file["kind"] == "input":
            results.append(
                {
                    "path": path,
                    "expected": file["digest"],
                    "digest": file["digest"],
                    "sha256": found.sha256,
                    "size_bytes": found.size_bytes,
                    "role": "input",
                    "place": "workspace",
                    "held_by": file["source"],
                }
            )

    if wanted:
        progress(f"receiving {len(wanted)} files")
        ask_for_files("supplied", list(wanted), take)
        for folder, paths in workspace.by_repository(root, wanted).items():
            workspace.mark_unchanged(folder, paths)
    return results


def _write(root: str, path: str, pieces: Iterator[bytes]) -> Any:
    full = workspace.inside(root, path)
    mode = 0o644
    if os.path.lexists(full):
        status = os.lstat(full)
        if stat.S_ISREG(status.st_mode):
            mode = stat.S_IMODE(status.st_mode)
        workspace.remove(full)
    workspace.make_parents(root, path)
    hashing = Hashing()
    with open(os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        for piece in pieces:
            for start in range(0, len(piece), CHUNK):
                hashing.update(piece[start : start + CHUNK])
            file.write(piece)
    os.chown(full, layout.TRAINER_UID, layout.TRAINER_GID)
    return hashing.result()


def _other_bytes(file: dict[str, Any], found: str) -> PhaseError:
    what = "Git LFS has" if file["kind"] == "lfs" else f"{file['source']} is"
    return PhaseError(
        MISSING,
        f"{file['path']}: {what} {found[:12]}…, and {file['digest']} is "
        + ("the commit's" if file["kind"] == "lfs" else "what runner.yaml pins"),
        "runner reproduce RUN --repo PATH    another clone"
        if file["kind"] == "lfs"
        else "correct the digest, or the source, under `inputs` in runner.yaml",
        fact="data",
    )
