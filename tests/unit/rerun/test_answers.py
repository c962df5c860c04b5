"""What the host tells and sends of folders that are remotes: objects alone, whole, and never a guess."""

from __future__ import annotations

import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from runner.errors import InternalError, RemoteUnavailable
from runner.rerun.answers import Folders, files, source_answer
from tests.support.repositories import Store

GONE = "md5:" + "0" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def asked(folder: Path, *objects: str, remote: str = "main") -> tuple[Folders, dict[str, Any]]:
    return Folders({"main": folder}), {"remote": remote, "objects": list(objects)}


def held(folder: Path, *objects: str) -> dict[str, int]:
    folders, question = asked(folder, *objects)
    found: dict[str, int] = json.loads(b"".join(folders.held(question)))["value"]
    return found


def sent(folder: Path, *objects: str) -> bytes:
    folders, question = asked(folder, *objects)
    return b"".join(folders.objects(question))


def test_only_what_lies_there_is_held(store: Store) -> None:
    one = store.put(b"one").digest
    folder = store.put_directory({"a": b"1"}).digest
    assert held(store.path, str(one), str(folder), GONE) == {
        str(one): 3,
        str(folder): store.object_path(folder).stat().st_size,
    }


def test_a_folder_that_is_gone_or_a_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert held(tmp_path / "gone", GONE) == {}
    assert held(tmp_path / "file", GONE) == {}


def test_what_is_no_regular_file_is_not_held_and_stops_nothing(store: Store) -> None:
    one, two = store.put(b"one").digest, store.put(b"two").digest
    for digest, make in ((one, os.mkfifo), (two, os.mkdir)):
        path = store.object_path(digest)
        path.unlink()
        make(path)
    assert held(store.path, str(one), str(two)) == {}


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A false "in no store" would be a verdict on data that is there."""
    digest = store.put(b"one").digest

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(RemoteUnavailable, match="cannot be read on this host: Permission denied") as caught:
        held(store.path, str(digest))
    assert caught.value.exit_code == 5
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(RemoteUnavailable, match="Permission denied"):
        sent(store.path, str(digest))


def test_objects_are_sent_whole_and_in_the_order_of_asking(store: Store) -> None:
    one, two, empty = (store.put(content).digest for content in (b"one\n", b"\n{}", b""))
    assert (
        sent(store.path, str(two), str(one), str(empty))
        == (
            f'{{"name": "{two}", "size": 3}}\n\n{{}}{{"name": "{one}", "size": 4}}\none\n'
            f'{{"name": "{empty}", "size": 0}}\n{{"end": true}}\n'
        ).encode()
    )


def test_an_object_that_vanished_after_it_was_said_to_be_held_is_to_be_tried_again(store: Store) -> None:
    with pytest.raises(RemoteUnavailable, match="No such file"):
        sent(store.path, GONE)


def test_a_file_that_shrinks_while_it_is_read_is_told_and_one_that_grows_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345678")
    pieces = files([("f", os.open(path, os.O_RDONLY))])
    next(pieces)
    with path.open("ab") as file:
        file.write(b"9")
    assert next(pieces) == b"12345678"
    pieces = files([("f", os.open(path, os.O_RDONLY))])
    next(pieces)
    os.truncate(path, 0)
    with pytest.raises(OSError, match="became shorter"):
        next(pieces)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "md5:../../../../etc/passwd", "md5:" + "0" * 31, "sha1:" + "0" * 32, GONE + "\n", "md5:"],
)
def test_nothing_but_objects_can_be_asked_for(store: Store, name: str) -> None:
    folders, question = asked(store.path, name)
    answers: Iterable[Callable[[Any], Iterable[bytes]]] = (folders.held, folders.objects)
    for answer in answers:
        with pytest.raises(InternalError):
            list(answer(question))
    folders, question = asked(store.path, GONE, remote="/etc")
    with pytest.raises(InternalError):
        list(folders.held(question))


def test_the_original_keeps_its_access_time(store: Store) -> None:
    digest = store.put(b"one").digest
    path = store.object_path(digest)
    os.utime(path, ns=(1, path.stat().st_mtime_ns))
    sent(store.path, str(digest))
    assert path.stat().st_atime_ns == 1


def test_a_large_file_is_never_held_whole(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(256 << 20)
    tracemalloc.start()
    size = sum(map(len, files([("large", os.open(tmp_path / "large", os.O_RDONLY))])))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 256 << 20
    assert peak < 8 << 20


def test_a_pipe_in_the_place_of_an_object_does_not_hang(store: Store) -> None:
    digest = store.put(b"one").digest
    path = store.object_path(digest)
    path.unlink()
    os.mkfifo(path)
    done = threading.Event()

    def send() -> None:
        sent(store.path, str(digest))
        done.set()

    threading.Thread(target=send, daemon=True).start()
    started = time.monotonic()
    assert done.wait(10), time.monotonic() - started


def test_another_repository_is_answered_for_where_the_plan_names_it(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(b"content")
    asked: list[tuple[str, str | None]] = []

    def fetch(address: str, revision: str | None) -> tuple[str, Path]:
        asked.append((address, revision))
        return "c" * 40, archive

    answer = source_answer(["https://git.example/lib"], fetch)
    sent = list(answer({"address": "https://git.example/lib", "revision": None}))
    assert json.loads(sent[0]) == {"name": "c" * 40, "size": 7}
    assert sent[1] == b"content"
    for wrong in ("https://git.example/other", "/srv/repository"):
        with pytest.raises(InternalError):
            list(answer({"address": wrong, "revision": None}))
    assert asked == [("https://git.example/lib", None)]
