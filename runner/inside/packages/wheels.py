"""What may be installed of the wheels that foreign code built: read from the archive, before anything is unpacked.

Standard library only.
"""

from __future__ import annotations

import base64
import csv
import email.parser
import hashlib
import io
import re
import stat
import zipfile
import zlib
from pathlib import Path

from runner.inside.packages.environment import normalised

FILE_NAME = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")
_SIZE_LIMIT = 8 << 30
_COUNT_LIMIT = 200_000
_TEXT_LIMIT = 16 << 20
_PYTHONS = re.compile(r"data/pyvenv\.cfg|(?:data/bin|scripts)/python[0-9.]*")
_SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})


class BadWheel(ValueError):
    """A wheel that is not what its name says, or whose entries lead out of its place; the message says which."""


def check(path: Path) -> tuple[str, str]:
    """Return the normalised name and the version of a wheel that may be unpacked. Raises BadWheel for any other."""
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise BadWheel(f"{path.name!r} is no name of a wheel")
    try:
        with zipfile.ZipFile(path) as pack:
            _check_entries(pack)
            folder = _metadata_folder(pack, match["name"], match["version"])
            _check_metadata(pack, folder, match["name"], match["version"])
            _check_record(pack, folder)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
    ) as error:
        raise BadWheel(f"it cannot be read: {error}") from error
    return normalised(match["name"]), match["version"]


def _check_entries(pack: zipfile.ZipFile) -> None:
    infos = pack.infolist()
    if len(infos) > _COUNT_LIMIT or sum(info.file_size for info in infos) > _SIZE_LIMIT:
        raise BadWheel("it is larger than any package is")
    seen: dict[str, tuple[int, int]] = {}
    for info in infos:
        name = info.filename
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or "\\" in name or "\0" in name or ":" in parts[0]:
            raise BadWheel(f"its entry {name!r} is an absolute path")
        if any(part in {"", ".", ".."} for part in parts):
            raise BadWheel(f"its entry {name!r} leads out of the package")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadWheel(f"its entry {name!r} is a link or a device, and no file")
        if seen.setdefault(name, (info.CRC, info.file_size)) != (info.CRC, info.file_size):
            raise BadWheel(f"its entry {name!r} is there twice, with other bytes")
        if parts[0].endswith(".data") and len(parts) > 1 and parts[1] not in _SCHEMES:
            raise BadWheel(f"its entry {name!r} is for no place of an installation")
        if parts[0].endswith(".data") and _PYTHONS.fullmatch("/".join(parts[1:])):
            raise BadWheel(f"its entry {name!r} would replace the environment's own Python")


def _metadata_folder(pack: zipfile.ZipFile, name: str, version: str) -> str:
    folders = {info.filename.split("/", 1)[0] for info in pack.infolist() if "/" in info.filename}
    found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
    if len(found) != 1:
        raise BadWheel(f"it has {len(found)} folders of metadata and not one")
    stem = found[0].removesuffix(".dist-info")
    own, _, number = stem.rpartition("-")
    if normalised(own) != normalised(name) or not same_version(number, version):
        raise BadWheel(f"its metadata is that of {stem}")
    return found[0]


def _check_metadata(pack: zipfile.ZipFile, folder: str, name: str, version: str) -> None:
    headers = email.parser.HeaderParser().parsestr(_text(pack, f"{folder}/METADATA"))
    said = str(headers.get("Name", "")), str(headers.get("Version", ""))
    if normalised(said[0]) != normalised(name) or not same_version(said[1], version):
        raise BadWheel(f"its metadata says that it is {' '.join(said).strip() or 'nothing'}")


def _check_record(pack: zipfile.ZipFile, folder: str) -> None:
    """Refuse a file with other bytes than RECORD says; what it does not list is recorded when it is installed."""
    names = set(pack.namelist())
    for row in csv.reader(io.StringIO(_text(pack, f"{folder}/RECORD"))):
        path, digest = [*row, "", ""][:2]
        if path not in names or not digest:
            continue
        algorithm, _, expected = digest.partition("=")
        if algorithm not in {"sha256", "sha384", "sha512"}:
            raise BadWheel(f"its record of {path!r} has no digest that counts")
        hashing = hashlib.new(algorithm)
        with pack.open(path) as file:
            while piece := file.read(1 << 20):
                hashing.update(piece)
        if base64.urlsafe_b64encode(hashing.digest()).rstrip(b"=").decode() != expected.rstrip("="):
            raise BadWheel(f"{path!r} has other bytes than its record says")


def _text(pack: zipfile.ZipFile, name: str) -> str:
    try:
        info = pack.getinfo(name)
    except KeyError:
        raise BadWheel(f"it has no {name}") from None
    if info.file_size > _TEXT_LIMIT:
        raise BadWheel(f"its {name} is too large")
    return pack.read(info).decode("utf-8", errors="replace")


def same_version(one: str, other: str) -> bool:
    """Tell whether two spellings are one version, as far as file names differ from metadata: `01.0-RC1`, `1.0rc1`."""
    return _version(one) == _version(other)


def _version(text: str) -> str:
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[-_+]", "", text.lower()).lstrip("v"))
