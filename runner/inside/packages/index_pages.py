"""What a package index has of a package: its files, as far as their names and the index tell."""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from runner.inside.packages.environment import normalised
from runner.inside.packages.index_access import NotThere, moment_of, page
from runner.inside.packages.indexes import FIRST_INDEX, IndexSettings

MINORS = range(6, 20)
"""The minors of Python 3 that anything is looked for."""

_INTERPRETER = re.compile(r"(?:cp|py)3(?P<minor>\d+)")


@dataclass(frozen=True)
class IndexFile:
    """A file on an index. `python` bounds the interpreters it is for, `minors` are those whose wheel it is.

    `minors` of None is a source archive; `uploaded` of None is an index that does not say. `for_here` tells that it is
    a wheel for the Python and the system that run this.
    """

    version: Version
    python: SpecifierSet
    minors: frozenset[int] | None
    uploaded: datetime | None
    yanked: bool
    for_here: bool

    @property
    def is_wheel(self) -> bool:
        """Tell whether it is a wheel, and not a source archive."""
        return self.minors is not None

    def there_on(self, day: datetime | None) -> bool:
        """Tell whether it was there on a day, as far as the index says."""
        return day is None or self.uploaded is None or self.uploaded <= day

    def for_minor(self, minor: int) -> bool:
        """Tell whether it is for a Python 3 minor: any of its patches counts."""
        if self.minors is not None and minor not in self.minors:
            return False
        return any(self.python.contains(Version(f"3.{minor}.{patch}")) for patch in (0, 1, 2, 9, 30))


def files_of(name: str, settings: IndexSettings) -> tuple[IndexFile, ...]:
    """Return the files of a package on the indexes that it may come from, empty where none has it.

    That is the first of the host's own that knows it, else all others. Raises PhaseError (unavailable).
    """
    found: list[IndexFile] = []
    for index in settings.order:
        try:
            entries = page(index, normalised(name), settings)
        except NotThere:
            continue
        found += [file for file in map(_file, entries) if file is not None]
        if index in settings.own and settings.strategy in (None, FIRST_INDEX):
            break
    return tuple(found)


def _file(entry: dict[str, Any]) -> IndexFile | None:
    name = str(entry["filename"])
    minors: frozenset[int] | None = None
    for_here = False
    try:
        if name.endswith(".whl"):
            _, version, _, tags = parse_wheel_filename(name)
            minors = frozenset(minor for tag in tags for minor in _minors_of(tag.interpreter, tag.abi, tag.platform))
            for_here = bool(tags & _tags_here())
        else:
            _, version = parse_sdist_filename(name)
        python = SpecifierSet(str(entry.get("requires-python") or ""))
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion, InvalidSpecifier):
        return None
    uploaded = moment_of(str(entry["upload-time"])) if entry.get("upload-time") else None
    return IndexFile(version, python, minors, uploaded, bool(entry.get("yanked")), for_here)


@functools.cache
def _tags_here() -> frozenset[Tag]:
    return frozenset(sys_tags())


def _minors_of(interpreter: str, abi: str, system: str) -> Iterable[int]:
    if system != "any" and not (system.endswith(platform.machine()) and system.startswith(("linux", "manylinux"))):
        return ()
    if interpreter in {"py3", "py2.py3"}:
        return MINORS
    match = _INTERPRETER.fullmatch(interpreter)
    if match is None:
        return ()
    minor = int(match["minor"])
    return range(minor, MINORS.stop) if abi == "abi3" or interpreter.startswith("py") else (minor,)
