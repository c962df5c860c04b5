"""A digest is a value with its algorithm: `md5:…`, `md5:….dir` (DVC's directory object) or `sha256:…`.

`md5-dos2unix` is the hash of DVC before 3.0, which takes text files with their line endings made `\\n` first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_LENGTHS = {"md5": 32, "md5-dos2unix": 32, "sha256": 64}
_DIRECTORY = ".dir"


@dataclass(frozen=True, order=True)
class DigestValue:
    """A digest of a file's bytes, or of a DVC directory's listing when `directory` is true."""

    algorithm: str
    hexdigest: str
    directory: bool = False

    def __post_init__(self) -> None:
        length = _LENGTHS.get(self.algorithm)
        if length is None:
            raise ValueError(f"unknown digest algorithm {self.algorithm!r}")
        if not re.fullmatch(f"[0-9a-f]{{{length}}}", self.hexdigest):
            raise ValueError(f"{self.hexdigest!r} is not a {self.algorithm} digest")

    @classmethod
    def parse(cls, text: str) -> DigestValue:
        """Read `ALGORITHM:HEX[.dir]`; without an algorithm 32 digits are MD5 and 64 are SHA-256.

        Raises ValueError for anything else.
        """
        algorithm, separator, rest = text.strip().partition(":")
        if not separator:
            rest, algorithm = algorithm, ""
        rest = rest.strip().lower()
        directory = rest.endswith(_DIRECTORY)
        hexdigest = rest.removesuffix(_DIRECTORY)
        if not algorithm:
            algorithm = "sha256" if len(hexdigest) == 64 else "md5"
        return cls(algorithm.lower(), hexdigest, directory)

    @property
    def dvc(self) -> str:
        """The digest as DVC writes it: hex digits, with `.dir` for a directory."""
        return self.hexdigest + (_DIRECTORY if self.directory else "")

    @property
    def short(self) -> str:
        """The first digits, for people."""
        return self.hexdigest[:8]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.dvc}"


def _validate(value: Any) -> DigestValue:
    if isinstance(value, DigestValue):
        return value
    if isinstance(value, str):
        return DigestValue.parse(value)
    raise ValueError("a digest is text: ALGORITHM:HEX")


Digest = Annotated[
    DigestValue,
    PlainValidator(_validate),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(md5|md5-dos2unix|sha256):[0-9a-f]+(\.dir)?$"}),
]
"""A `DigestValue` as a field: a string in JSON."""
