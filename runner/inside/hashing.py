"""Digests of bytes, as we compute them ourselves. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

CHUNK = 1 << 20  # DVC's own: its digests of texts depend on it


@dataclass(frozen=True)
class FileHash:
    """Digests of one file in one reading; `text_md5` is DVC 2's (CRLF made LF), None for binary files.

    DVC converts each MiB by itself, so that a CRLF across a border stays one: its digest is what was recorded.
    """

    md5: str
    sha256: str
    size_bytes: int
    text_md5: str | None

    def matches(self, algorithm: str, hexdigest: str) -> bool:
        """Tell whether the bytes have this digest."""
        if algorithm == "sha256":
            return hexdigest == self.sha256
        if algorithm == "md5-dos2unix":
            return hexdigest in (self.md5, self.text_md5)
        return algorithm == "md5" and hexdigest == self.md5


def hash_file(path: str) -> FileHash:
    """Hash a regular file; never follows a symbolic link. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    hashing = Hashing()
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            hashing.update(chunk)
    return hashing.result()


class Hashing:
    """Hashes bytes as they come, in chunks of `CHUNK` but for the last."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)  # DVC's digest; SHA-256 is kept beside it
        self._text_md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size, self._binary = 0, False

    def update(self, chunk: bytes) -> None:
        """Take the next chunk."""
        if self._size == 0:
            self._binary = not _is_text(chunk[:512])
        self._size += len(chunk)
        self._md5.update(chunk)
        self._sha256.update(chunk)
        if not self._binary:
            self._text_md5.update(chunk.replace(b"\r\n", b"\n"))

    def result(self) -> FileHash:
        """Return the digests of all that came."""
        text_md5 = None if self._binary else self._text_md5.hexdigest()
        return FileHash(self._md5.hexdigest(), self._sha256.hexdigest(), self._size, text_md5)


def _is_text(block: bytes) -> bool:
    # DVC's own rule (dvc_data.hashfile.istextfile): no NUL, and at most 30 % of unprintable bytes.
    if not block:
        return True
    if b"\x00" in block:
        return False
    printable = bytes(range(32, 127)) + b"\n\r\t\f\b"
    return len(block.translate(None, printable)) / len(block) <= 0.30


def directory_digest(entries: Iterable[tuple[str, str]]) -> str:
    """Return DVC's digest of a directory from (relative POSIX path, MD5) pairs, without the `.dir` suffix.

    As dvc_data.hashfile.tree.Tree.digest: MD5 over the JSON list of {md5, relpath}, sorted by the path as a text
    (`a-b` before `a/b`).
    """
    listing = [{"md5": md5, "relpath": path} for path, md5 in sorted(entries)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
