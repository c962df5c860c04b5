"""The file of `runner setup --save`: images and cache in one tar archive, compressed or not, written as they stream.

    header.json          what is in it, for which platform
    images/NNNNNNNN      pieces of an archive as `docker save` writes it
    cache/NNNNNNNN       pieces of an archive as `runner.inside.carry` writes it
    manifest.json        digest and size of all before; last, so that a file that is cut off has none

A file is read to its end and checked before anything of it is used, and once more while it is. That finds what a copy
lost or changed. Whoever can write the file can write its manifest too: for that, `--save` and `--load` both print the
manifest's digest.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from runner.errors import DiskFull, UsageError
from runner.schema.base import UtcTime, Value

IMAGES, CACHE = "images", "cache"
_HEADER, _MANIFEST = "header.json", "manifest.json"
_FORMAT = tarfile.GNU_FORMAT
_PIECE = 8 << 20
_READ = 1 << 20
_TEXT_LIMIT = 1 << 20
_AGAIN = "copy it again, or save it again: runner setup --save FILE"


Document = TypeVar("Document", bound=Value)


class Image(Value):
    """An image of the file, by its name and the content id that it must have when it is loaded."""

    reference: str
    id: str


class Header(Value):
    """What is in a file. `bases` are the base images that the others stand on."""

    format: Literal[1] = 1
    tool_version: str
    created: UtcTime
    platform: str
    bases: Annotated[tuple[str, ...], Field(min_length=1)]
    images: tuple[Image, ...]


class Part(Value):
    """A stream of the file."""

    sha256: str
    size_bytes: Annotated[int, Field(ge=0)]


class Manifest(Value):
    """The digests of all that is in a file."""

    header_sha256: str
    images: Part
    cache: Part

    @property
    def digest(self) -> str:
        """The digest that stands for the whole file, however it was compressed."""
        return "sha256:" + hashlib.sha256(self.to_json().encode()).hexdigest()


@contextmanager
def create(path: Path, header: Header) -> Iterator[Writer]:
    """Write a file under another name, and give it its own when it is whole. Raises DiskFull, UsageError."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        with _writing(path):
            with temporary.open("wb") as file:
                with _compressing(file, path) as stream, tarfile.open(fileobj=stream, mode="w|", format=_FORMAT) as tar:
                    writer = Writer(tar, header)
                    yield writer
                    writer.finish()
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _compressing(file: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if path.suffix not in (".gz", ".tgz"):
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        yield packed  # type: ignore[misc]  # as good as one: it writes bytes


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space is left for {path}", f"df -h {path.parent}    then another FILE") from error
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "runner setup --save FILE") from error


class Writer:
    """Writes the parts of a file; `manifest` is there when it is whole."""

    def __init__(self, tar: tarfile.TarFile, header: Header) -> None:
        self._tar = tar
        self._header = header.to_json().encode()
        self._parts: dict[str, Part] = {}
        self.manifest: Manifest | None = None
        _add(tar, _HEADER, self._header)

    @contextmanager
    def part(self, name: str) -> Iterator[PartWriter]:
        """Write a stream of the file."""
        writer = PartWriter(self._tar, name)
        yield writer
        self._parts[name] = writer.finish()

    def finish(self) -> None:
        """Write the manifest."""
        digest = hashlib.sha256(self._header).hexdigest()
        self.manifest = Manifest(header_sha256=digest, images=self._parts[IMAGES], cache=self._parts[CACHE])
        _add(self._tar, _MANIFEST, self.manifest.to_json().encode())


class PartWriter:
    """Takes a stream as it comes, and writes it in pieces: nobody knows its size before its end."""

    def __init__(self, tar: tarfile.TarFile, name: str) -> None:
        self._tar = tar
        self._name = name
        self._number = 0
        self._waiting = bytearray()
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Take what came. Raises OSError."""
        self._sha256.update(data)
        self.size_bytes += len(data)
        self._waiting += data
        if len(self._waiting) >= _PIECE:
            self._flush()

    def finish(self) -> Part:
        """Write the rest."""
        if self._waiting:
            self._flush()
        return Part(sha256=self._sha256.hexdigest(), size_bytes=self.size_bytes)

    def _flush(self) -> None:
        _add(self._tar, f"{self._name}/{self._number:08}", bytes(self._waiting))
        self._number += 1
        self._waiting.clear()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def check(path: Path, told: Callable[[int], None]) -> tuple[Header, Manifest]:
    """Read a file to its end, and return what is in it. `told` hears how many bytes were read.

    Raises UsageError for a file that is not whole, or was changed, or is none of ours.
    """
    with _reading(path):
        return _check(path, told)


def _check(path: Path, told: Callable[[int], None]) -> tuple[Header, Manifest]:
    header: Header | None = None
    header_digest = ""
    seen: dict[str, _Digest] = {IMAGES: _Digest(), CACHE: _Digest()}
    read = 0
    for name, file, size in _members(path):
        if name == _MANIFEST and header is not None:
            manifest = _document(Manifest, file, path)
            found = {part: digest.part() for part, digest in seen.items()}
            if found != {IMAGES: manifest.images, CACHE: manifest.cache} or manifest.header_sha256 != header_digest:
                raise UsageError(f"{path} was changed since it was saved: its digests are others", _AGAIN)
            return header, manifest
        if name == _HEADER and header is None:
            text = file.read(_TEXT_LIMIT)
            header_digest = hashlib.sha256(text).hexdigest()
            header = _document(Header, io.BytesIO(text), path)
            continue
        folder, _, number = name.partition("/")
        if header is None or folder not in seen or number != f"{seen[folder].pieces:08}":
            raise UsageError(f"{path} was not written by `runner setup --save`: it holds {name[:80]!r}", _AGAIN)
        seen[folder].take(file)
        read += size
        told(read)
    raise UsageError(f"{path} is not whole: its end is missing", _AGAIN)


class Reader:
    """Reads the parts of a file that was checked, each once and in their order."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._parts = {IMAGES: manifest.images, CACHE: manifest.cache}
        self._members = _members(path)
        self._next: tuple[str, IO[bytes], int] | None = next(self._members)

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield a part. Raises UsageError at its end where it has changed since."""
        digest = _Digest()
        with _reading(self._path):
            while self._next is not None and self._next[0].partition("/")[0] != name:
                self._next = next(self._members, None)
            while self._next is not None and self._next[0].partition("/")[0] == name:
                yield from digest.pieces_of(self._next[1])
                self._next = next(self._members, None)
        if digest.part() != self._parts[name]:
            raise UsageError(f"{self._path} was changed while it was read", _AGAIN)


class _Digest:
    """The digest of a part as far as it was read."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self.pieces = 0

    def take(self, file: IO[bytes]) -> None:
        for _ in self.pieces_of(file):
            pass

    def pieces_of(self, file: IO[bytes]) -> Iterator[bytes]:
        self.pieces += 1
        while piece := file.read(_READ):
            self._sha256.update(piece)
            self._size_bytes += len(piece)
            yield piece

    def part(self) -> Part:
        return Part(sha256=self._sha256.hexdigest(), size_bytes=self._size_bytes)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UsageError(
            f"{path} is not whole, or was not written by `runner setup --save`: {error}", _AGAIN
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", "runner setup --load FILE") from error


def _members(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise UsageError(f"{path} was not written by `runner setup --save`", _AGAIN)
                yield member.name, content, member.size


def _document(model: type[Document], file: IO[bytes], path: Path) -> Document:
    try:
        return model.model_validate_json(file.read(_TEXT_LIMIT))
    except ValidationError as error:
        raise UsageError(
            f"{path} was saved by another version of this tool, or changed since: {error.errors()[0]['msg']}", _AGAIN
        ) from error
