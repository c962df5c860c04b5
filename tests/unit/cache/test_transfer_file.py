"""The file of `setup --save`: what was written is read, and what a copy lost or changed is refused by name."""

from __future__ import annotations

import errno
import gzip
import io
import tarfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from runner.cache import transfer_file
from runner.cache.transfer_file import CACHE, IMAGES, Header, Image, Manifest, Reader, check, create
from runner.errors import DiskFull, UsageError

HEADER = Header(
    tool_version="1",
    created=datetime(2026, 1, 1, tzinfo=timezone.utc),
    platform="linux/amd64",
    bases=("a:1",),
    images=(Image(reference="a:1", id="sha256:0"),),
)
PARTS = {IMAGES: b"layers" * 50_000, CACHE: b"wheels"}  # several pieces, and less than one


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_file, "_PIECE", 100_000)


def write(path: Path, parts: dict[str, bytes] = PARTS) -> Manifest:
    with create(path, HEADER) as writer:
        for name, content in parts.items():
            with writer.part(name) as part:
                for start in range(0, len(content), 60_000):
                    part.write(content[start : start + 60_000])
    assert writer.manifest is not None
    return writer.manifest


@pytest.fixture(params=["saved.tar", "saved.tar.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_what_was_written_is_read_in_pieces_whether_compressed_or_not(path: Path) -> None:
    manifest = write(path)
    read: list[int] = []
    assert check(path, read.append) == (HEADER, manifest)
    assert read[-1] == sum(map(len, PARTS.values()))
    reader = Reader(path, manifest)
    for name, content in PARTS.items():
        pieces = list(reader.stream(name))
        assert b"".join(pieces) == content
        assert max(map(len, pieces)) <= 1 << 20
    assert (path.stat().st_size < 100_000) == path.name.endswith(".gz")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_parts_may_be_empty(path: Path) -> None:
    manifest = write(path, {IMAGES: b"", CACHE: b""})
    assert check(path, lambda _: None)[1] == manifest
    assert b"".join(Reader(path, manifest).stream(CACHE)) == b""


def test_the_digest_is_that_of_what_is_in_it_and_not_of_how_it_was_compressed(tmp_path: Path) -> None:
    digests = {write(tmp_path / name).digest for name in ("one.tar", "two.tar.gz", "three.tgz")}
    assert len(digests) == 1
    assert write(tmp_path / "four.tar", {**PARTS, CACHE: b"wheelz"}).digest not in digests


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(path: Path, share: float) -> None:
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match="not whole") as caught:
        check(path, lambda _: None)
    assert "setup --save" in caught.value.remedy


def test_one_changed_byte_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    write(path, {IMAGES: b"layers", CACHE: b"wheels"})
    content = path.read_bytes()
    for name in (b"layers", b"wheels", b"linux/amd64", b"sha256:0", b'"size_bytes":6'):
        place = content.index(name)
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UsageError):
            check(path, lambda _: None)
    path.write_bytes(content)
    check(path, lambda _: None)


def test_a_part_that_is_missing_or_in_another_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    write(path)
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    names = [member.name for member, _ in members]
    assert names[:4] == ["header.json", "images/00000000", "images/00000001", "images/00000002"]
    for order in ([0, 1, 3, *range(4, len(names))], [0, 2, 1, *range(3, len(names))], [1, 0, *range(2, len(names))]):
        with tarfile.open(path, "w") as tar:
            for number in order:
                tar.addfile(members[number][0], io.BytesIO(members[number][1]))
        with pytest.raises(UsageError):
            check(path, lambda _: None)


@pytest.mark.parametrize("content", [b"", b"no archive at all", gzip.compress(b"x" * 9000), b"\0" * 20480])
def test_what_is_no_file_of_ours_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError):
        check(path, lambda _: None)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        check(tmp_path / "none", lambda _: None)


def test_what_changed_between_checking_and_reading_is_refused_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    manifest = write(path, {IMAGES: b"layers", CACHE: b"wheels"})
    path.write_bytes(path.read_bytes().replace(b"wheels", b"whaels"))
    reader = Reader(path, manifest)
    assert b"".join(reader.stream(IMAGES)) == b"layers"
    with pytest.raises(UsageError, match="changed while it was read"):
        list(reader.stream(CACHE))


def test_what_breaks_off_leaves_neither_the_file_nor_half_of_it(path: Path) -> None:
    path.write_bytes(b"an older one")

    def broken() -> None:
        with create(path, HEADER) as writer, writer.part(IMAGES) as part:
            part.write(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert path.read_bytes() == b"an older one"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EACCES, UsageError)])
def test_a_disk_that_takes_no_more_is_told(path: Path, number: int, error: type[Exception]) -> None:
    def full() -> None:
        with create(path, HEADER) as writer, writer.part(IMAGES):
            raise OSError(number, "as the system says it")

    with pytest.raises(error, match=str(path)):
        full()
    assert list(path.parent.iterdir()) == []


def test_another_format_is_refused_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "saved.tar"
    write(path, {IMAGES: b"", CACHE: b""})
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(UsageError, match="another version of this tool"):
        check(path, lambda _: None)
    assert transfer_file.Header.model_fields["format"].default == 1
