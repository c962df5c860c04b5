"""A recorded patch on a commit, as a commit of the mirror's own: whole, or not at all.

Nothing of it touches a work tree: git applies the patch to an index, and the commit that comes of it has the same id
wherever it is made. What a patch of changes to code has no need of is refused: links, submodules, binary data, and
what git and DVC take their configuration from.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from runner.repository.local import lay_out
from runner.repository.mirror import Mirror
from runner.repository.process import GitFailed, run_git

_MODE = re.compile(
    rb"^(?:(?:old|new|new file|deleted file) mode|index [0-9a-f]+\.\.[0-9a-f]+) (?P<mode>1[26]0000)$", re.M
)
_BINARY = re.compile(rb"^(?:GIT binary patch|Binary files .* differ)$", re.MULTILINE)
_REFUSED = frozenset({".git", ".gitmodules", ".gitattributes", ".dvc"})
_MOST_PATHS = 10_000


class PatchRefused(Exception):
    """A patch does not apply whole, or changes what none may; the text is a sentence without its end."""


def commit_patched(mirror: Mirror, commit: str, patch: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the id of the commit that is `commit`, by its full id, with a patch, and the paths that this changes.

    Raises PatchRefused.
    """
    if _MODE.search(patch):
        raise PatchRefused("it makes or changes a link or a submodule")
    if _BINARY.search(patch):
        raise PatchRefused("it changes a binary file, whose bytes no such patch holds for certain")
    with tempfile.TemporaryDirectory(prefix="patched-", dir=mirror.path.parent) as folder:
        # A repository of its own for the index, whose objects are the mirror's.
        double = Path(folder) / "double.git"
        lay_out(double)
        (double / "objects").rename(double / "own-objects")
        os.symlink(mirror.path / "objects", double / "objects")
        try:
            run_git(double, "read-tree", commit)
            run_git(double, "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch)
        except GitFailed as error:
            lines = [line.removeprefix("error: ") for line in error.stderr.splitlines() if line.startswith("error: ")]
            raise PatchRefused(f"it does not apply whole: {'; '.join(lines[:2]) or error}"[:500]) from error
        tree = run_git(double, "write-tree").decode().strip()
        made = run_git(double, "hash-object", "-t", "commit", "-w", "--stdin", stdin=_commit(mirror, commit, tree))
    changed = mirror.changed_paths(commit, made.decode().strip())
    refused = [path for path in changed if not _REFUSED.isdisjoint(path.lower().split("/"))]
    if refused or len(changed) > _MOST_PATHS:
        raise PatchRefused(f"it changes {refused[0]}" if refused else f"it changes {len(changed)} files")
    if not changed:
        raise PatchRefused("it changes nothing")
    return made.decode().strip(), changed


def _commit(mirror: Mirror, commit: str, tree: str) -> bytes:
    seconds = run_git(mirror.path, "log", "-1", "--format=%ct", commit).decode().strip()
    who = f"reproducibility-runner <> {seconds} +0000"
    return f"tree {tree}\nparent {commit}\nauthor {who}\ncommitter {who}\n\nRecorded changes\n".encode()
