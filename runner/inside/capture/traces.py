"""What reading and writing leave on a disk: how a training's use of files is told that no Python of it reports.

The audit hook of the capture sees what Python opens. A shell's `cat`, a C library and a renamed file leave only times
and inode numbers, which the manifest taken right before the training is compared with. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_LONG_AGO_NS = 10**18


@dataclass(frozen=True)
class Mark:
    """A file as it was right before the training."""

    inode: int
    changed_ns: int
    modified_ns: int
    read_ns: int


def mark(status: os.stat_result) -> list[int]:
    """Return what the manifest keeps of a file."""
    return [status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_atime_ns]


def manifest_of(document: Mapping[str, list[int]]) -> dict[str, Mark]:
    """Return a manifest as it was written."""
    return {path: Mark(*numbers) for path, numbers in document.items()}


def is_written(before: Mark | None, status: os.stat_result) -> bool:
    """Tell whether the training wrote a file: it was not there, or is another inode, or was changed (rule 17).

    A time of change is kept by no copy and can be set by nobody.
    """
    return before is None or (before.inode, before.changed_ns) != (status.st_ino, status.st_ctime_ns)


def is_read(before: Mark | None, status: os.stat_result) -> bool:
    """Tell whether somebody has read a file since.

    That its inode's time of change was newer than its access time made also `relatime` note the first reading. Another
    time and not a later one: clocks are set back.
    """
    return before is not None and before.inode == status.st_ino and status.st_atime_ns != before.read_ns


def moved(manifest: Mapping[str, Mark], files: Mapping[str, os.stat_result]) -> dict[str, str]:
    """Return the paths at which a file of the manifest lies now, by a rename or a hard link, with its own path.

    An inode number alone may have been given to a new file; that file has not the time of the old one's last writing.
    """
    known = {(before.inode, before.modified_ns): path for path, before in manifest.items()}
    places = {path: known.get((status.st_ino, status.st_mtime_ns)) for path, status in files.items()}
    return {path: old for path, old in places.items() if old is not None and path not in manifest}


def are_kept(folder: str) -> bool:
    """Tell whether a folder's disk keeps access times at all; makes and removes a file there."""
    path = os.path.join(folder, "access")
    with open(path, "wb") as file:
        file.write(b"x")
    os.utime(path, ns=(_LONG_AGO_NS, _LONG_AGO_NS))
    with open(path, "rb") as file:
        file.read()
    kept = os.stat(path).st_atime_ns > _LONG_AGO_NS
    os.unlink(path)
    return kept
