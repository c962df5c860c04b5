"""Objects whose line endings git changed: with the other ending they have the digest that names them.

A remote that is a folder in a repository is mangled by `core.autocrlf`, and so is a file that was versioned on Windows.
Bytes with the right digest are the recorded ones, however they were had; that a store holds others is for the auditor
to accept, and so they wait aside until that is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from runner.inside.hashing import CHUNK, FileHash, Hashing


def write_mended(path: str, target: str, algorithm: str, hexdigest: str) -> bool:
    """Write to `target` the text at `path` with the ending under which it has a digest; tell whether one gives it."""
    for convert in (_to_lf, _to_crlf):
        if _written(path, target, convert).matches(algorithm, hexdigest):
            return True
        os.unlink(target)
    return False


def how_mended(path: str) -> str:
    """Return how a text with these endings came of one with the other, for people."""
    with open(path, "rb") as file:
        return "LF made CRLF" if b"\r\n" in file.read(CHUNK) else "CRLF made LF"


def _written(path: str, target: str, convert: Callable[[Iterator[bytes]], Iterator[bytes]]) -> FileHash:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    hashing, rest = Hashing(), b""
    with open(path, "rb") as source, open(target, "wb") as file:
        for piece in convert(iter(lambda: source.read(CHUNK), b"")):
            file.write(piece)
            rest += piece
            while len(rest) >= CHUNK:  # DVC's digest of a text depends on where its pieces end
                hashing.update(rest[:CHUNK])
                rest = rest[CHUNK:]
    if rest:
        hashing.update(rest)
    return hashing.result()


def _to_lf(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        whole = held + piece
        held = b"\r" if whole.endswith(b"\r") else b""
        yield whole[: len(whole) - len(held)].replace(b"\r\n", b"\n")
    yield held


def _to_crlf(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in _to_lf(pieces):
        yield piece.replace(b"\n", b"\r\n")
