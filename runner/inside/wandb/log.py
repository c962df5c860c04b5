"""The framing of a `.wandb` file: a header, then records in blocks as LevelDB's log has them, each with its checksum.

    file   := ":W&B" magic(u16, 0xBEE1) version(u8, 0) chunks          the header counts into the first block
    block  := 32 KiB of chunks; fewer than 7 bytes at its end are zeros
    chunk  := checksum(u32) length(u16) type(u8: 1 full, 2 first, 3 middle, 4 last) data

Numbers are little-endian. The sources are W&B's own writer, `wandb/sdk/internal/datastore.py`, and LevelDB's
`doc/log_format.md`; but the checksum, over type and data, is zlib's CRC-32 in every version of W&B (0.12 to 0.31 were
tried, the Python writer and the Go one), not LevelDB's masked CRC-32C.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK_BYTES = 32 << 10
RECORD_BYTES = 64 << 20  # the longest record that is put together
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass
class Log:
    """The records of a file, up to what cannot be read.

    `cut` tells that the file ends within a record, as after a crash or a copy of a run that goes on; `problem` is a
    sentence on what is no log of W&B's or was changed since it was written: nothing after it is read.
    """

    records: list[bytes]
    cut: bool = False
    problem: str | None = None


class _Broken(Exception):
    """The bytes are not what a writer left."""


class _Cut(Exception):
    """The file ends within a record."""


def read_log(file: BinaryIO, limit_bytes: int) -> Log:
    """Read all whole records of an open file, at most `limit_bytes` of it. Raises OSError alone."""
    log = Log([])
    head = file.read(len(HEADER))
    if head != HEADER:
        if HEADER.startswith(head):
            log.cut = True
        else:
            log.problem = "it does not begin as a file of W&B does"
        return log
    blocks = _Blocks(file, limit_bytes)
    try:
        while True:
            record = _record(blocks)
            if record is None:
                return log
            log.records.append(record)
    except _Cut:
        log.cut = True
    except _Broken as error:
        log.problem = str(error)
    return log


class _Blocks:
    """Reads chunks, each of which lies within one block."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._limit = limit_bytes
        self._at = len(HEADER)

    def chunk(self) -> tuple[int, bytes] | None:
        """Return type and data of the next chunk, None at the file's end."""
        left = BLOCK_BYTES - self._at % BLOCK_BYTES
        if left < _CHUNK.size:
            padding = self._file.read(left)
            self._at += len(padding)
            if padding.strip(b"\0"):
                raise _Broken(f"the padding before byte {self._at} is none")
            if len(padding) < left:
                return None
            left = BLOCK_BYTES
        head = self._file.read(_CHUNK.size)
        if not head:
            return None
        if len(head) < _CHUNK.size:
            raise _Cut
        checksum, length, kind = _CHUNK.unpack(head)
        if length > left - _CHUNK.size or not _FULL <= kind <= _LAST:
            raise _Broken(f"there is no record at byte {self._at}")
        data = self._file.read(length)
        if len(data) < length:
            raise _Cut
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
            raise _Broken(f"the record at byte {self._at} does not have its checksum")
        self._at += _CHUNK.size + length
        if self._at > self._limit:
            raise _Broken(f"it is longer than {self._limit} bytes")
        return kind, data


def _record(blocks: _Blocks) -> bytes | None:
    """Return the next record, None at the file's end."""
    chunk = blocks.chunk()
    if chunk is None:
        return None
    kind, data = chunk
    if kind == _FULL:
        return data
    if kind != _FIRST:
        raise _Broken("a record lacks its beginning")
    parts, size = [data], len(data)
    while kind != _LAST:
        chunk = blocks.chunk()
        if chunk is None:
            raise _Cut
        kind, data = chunk
        if kind not in (_MIDDLE, _LAST):
            raise _Broken("a record lacks its end")
        parts.append(data)
        size += len(data)
        if size > RECORD_BYTES:
            raise _Broken(f"a record is longer than {RECORD_BYTES} bytes")
    return b"".join(parts)
