"""Which versions are chosen where some have only a source archive: as pip chooses, and before anything is built.

uv, which may run no foreign code here, takes a version without a wheel for one that is not there, and then an older one
of it, or of what asks for it: another environment than the run's, without a word. So empty wheels stand in for source
archives while versions are chosen, and what is chosen is built and takes their place.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.version import Version

from runner.inside.packages.index_access import moment_of
from runner.inside.packages.index_pages import IndexFile, files_of
from runner.inside.packages.indexes import IndexSettings

_AT_ONCE = 8


class StandIns:
    """A folder of empty wheels.

    `pinned` versions are there whatever the day `as_of`, and where they are yanked too; those that are `built` have a
    wheel by now. Packages of `without_any` are known to need none.
    """

    def __init__(
        self,
        folder: Path,
        settings: IndexSettings,
        *,
        as_of: str | None,
        pinned: Mapping[str, str],
        prereleases: bool,
        built: Collection[tuple[str, str]],
        without_any: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._as_of = as_of
        self._pinned = pinned
        self._prereleases = prereleases
        self._built = built
        self._seen: set[str] = set(without_any)
        self._versions: dict[str, dict[Version, str]] = {}

    def add(self, names: Iterable[str]) -> bool:
        """Add those of packages that were not looked at yet; tell if there are any."""
        fresh = sorted(set(names) - self._seen)
        self._seen.update(fresh)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            pages = dict(pool.map(lambda name: (name, files_of(name, self._settings)), fresh))
        for name, files in pages.items():
            for version, python in self._sources(name, files).items():
                if (name, str(version)) not in self._built:
                    self._versions.setdefault(name, {})[version] = python
                    self._write(name, version, python)
        return any(name in self._versions for name in fresh)

    @property
    def looked_at(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the packages that have stand-ins, and those that were found to need none."""
        return frozenset(self._versions), frozenset(self._seen - self._versions.keys())

    def chosen(self, pins: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return those of the chosen versions that only a wheel of ours stands for."""
        return [
            (name, version)
            for name, version in sorted(pins.items())
            if name in self._versions and Version(version) in self._versions[name]
        ]

    def _sources(self, name: str, files: Iterable[IndexFile]) -> dict[Version, str]:
        """Return the versions that this Python could only build, with the Pythons that they are for."""
        pinned = self._pinned.get(name)
        day = None if pinned is not None else moment_of(self._as_of)
        there = [file for file in files if file.there_on(day)]
        wheels = {file.version for file in there if file.is_wheel and file.for_here}
        found = {}
        for file in there:
            if file.is_wheel or file.version in wheels or not file.for_minor(sys.version_info[1]):
                continue
            exact = pinned is not None and file.version == Version(pinned)
            if exact or not (file.yanked or (file.version.is_prerelease and not self._prereleases)):
                found[file.version] = str(file.python)
        return found

    def _write(self, name: str, version: Version, python: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = f"{name.replace('-', '_')}-{version}"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Python: {python}\n" if python else ""
        with zipfile.ZipFile(self.folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
