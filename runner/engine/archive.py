"""Tar archives as streams, never held whole."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def pack(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield a tar archive of (path relative to where it is unpacked, content); files are root's, 0644, without time.

    A content that starts with `#!` is executable. Raises ValueError for a path that is absolute or climbs.
    """
    for path, content in files:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"not a path below the target: {path}")
        member = tarfile.TarInfo(path)
        member.size = len(content)
        member.mode = 0o755 if content.startswith(b"#!") else 0o644
        yield member.tobuf(tarfile.GNU_FORMAT)
        yield content
        yield b"\0" * (-len(content) % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def folder_files(root: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield (prefix/relative path, content) of the regular files below a folder, sorted, without bytecode."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and "__pycache__" not in relative.parts and path.suffix != ".pyc":
            yield f"{prefix}/{relative.as_posix()}", path.read_bytes()


class ByteStream(io.RawIOBase):
    """An iterator of bytes as a file to read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what comes next, at least a byte unless the end is reached."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
