"""Remotes that are folders: of the host, which says what they hold and sends what the cache lacks; or of the commit.

No container sees such a folder, so that it makes no difference where the engine runs. What arrives is hashed here while
it is written, and gets an object's name only if it has its digest.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from runner.inside.data.objects import ObjectId, adopt
from runner.inside.hashing import Hashing
from runner.inside.protocol import ask, ask_for_files, progress

_CHUNK = 1 << 20


def held(remote: str, wanted: Collection[ObjectId]) -> dict[ObjectId, int]:
    """Return which objects the folder holds, with their sizes."""
    by_name = {str(each): each for each in wanted}
    answer = ask("held", {"remote": remote, "objects": sorted(by_name)})
    return {by_name[name]: size for name, size in answer.items()}


def pull(remote: str, wanted: Collection[ObjectId], incoming: str) -> None:
    """Bring objects into the cache by way of a folder beside it; those whose bytes are others stay out of it."""
    by_name = {str(each): each for each in wanted}
    arrived = 0

    def take(name: str, pieces: Iterator[bytes]) -> None:
        nonlocal arrived
        progress("pulling", arrived, len(by_name))
        _receive(by_name[name], pieces, os.path.join(incoming, "object"))
        arrived += 1

    ask_for_files("objects", {"remote": remote, "objects": sorted(by_name)}, take)


def held_in_clone(folder: str, wanted: Collection[ObjectId]) -> dict[ObjectId, int]:
    """Return which objects a folder of the commit holds, with their sizes; a link is none."""
    paths = {each: os.path.join(folder, each.relative_path) for each in wanted}
    return {
        each: os.path.getsize(path)
        for each, path in paths.items()
        if os.path.isfile(path) and os.path.realpath(path) == path
    }


def pull_from_clone(folder: str, wanted: Collection[ObjectId], incoming: str) -> None:
    """Bring objects into the cache as `pull` does. The files of the clone stay the training's own."""
    for each in wanted:
        with open(os.path.join(folder, each.relative_path), "rb") as file:
            _receive(each, iter(lambda: file.read(_CHUNK), b""), os.path.join(incoming, "object"))


def _receive(object_id: ObjectId, pieces: Iterator[bytes], path: str) -> None:
    hashing = Hashing()
    with open(path, "wb") as file:
        for piece in pieces:
            hashing.update(piece)
            file.write(piece)
    os.makedirs(os.path.dirname(object_id.path), exist_ok=True)
    adopt(object_id, path, hashing.result())
