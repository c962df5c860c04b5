"""The volume of our containers as a folder of a test, and the host that a phase talks to."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.inside import layout, protocol
from runner.inside.data import objects
from runner.inside.data.objects import ObjectId
from runner.rerun.answers import Answer
from runner.schema.digest import DigestValue
from tests.support.repositories import directory_object, md5


class Host:
    """Keeps the events of a phase that runs in this process, and answers what it asks as the host does."""

    def __init__(self, answers: Mapping[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = dict(answers)
        self.events: list[dict[str, Any]] = []
        self._sent = io.BytesIO()
        monkeypatch.setattr(protocol, "emit", self._take)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(self._sent))

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["event"] == "ask":
            place = self._sent.tell()
            self._sent.seek(0, os.SEEK_END)
            self._sent.writelines(self.answers[event["name"]](event["value"]))
            self._sent.seek(place)


def remote(url: str, **fields: Any) -> dict[str, Any]:
    """A remote as restore is told of it."""
    return {
        "name": "origin",
        "url": url,
        "folder": False,
        "options": {},
        "source": "remote origin",
        "in_commit": None,
        "closed": None,
        "failed": None,
        "confirmed": False,
        "access": None,
        "credentials": None,
        "refusal": "refuses to be read without credentials",
        "remedy": "runner reproduce r1",
        "ca_bundle": None,
        **fields,
    }


class Cache:
    """What lies at `/cache`. Objects are put where DVC's pull puts them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        for name in ("OBJECTS", "VERIFIED", "UV_CACHE", "ENVIRONMENTS", "LOCKS", "BUILT", "INCOMING", "WORK"):
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
