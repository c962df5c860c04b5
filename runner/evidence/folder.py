"""The evidence of one reproduction as a folder: `reproductions/RUN_ID/TIME/`.

Nothing half-made is ever at its final place: a reproduction is written beside it and moved there when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runner import interrupts
from runner.errors import DiskFull, InvalidConfiguration

DEFAULT = "reproductions"
_IGNORE = "*\n"
_MARK = ".making"  # in each folder that is not finished: those without are nothing that we may remove
_UNLOCKED = ".unlocked"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class EvidenceFolder:
    """A folder in the making. `logs` and `outputs` are there from the start; `finish` gives it its name."""

    def __init__(self, making: Path, final: Path, latest: Path | None) -> None:
        self.making = making
        self.final = final
        self._latest = latest
        self.finished = False
        self.logs.mkdir(parents=True)
        self.outputs.mkdir()

    @property
    def logs(self) -> Path:
        """Where the logs of the phases go."""
        return self.making / "logs"

    @property
    def outputs(self) -> Path:
        """Where copies of small outputs go."""
        return self.making / "outputs"

    def finish(self, files: dict[str, str]) -> Path:
        """Write the named texts, move the folder to its place and return that."""
        with _understood():
            return self._finish(files)

    def _finish(self, files: dict[str, str]) -> Path:
        for mark in (_MARK, _UNLOCKED):
            (self.making / mark).unlink(missing_ok=True)
        for name, text in files.items():
            (self.making / name).write_text(text, encoding="utf-8")
        for folder in (self.logs, self.outputs):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only where it is empty
        if self._latest is not None:
            self.final = _move(self.making, self.final)
            _point(self._latest, self.final.name)
        elif self.final.exists():  # `--out` named a folder that exists: its owner wants it filled
            for entry in list(self.making.iterdir()):
                target = self.final / entry.name
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                entry.replace(target)
            self.making.rmdir()
        else:
            self.making.replace(self.final)
        self.finished = True
        return self.final


@contextmanager
def evidence_folder(out: str | None, run_id: str, now: datetime, folder: Path) -> Iterator[EvidenceFolder]:
    """Make the folder of a reproduction; unless it was finished, nothing of it is left.

    `out` names it exactly; without it `FOLDER/reproductions/RUN_ID/TIME` is made, TIME being `now` in UTC. Raises
    InvalidConfiguration where it cannot be written, DiskFull.
    """
    root = folder / DEFAULT
    if out is not None:
        final, latest = (folder / out).resolve(), None
    else:
        parent = root / _safe_name(run_id)
        final, latest = parent / now.strftime("%Y%m%dT%H%M%SZ"), parent / "latest"
    _sweep_all(final, root if out is None else None)
    # Innermost first; where there was no folder before, there is none after.
    missing = [each for each in final.parents if not os.path.lexists(each)]
    made: _Locked | None = None

    def take_away() -> None:
        if made is not None:
            shutil.rmtree(made.path, ignore_errors=True)
            made.close()
        for each in missing:
            _remove_if_empty(each)
        forget()

    forget = interrupts.note(take_away)
    finished = False
    try:
        with _understood():
            final.parent.mkdir(parents=True, exist_ok=True)
            if out is None:
                _ignore(root)
            filled = out is not None and final.exists()
            if filled and not final.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))
            # In what is to be filled, since that may be a disk of its own.
            home = final if filled else final.parent
            made = _make(home, f".{final.name}-")
            evidence = EvidenceFolder(made.path, final, latest)
        try:
            yield evidence
        except OSError as error:
            if error.errno in _FULL:
                raise _full(error) from error
            raise
        finished = evidence.finished
    finally:
        if not finished:
            take_away()
    made.close()
    forget()


@contextmanager
def _understood() -> Iterator[None]:
    """Raise our errors for what the file system refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(error) from error
        raise InvalidConfiguration(
            f"the evidence cannot be written to {error.filename}: {error.strerror}", "--out FOLDER, one you may write"
        ) from error


def _full(error: OSError) -> DiskFull:
    return DiskFull(f"no space is left for the evidence: {error}", "--out FOLDER on another disk")


@dataclass(frozen=True)
class _Locked:
    """A folder in the making. As long as its descriptor is open it is locked, so that no other process sweeps it."""

    path: Path
    descriptor: int

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def _make(home: Path, prefix: str) -> _Locked:
    while True:
        home.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        path.chmod(0o755)
        try:
            descriptor = _lock(path)
        except OSError:  # a file system without locks: nothing on it is ever swept
            (path / _UNLOCKED).touch()
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if descriptor is None:  # another start took it for what a killed one had left, just now
            continue
        (path / _MARK).touch()
        return _Locked(path, descriptor)


def _lock(path: Path) -> int | None:
    """Lock a folder and return its descriptor, None where another process holds it or has removed it."""
    descriptor = None
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return None


def _sweep_all(final: Path, root: Path | None) -> None:
    """Remove what killed processes were making of `final`, or below `root` of any run."""
    with contextlib.suppress(OSError):
        if root is None:
            for home in (final, final.parent):
                _sweep(home, re.escape(final.name))
            return
        for home in [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]:
            if _sweep(home, r"\d{8}T\d{6}Z"):
                _remove_if_empty(home)
                _remove_if_empty(root)


def _sweep(home: Path, stem: str) -> bool:
    """Remove folders of our form and mark that nobody has locked; tell whether there was one."""
    form = re.compile(rf"\.{stem}-[a-z0-9_]{{8}}")
    swept = False
    with contextlib.suppress(OSError):
        for path in list(home.iterdir()):
            if not form.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
                continue
            inside = {entry.name for entry in path.iterdir()}
            if (inside and _MARK not in inside) or _UNLOCKED in inside:
                continue
            descriptor = _lock(path)
            if descriptor is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(descriptor)
                swept = True
    return swept


def _safe_name(run_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in run_id) or "run"


def _ignore(root: Path) -> None:
    """Keep evidence out of the project's own git, in which people run us."""
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text(_IGNORE, encoding="utf-8")


def _move(making: Path, path: Path) -> Path:
    """Give a folder its name, or one with a number behind it: two reproductions may begin in the same second."""
    number, free = 1, path
    while True:
        try:
            return making.rename(free)  # which refuses what is there and not empty
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        number += 1
        free = path.with_name(f"{path.name}-{number}")


def _point(link: Path, target: str) -> None:
    temporary = link.with_name(f".latest-{target}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    temporary.replace(link)


def _remove_if_empty(folder: Path) -> None:
    entries = list(folder.iterdir()) if folder.is_dir() else []
    if [entry.name for entry in entries] == [".gitignore"] and entries[0].read_text(errors="replace") == _IGNORE:
        entries[0].unlink()
        entries = []
    if not entries:
        with contextlib.suppress(OSError):
            folder.rmdir()
