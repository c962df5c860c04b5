"""The volume of our containers as a folder of a test: caches, workspaces, and objects in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from runner.inside import layout, objects
from runner.inside.objects import ObjectId
from runner.schema.digest import DigestValue
from tests.support.repositories import directory_object, md5


class Cache:
    """What lies at `/cache`. Objects are put where DVC's pull puts them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        for name in ("OBJECTS", "VERIFIED", "UV_CACHE", "ENVIRONMENTS", "LOCKS", "BUILT", "WORK"):
            monkeypatch.setattr(layout, name, getattr(layout, name).replace(layout.CACHE, str(path), 1))
        monkeypatch.setattr(layout, "CACHE", str(path))
        monkeypatch.setattr(layout, "TRAINER_UID", os.getuid())
        monkeypatch.setattr(layout, "TRAINER_GID", os.getgid())
        if os.getuid() != 0:  # root's in our containers; the rest is the same for anybody
            monkeypatch.setattr(os, "chown", lambda *_: None)

    def put(self, content: bytes, *, verified: bool = True) -> ObjectId:
        """Put a file's bytes, and have them verified."""
        return self._put(md5(content), content, verified)

    def put_directory(self, files: Mapping[str, bytes], *, verified: bool = True) -> ObjectId:
        """Put a folder's files and its listing."""
        for content in files.values():
            self.put(content, verified=verified)
        return self._put(*directory_object(files), verified)

    def _put(self, digest: DigestValue, content: bytes, verified: bool) -> ObjectId:
        object_id = ObjectId.parse(str(digest))
        path = Path(object_id.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if verified:
            assert objects.verify(object_id) is not None
        return object_id
