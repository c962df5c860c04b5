"""Reading a stranger's folder: nothing outside it, nothing but regular files, never more than asked for."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import TrackerUnavailable

_DEEPEST = 40  # levels of folders


class NotPlain(Exception):
    """Something in a folder is no regular file of it, such as a link that leads out; the text names it."""


class Folder:
    """A folder that is only read. Paths are relative to it and POSIX; what leads out of it is as if absent."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))

    def inside(self, path: str) -> Path | None:
        """Return where `path` is, symbolic links followed, or None if that is not beneath this folder."""
        if "\0" in path:
            return None
        real = os.path.realpath(self.root / path)
        return Path(real) if Path(real).is_relative_to(self.root) else None

    def is_folder(self, path: str) -> bool:
        """Tell whether there is a folder at `path`."""
        real = self.inside(path)
        return real is not None and real.is_dir()

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the bytes of the regular file at `path`; None where there is none or it is longer than the limit.

        Raises OSError where it is there and cannot be read.
        """
        real = self.inside(path)
        if real is None:
            return None
        try:
            # A pipe in a stranger's folder must not make us wait.
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit_bytes + 1)
        return data if len(data) <= limit_bytes else None

    def folders(self, path: str) -> list[str]:
        """Return the names of the folders in `path`, sorted."""
        return sorted(name for name, folder in self._entries(path) if folder)

    def files(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield (path relative to `path`, bytes) of all regular files beneath it, sorted.

        Links to folders are not followed.
        """
        yield from self._files(path, "", 0)

    def every_file(self, path: str) -> Iterator[tuple[str, Path]]:
        """Yield (path relative to `path`, where it is) of all that lies beneath it, sorted, leaving nothing out.

        Raises NotPlain where something is neither a regular file of this folder nor a folder in its place.
        """
        for name, folder in sorted(self._entries(path)):
            here = posixpath.join(path, name)
            real = self.inside(here)
            if folder and (self.root / here).is_symlink():
                raise NotPlain(f"{readable(name)} is a link to another folder")
            if folder:
                if path.count("/") > _DEEPEST:
                    raise NotPlain(f"{readable(name)} lies too deep")
                for below, found in self.every_file(here):
                    yield posixpath.join(name, below), found
            elif real is None:
                raise NotPlain(f"{readable(name)} leads out of {self.root}")
            elif not real.is_file():
                raise NotPlain(f"{readable(name)} is no regular file")
            else:
                yield name, real

    def _files(self, base: str, below: str, depth: int) -> Iterator[tuple[str, int]]:
        here = posixpath.join(base, below)
        for name, folder in sorted(self._entries(here)):
            relative = posixpath.join(below, name)
            if folder:
                if depth < _DEEPEST and not (self.root / here / name).is_symlink():
                    yield from self._files(base, relative, depth + 1)
                continue
            real = self.inside(posixpath.join(here, name))
            if real is not None and real.is_file():
                yield relative, real.stat().st_size

    def _entries(self, path: str) -> list[tuple[str, bool]]:
        """Return (name, whether it is a folder) of what lies in `path`."""
        real = self.inside(path)
        if real is None:
            return []
        try:
            with os.scandir(real) as found:
                return [(entry.name, self._is_folder(entry)) for entry in found]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return entry.is_dir()
        real = os.path.realpath(entry.path)
        return Path(real).is_relative_to(self.root) and Path(real).is_dir()


def readable(name: str) -> str:
    """Return a file's name as text that JSON can hold: bytes that are no UTF-8 become question marks of Unicode."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@contextmanager
def reading(what: str, root: Path) -> Iterator[None]:
    """Turn what reading a store's files raises into TrackerUnavailable; `what` names the store without secrets."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise TrackerUnavailable(f"{what} cannot be read: {error.strerror} ({where})", f"ls -l {where}") from error
