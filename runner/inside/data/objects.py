"""The object cache of restored data: DVC's layout, each object hashed by us once before it may be used.

An object counts as verified while its record's size, inode and mtime are still its own. Objects belong to root with
mode 0444, and the training runs as another user without capabilities, so that hard links to them can be read and not
changed. DVC itself trusts what lies in its cache; we do not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass

from runner.inside import layout, uses
from runner.inside.data.line_endings import how_mended, write_mended
from runner.inside.hashing import FileHash, hash_file


@dataclass(frozen=True)
class ObjectId:
    """Names an object: algorithm `md5` or `md5-dos2unix`, hex digits, and whether it is a directory's listing."""

    algorithm: str
    hexdigest: str
    directory: bool

    @classmethod
    def parse(cls, text: str) -> ObjectId:
        """Read `ALGORITHM:HEX[.dir]`."""
        algorithm, _, rest = text.partition(":")
        return cls(algorithm, rest.removesuffix(".dir"), rest.endswith(".dir"))

    @property
    def oid(self) -> str:
        """The name as DVC writes it."""
        return self.hexdigest + (".dir" if self.directory else "")

    @property
    def relative_path(self) -> str:
        """Where DVC keeps it below a cache or remote; DVC before 3.0 had no `files/md5`."""
        place = f"{self.hexdigest[:2]}/{self.oid[2:]}"
        return place if self.algorithm == "md5-dos2unix" else f"files/md5/{place}"

    @property
    def path(self) -> str:
        """Where it lies in our cache."""
        return f"{layout.OBJECTS}/{self.relative_path}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.oid}"


@dataclass(frozen=True)
class Verified:
    """What we found when we hashed an object."""

    md5: str
    sha256: str
    size_bytes: int
    inode: int
    mtime_ns: int


def _record_path(object_id: ObjectId) -> str:
    return f"{layout.VERIFIED}/{object_id.algorithm}/{object_id.oid}.json"


def verified(object_id: ObjectId) -> Verified | None:
    """Return the record of an object that is in the cache, verified and unchanged since; else None."""
    try:
        with open(_record_path(object_id), encoding="utf-8") as file:
            record = Verified(**json.load(file))
        status = os.lstat(object_id.path)
    except (OSError, ValueError, TypeError):
        return None
    unchanged = (status.st_size, status.st_ino, status.st_mtime_ns) == (
        record.size_bytes,
        record.inode,
        record.mtime_ns,
    )
    if not unchanged:
        return None
    uses.note_use(_record_path(object_id))
    return record


def verify(object_id: ObjectId) -> Verified | None:
    """Hash an object of the cache and record it; remove it and return None where its bytes are others."""
    try:
        found = hash_file(object_id.path)
    except FileNotFoundError:
        return None
    if not found.matches(object_id.algorithm, object_id.hexdigest):
        _set_aside(object_id, object_id.path, found)
        discard(object_id)
        return None
    _own(object_id.path)
    return _record(object_id, found)


def adopt(object_id: ObjectId, path: str, found: FileHash) -> bool:
    """Give a file that was hashed while it was written its place in the cache; remove it if its bytes are others.

    Only verified bytes ever bear an object's name, so that a rerun beside this one cannot link others.
    """
    if not found.matches(object_id.algorithm, object_id.hexdigest):
        _set_aside(object_id, path, found)
        os.unlink(path)
        return False
    _own(path)
    os.replace(path, object_id.path)
    _record(object_id, found)
    return True


def _set_aside(object_id: ObjectId, path: str, found: FileHash) -> None:
    """Keep a text of other bytes with the line endings under which it has the object's digest, if there are such."""
    if found.text_md5 is not None and not object_id.directory:
        os.makedirs(os.path.dirname(_mended_path(object_id)), exist_ok=True)
        write_mended(path, _mended_path(object_id), object_id.algorithm, object_id.hexdigest)


def _mended_path(object_id: ObjectId) -> str:
    return f"{layout.OBJECTS}/mended/{object_id.algorithm}-{object_id.oid}"


def is_mendable(object_id: ObjectId) -> bool:
    """Tell whether bytes that were refused have the object's digest with other line endings."""
    return os.path.isfile(_mended_path(object_id))


def take_mended(object_id: ObjectId) -> str | None:
    """Give an object its bytes by other line endings, and say how that was; None where there are none."""
    path = _mended_path(object_id)
    try:
        found, how = hash_file(path), how_mended(path)
    except FileNotFoundError:
        return None
    return how if adopt(object_id, path, found) else None


def drop_mended(object_id: ObjectId) -> None:
    """Forget what waits for being allowed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_mended_path(object_id))


def _own(path: str) -> None:
    os.chown(path, 0, 0)
    os.chmod(path, 0o444)


def _record(object_id: ObjectId, found: FileHash) -> Verified:
    status = os.lstat(object_id.path)
    record = Verified(found.md5, found.sha256, found.size_bytes, status.st_ino, status.st_mtime_ns)
    path = _record_path(object_id)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
    os.replace(temporary, path)
    return record


def discard(object_id: ObjectId) -> None:
    """Remove an object and its record, so that it is fetched anew."""
    for path in (_record_path(object_id), object_id.path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def listing(object_id: ObjectId) -> list[tuple[str, ObjectId]]:
    """Return (relative path, object) of each file of a directory object in the cache.

    Raises ValueError where the listing is not DVC's or a path leaves the directory.
    """
    try:
        with open(object_id.path, encoding="utf-8") as file:
            entries = json.load(file)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(entries, list):
        raise ValueError("a directory object is a list")  # noqa: TRY004  # of bytes, not of a caller
    result = []
    files: set[str] = set()
    taken: set[str] = set()  # paths and their parents: one path is one file, and no file is a folder
    for entry in entries:
        path, digest = (entry.get("relpath"), entry.get("md5")) if isinstance(entry, dict) else (None, None)
        if not isinstance(path, str) or not isinstance(digest, str):
            raise ValueError("an entry has no path or no digest")  # noqa: TRY004
        parts = path.split("/")
        if b"\0" in os.fsencode(path) or not all(part and part not in (".", "..") for part in parts):
            raise ValueError(f"the path {path!r} leaves its directory")
        parents = {"/".join(parts[:number]) for number in range(1, len(parts))}
        if path in taken or parents & files:
            raise ValueError(f"the path {path!r} is there twice")
        files.add(path)
        taken |= {path, *parents}
        if not re.fullmatch("[0-9a-f]{32}", digest):
            raise ValueError(f"{digest!r} is no digest")
        result.append((path, ObjectId(object_id.algorithm, digest, False)))
    return result
