"""Paths of another machine, found again in the commit."""

from __future__ import annotations

import re

from runner.schema.snapshot import RepositorySnapshot

_FOREIGN = re.compile(r"(?:file:/*|[A-Za-z]:[\\/]|/|\\\\|~[\\/])")


def is_absolute(text: str) -> bool:
    """Tell whether a text is an absolute path of any system."""
    return _FOREIGN.match(text) is not None


def path_in_tree(text: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the longest end of another machine's path that is a file, a folder or a pointer's out at the commit."""
    known = known_paths(snapshot)
    return next((end for end in ends_of(text) if end in known), None)


def ends_of(text: str) -> list[str]:
    """Return all ends of a path, the longest first, without drives and schemes."""
    bare = re.sub(r"^(?:file:/*)?(?:[A-Za-z]:(?=[\\/]))?", "", text).replace("\\", "/")
    parts = [part for part in bare.split("/") if part not in ("", ".")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def known_paths(snapshot: RepositorySnapshot) -> set[str]:
    """Return all files, outs of pointers and folders of the commit."""
    known = {entry.path for entry in snapshot.tree} | {out.path for out in snapshot.pointers}
    return known | {path[:end] for path in known for end in range(len(path)) if path[end] == "/"}
