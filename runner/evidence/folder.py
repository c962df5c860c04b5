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
        for name, text in files.items():
            (self.making / name).write_text(text, encoding="utf-8")
        for folder in (self.logs, self.outputs):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only where it is empty
        if self.final.exists():  # `--out` named a folder that exists: its owner wants it filled
            for entry in self.making.iterdir():
                target = self.final / entry.name
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                entry.replace(target)
            self.making.rmdir()
        else:
            self.making.replace(self.final)
        if self._latest is not None:
            _point(self._latest, self.final.name)
        self.finished = True
        return self.final


@contextmanager
def evidence_folder(out: str | None, run_id: str, now: datetime, folder: Path) -> Iterator[EvidenceFolder]:
    """Make the folder of a reproduction; unless it was finished, nothing of it is left.

    `out` names it exactly; without it `FOLDER/reproductions/RUN_ID/TIME` is made, TIME being `now` in UTC. Raises
    InvalidConfiguration where it cannot be written, DiskFull.
    """
    made: Path | None = None
    try:
        if out is not None:
            final, latest = (folder / out).absolute(), None
            final.parent.mkdir(parents=True, exist_ok=True)
        else:
            root = folder / DEFAULT
            parent = root / _safe_name(run_id)
            parent.mkdir(parents=True, exist_ok=True)
            _ignore(root)
            final, latest = _free(parent / now.strftime("%Y%m%dT%H%M%SZ")), parent / "latest"
        made = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        made.chmod(0o755)
        evidence = EvidenceFolder(made, final, latest)
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space is left for the evidence: {error}", "--out FOLDER on another disk") from error
        raise InvalidConfiguration(
            f"the evidence cannot be written to {error.filename}: {error.strerror}", "--out FOLDER, one you may write"
        ) from error
    try:
        yield evidence
    finally:
        if not evidence.finished:
            shutil.rmtree(made, ignore_errors=True)
            if out is None:
                for empty in (made.parent, made.parent.parent):
                    _remove_if_empty(empty)


def _safe_name(run_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in run_id) or "run"


def _ignore(root: Path) -> None:
    """Keep evidence out of the project's own git, in which people run us."""
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _free(path: Path) -> Path:
    """Return the path, or one with a number behind it: two reproductions may end in the same second."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _point(link: Path, target: str) -> None:
    temporary = link.with_name(f".latest-{os.getpid()}")
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
