"""The wire format of protocol buffers: the fields of one message by their numbers, without its description.

The source is https://protobuf.dev/programming-guides/encoding/. Unknown fields are kept and harm nobody.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_LARGEST_FIELD = (1 << 29) - 1


class Malformed(ValueError):
    """The bytes are no message."""


class Message:
    """A message: `number` in the methods is a field's; where a field comes twice, the last counts."""

    def __init__(self, data: bytes) -> None:
        """Take a message apart. Raises Malformed."""
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in _fields(data):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def integer(self, number: int) -> int:
        """Return an int32, int64, uint32, bool or enumeration; 0 where it is not there."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise Malformed(f"field {number} is no number")
        return value - (1 << 64) if value >> 63 else value

    def zigzag(self, number: int) -> int:
        """Return a sint64."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise Malformed(f"field {number} is no number")
        return (value >> 1) ^ -(value & 1)

    def double(self, number: int) -> float:
        """Return a double."""
        value = self._fields.get(number, [b"\0" * 8])[-1]
        if not isinstance(value, bytes) or len(value) != struct.calcsize("<d"):
            raise Malformed(f"field {number} is no double")
        (number_,) = struct.unpack("<d", value)
        return float(number_)

    def text(self, number: int) -> str:
        """Return a string; empty where it is not there."""
        return self.texts(number)[-1] if number in self._fields else ""

    def texts(self, number: int) -> list[str]:
        """Return a repeated string."""
        try:
            return [value.decode("utf-8") for value in self._all_bytes(number)]
        except UnicodeDecodeError as error:
            raise Malformed(f"field {number} is no text") from error

    def message(self, number: int) -> Message | None:
        """Return a message within, None where it is not there. One that comes in parts is merged."""
        values = self._all_bytes(number)
        return Message(b"".join(values)) if values else None

    def messages(self, number: int) -> list[Message]:
        """Return a repeated message."""
        return [Message(value) for value in self._all_bytes(number)]

    def _all_bytes(self, number: int) -> list[bytes]:
        values = self._fields.get(number, [])
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) < len(values):
            raise Malformed(f"field {number} is neither text nor message")
        return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field; fixed-width values as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not 0 < number <= _LARGEST_FIELD:
            raise Malformed("a field has no number")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise Malformed(f"field {number} is of no known kind")
        if length > len(data) - at:
            raise Malformed(f"field {number} is cut")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(data):
            raise Malformed("a number is cut")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            if value >> 64:
                raise Malformed("a number is too large")
            return value, at + place + 1
    raise Malformed("a number is too long")
