"""Reads the runs that W&B kept in the capture: hostile input, as all of it. See `reproducibility_runner.wandb_runs`.

W&B's files have no numbers across a training. Their values therefore come after all events, in the order in which
their runs began; when a run began and ended among the events is told by events of its own.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.inside.wandb import values
from runner.inside.wandb.records import RunFile, read_run_file

FOLDERS = ("wandb", "wandb")  # ours in the capture, and W&B's own in it
_RUN = "offline-run-"
_SUFFIX = ".wandb"
_FILE_BYTES = 512 << 20
_LONGEST_TEXT = 100_000
_RUNS = 20_000


class CapturedWandb:
    """The runs of W&B in a capture."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[int, bool]] = {}
        self._ended: dict[str, int] = {}
        self.problems: list[str] = []
        self.runs: list[dict[str, Any]] = []
        self.last_logged = -1

    def began(self, folder: str, sequence: int, *, continues: bool) -> None:
        """Take note that a run began; `continues` tells that it was to go on from an earlier one."""
        self._began.setdefault(folder, (sequence, continues))

    def ended(self, folder: str, sequence: int) -> None:
        """Take note that a run ended."""
        self._ended[folder] = sequence

    def read(self, capture: int, number: int, most_points: int) -> None:
        """Read all runs beneath an open capture directory; `number` is the first that no event has."""
        with _opened(capture, FOLDERS) as place:
            names = [] if place < 0 else sorted(name for name in os.listdir(place) if name.startswith(_RUN))
            absent = self._began.keys() - set(names)
            if absent:
                self.problems.append(f"W&B's file of a run is missing: {min(absent)[:100]}")
            if len(names) > _RUNS:
                self.problems.append(f"more than {_RUNS} runs of W&B were made; the rest were left out")
            order = sorted(names[:_RUNS], key=lambda name: (self._began.get(name, (number, False))[0], name))
            for name in order:
                run = self._read(place, name)
                if run is not None:
                    number = self._take(name, run, number, most_points)
        # Of a run that no event ends, nobody knows until when it logged.
        self.last_logged = max((self._ended.get(name, number) for name in order), default=-1)

    def _read(self, place: int, name: str) -> RunFile | None:
        with _opened(place, (name,)) as folder:
            files = [] if folder < 0 else [file for file in os.listdir(folder) if file.endswith(_SUFFIX)]
            if len(files) != 1:
                self.problems.append(f"W&B's folder of a run holds {len(files)} files of runs: {name[:100]}")
                return None
            try:
                file = os.open(files[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                self.problems.append(f"W&B's file of a run cannot be read: {error.strerror}")
                return None
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                self.problems.append("W&B's file of a run is no regular file with one name")
                return None
            return read_run_file(opened, _FILE_BYTES)

    def _take(self, name: str, run: RunFile, number: int, most_points: int) -> int:
        """Add a run, with numbers from `number` on for its values; return the next number."""
        points, _ = values.history_points(run.history, run.start_ms)
        summary, _ = values.summary_points(run.summary, run.start_ms)
        points = [*points, *summary]
        if len(points) > most_points:
            self.problems.append(f"more than {most_points} values were logged; the rest were left out")
            points = points[:most_points]
        # One that was never ended is told by its status; what else is wrong with a file may hide values.
        if run.exit_code is not None or run.unreadable:
            self.problems += run.problems
        started, continues = self._began.get(name, (number, False))
        self.runs.append(
            {
                "tracker": "wandb",
                "run_id": _text(run.run_id or name),
                "experiment": _text(run.project) or None,
                "experiment_id": None,
                "name": _text(run.name) or None,
                "status": None if run.exit_code is None else "FINISHED" if run.exit_code == 0 else "FAILED",
                "parent_run_id": None,
                "resumed": continues or run.resumed or run.forked,
                "started": started,
                "ended": self._ended.get(name),
                "params": {_text(key): _text(value) for key, value in values.params(run.config).items()},
                "tags": {
                    key: _text(value)
                    for key, value in (("wandb.group", run.group), ("wandb.job_type", run.job_type))
                    if value
                },
                "metrics": [
                    {
                        "sequence": number + place,
                        "name": _text(key),
                        "value": _number(value),
                        "step": step,
                        "timestamp_ms": at,
                    }
                    for place, (key, value, step, at) in enumerate(points)
                ],
                "artifacts": {},
            }
        )
        return number + len(points)


@contextmanager
def _opened(folder: int, parts: tuple[str, ...]) -> Iterator[int]:
    """Open a folder beneath an open one, by no link; a negative number where there is none."""
    opened: list[int] = []
    try:
        for part in parts:
            parent = opened[-1] if opened else folder
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent))
        yield opened[-1]
    except (FileNotFoundError, NotADirectoryError):
        if len(opened) == len(parts):
            raise
        yield -1
    finally:
        for each in opened:
            os.close(each)


def _text(text: str) -> str:
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")


def _number(value: float) -> float | str:
    """Return a number as the schema's JSON has it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
