"""Files of the commit that have a digest which the run recorded, as git holds them or with other line endings.

Git on Windows gives text files CRLF (`core.autocrlf`): what a script hashed there is no digest of what git holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from runner.repository.history import read_contents
from runner.repository.mirror import Mirror
from runner.schema.digest import DigestValue
from runner.schema.snapshot import CommittedFile, TreeEntry

_LONGEST = 64 << 20
_MOST_BYTES = 512 << 20  # of all that is hashed
_BATCH_BYTES = 32 << 20


def find_committed(
    mirror: Mirror, commit: str, tree: tuple[TreeEntry, ...], recorded: Mapping[str, str]
) -> tuple[CommittedFile, ...]:
    """Return the files that have a recorded digest; `recorded` maps hexadecimal MD5 or SHA-256 to where it stands.

    One that a file has as it is, no other file has by its line endings.
    """
    if not recorded:
        return ()
    found: dict[str, list[CommittedFile]] = {}
    for paths in _batches(tree):
        for path, content in read_contents(mirror, commit, paths, _LONGEST).items():
            for mended, text in _versions(content):
                for digest in _digests(text):
                    if digest.hexdigest in recorded:
                        file = CommittedFile(path=path, digest=digest, source=recorded[digest.hexdigest], mended=mended)
                        found.setdefault(digest.hexdigest, []).append(file)
    return tuple(file for files in found.values() for file in _best(files))


def _best(files: list[CommittedFile]) -> list[CommittedFile]:
    """Return those that are as they are, if any; two files that would have to be mended are one too many."""
    exact = [file for file in files if file.mended is None]
    return exact or (files if len(files) == 1 else [])


def _batches(tree: tuple[TreeEntry, ...]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = total = 0
    for entry in tree:
        bytes_ = entry.size_bytes or 0
        if entry.kind != "file" or not 0 < bytes_ <= _LONGEST or total + bytes_ > _MOST_BYTES:
            continue
        if batch and size + bytes_ > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry.path)
        size, total = size + bytes_, total + bytes_
    if batch:
        yield batch


def _versions(content: bytes) -> Iterator[tuple[str | None, bytes]]:
    yield None, content
    if b"\0" in content[:8192] or b"\n" not in content:
        return
    lf = content.replace(b"\r\n", b"\n")
    if lf != content:
        yield "CRLF made LF", lf
    crlf = lf.replace(b"\n", b"\r\n")
    if crlf != content:
        yield "LF made CRLF", crlf


def _digests(content: bytes) -> Iterator[DigestValue]:
    yield DigestValue("md5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    yield DigestValue("sha256", hashlib.sha256(content).hexdigest())
