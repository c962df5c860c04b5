"""Bytes are used only if we hashed them and they are unchanged since, and no listing leads out of its folder."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from runner.inside import layout
from runner.inside.data.objects import ObjectId, discard, listing, verified, verify
from tests.support.inside import Cache

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"md5:{HEX}", f"files/md5/01/{HEX[2:]}"),
        (f"md5:{HEX}.dir", f"files/md5/01/{HEX[2:]}.dir"),
        (f"md5-dos2unix:{HEX}", f"01/{HEX[2:]}"),
        (f"md5-dos2unix:{HEX}.dir", f"01/{HEX[2:]}.dir"),
    ],
)
def test_objects_lie_where_dvc_puts_them(text: str, path: str) -> None:
    object_id = ObjectId.parse(text)
    assert str(object_id) == text
    assert object_id.relative_path == path
    assert object_id.path == f"{layout.OBJECTS}/{path}"


def test_an_object_that_was_hashed_is_verified(cache: Cache) -> None:
    object_id = cache.put(b"a,b\n", verified=False)
    assert verified(object_id) is None, "that it lies there says nothing"
    record = verify(object_id)
    assert record is not None
    assert record == verified(object_id)
    assert (record.md5, record.sha256) == (hashlib.md5(b"a,b\n").hexdigest(), hashlib.sha256(b"a,b\n").hexdigest())
    assert record.size_bytes == 4


def test_a_verified_object_cannot_be_written(cache: Cache) -> None:
    status = os.stat(cache.put(b"x").path)
    assert stat.S_IMODE(status.st_mode) == 0o444
    if os.getuid() == 0:
        assert (status.st_uid, status.st_gid) == (0, 0)


@pytest.mark.parametrize("what", ["content", "size", "inode", "time", "gone", "link"])
def test_an_object_that_changed_since_is_not_verified(cache: Cache, what: str) -> None:
    object_id = cache.put(b"right")
    path = Path(object_id.path)
    before = path.stat()
    path.chmod(0o644)
    if what == "content":
        path.write_bytes(b"wrong")
    elif what == "size":
        path.write_bytes(b"right and more")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "inode":
        path.rename(path.with_name("old"))
        path.write_bytes(b"wrong")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif what == "gone":
        path.unlink()
    else:
        path.rename(path.with_name("old"))
        path.symlink_to("old")
    assert verified(object_id) is None


def test_another_hard_link_and_another_reading_change_nothing(cache: Cache, tmp_path: Path) -> None:
    object_id = cache.put(b"right")
    os.link(object_id.path, tmp_path / "linked")
    (tmp_path / "linked").read_bytes()
    assert verified(object_id) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"md5": "x"}', "null", "\xff"])
def test_a_record_that_is_broken_verifies_nothing(cache: Cache, text: str) -> None:
    object_id = cache.put(b"right")
    (record,) = Path(layout.VERIFIED).rglob("*.json")
    record.write_bytes(text.encode("latin-1"))
    assert verified(object_id) is None
    assert verify(object_id) is not None
    assert verified(object_id) is not None


def test_a_record_of_another_algorithm_verifies_nothing(cache: Cache) -> None:
    object_id = cache.put(b"right")
    other = ObjectId("md5-dos2unix", object_id.hexdigest, False)
    assert verified(other) is None
    assert verify(other) is None, "it is not there"


def test_wrong_bytes_are_removed_with_their_record(cache: Cache) -> None:
    object_id = cache.put(b"right")
    path = Path(object_id.path)
    path.chmod(0o644)
    path.write_bytes(b"wrong")
    assert verify(object_id) is None
    assert not path.exists()
    assert list(Path(layout.VERIFIED).rglob("*.json")) == []


def test_an_object_may_be_discarded_twice(cache: Cache) -> None:
    object_id = cache.put(b"x")
    discard(object_id)
    discard(object_id)
    assert not os.path.exists(object_id.path)


def test_texts_of_dvc_2_are_verified_with_either_line_ending(cache: Cache) -> None:
    unix = hashlib.md5(b"a\nb\n").hexdigest()
    for content in (b"a\nb\n", b"a\r\nb\r\n"):
        object_id = ObjectId("md5-dos2unix", unix, False)
        os.makedirs(os.path.dirname(object_id.path), exist_ok=True)
        discard(object_id)
        Path(object_id.path).write_bytes(content)
        record = verify(object_id)
        assert record is not None
        assert record.md5 == hashlib.md5(content).hexdigest()


def test_a_listing_names_its_files(cache: Cache) -> None:
    object_id = cache.put_directory({"a.csv": b"a", "sub/deep/b.csv": b"b", "sub-2": b"a"})
    assert sorted(path for path, _ in listing(object_id)) == ["a.csv", "sub-2", "sub/deep/b.csv"]
    assert {entry for _, entry in listing(object_id)} == {cache.put(b"a"), cache.put(b"b")}


def test_a_listing_of_dvc_2_names_objects_of_dvc_2(cache: Cache) -> None:
    object_id = ObjectId("md5-dos2unix", HEX, True)
    os.makedirs(os.path.dirname(object_id.path))
    Path(object_id.path).write_text(json.dumps([{"md5": HEX, "relpath": "a"}]))
    assert listing(object_id) == [("a", ObjectId("md5-dos2unix", HEX, False))]


def entry(path: Any = "a", digest: Any = HEX) -> dict[str, Any]:
    return {"md5": digest, "relpath": path}


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/passwd")],
        [entry("../a")],
        [entry("a/../../b")],
        [entry("a/./b")],
        [entry("a//b")],
        [entry("a/")],
        [entry("")],
        [entry(".")],
        [entry("..")],
        [entry("a\x00b")],
        [entry("\ud800")],
        [entry(5)],
        [entry(None)],
        [entry(["a"])],
        [entry(digest="../../../etc/passwd")],
        [entry(digest=HEX.upper())],
        [entry(digest=HEX + ".dir")],
        [entry(digest=HEX + "\n")],
        [entry(digest="")],
        [entry(digest=5)],
        [entry(digest=None)],
        [{"md5": HEX}],
        [{"relpath": "a"}],
        [[]],
        ["a"],
        [None],
        {"md5": HEX, "relpath": "a"},
        "a",
        None,
        3,
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry("a/b"), entry("a")],
        [entry("a/b/c"), entry("a/b")],
    ],
    ids=repr,
)
def test_a_hostile_listing_is_refused(cache: Cache, entries: Any) -> None:
    path = Path(ObjectId("md5", HEX, True).path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError):  # noqa: PT011  # whatever is wrong with it
        listing(ObjectId("md5", HEX, True))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe[]", b"[" * 100_000])
def test_a_listing_that_is_no_json_is_refused(cache: Cache, content: bytes) -> None:
    path = Path(ObjectId("md5", HEX, True).path)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011
        listing(ObjectId("md5", HEX, True))


def test_a_name_that_is_no_utf8_is_a_name(cache: Cache) -> None:
    path = Path(ObjectId("md5", HEX, True).path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([entry("caf\udce9")]))
    assert listing(ObjectId("md5", HEX, True))[0][0] == "caf\udce9"
