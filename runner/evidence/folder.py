"""The evidence of one reproduction as a folder: `reproductions/RUN_ID/TIME/`.

Nothing half-made is ever at its final place: a reproduction is written beside it and moved there when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from runner.errors import DiskFull, InvalidConfiguration

DEFAULT = "reproductions"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class EvidenceFolder:
    """A folder in the making. `logs` and `outputs` are there from the start; `finish` gives it its name.

    As long as `lock` is open, the folder is locked: what is not was left by a process that was killed.
    """

    def __init__(self, making: Path, final: Path, latest: Path | None, lock: int) -> None:
        self.making = making
        self.final = final
        self._latest = latest
        self._lock = lock
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
        (self.making / _MARK).unlink()
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
    # Innermost first; where there was no folder before, there is none after.
    missing = [each for each in final.parents if not os.path.lexists(each)]
    made: Path | None = None
    finished = False
    try:
        with _understood():
            final.parent.mkdir(parents=True, exist_ok=True)
            if out is None:
                _ignore(root)
            filled = out is not None and final.exists()
            if filled:
                _check_folder(final)
            # In what is to be filled, since that may be a disk of its own.
            _sweep(final.parent if out is not None else root, final.name if out is not None else None)
        made, lock = 
def _safe_name(run_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in run_id) or "run"


def _ignore(root: Path) -> None:
    """Keep evidence out of the project's own git, in which people run us."""
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


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
    if [entry.name for entry in entries] == [".gitignore"]:
        entries[0].unlink()
        entries = []
    if not entries:
        with contextlib.suppress(OSError):
            folder.rmdir()
