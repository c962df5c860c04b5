"""Reads what the capture wrote during training: hostile input, since the training could write there too.

Standard library only. Reads one regular file beneath the given folder and nothing else, follows no link, keeps to
limits of size, and turns whatever it cannot use into a `problem`, a sentence for the report. What it returns has the
shape of `runner.schema.rerun.CaptureReport`.

A line is an event (see `reproducibility_runner.events`): `{"seq": N, "event": NAME, "pid": …, …}`. Numbers are given
across all processes, an event of several values takes several; a gap therefore means that something was lost.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runner.inside.capture.models import CapturedModels, Files
from runner.inside.capture.wandb_runs import CapturedWandb

EVENTS = "events.jsonl"
COUNTER = "events.counter"
LOADED = "loaded.jsonl"

_HEX = re.compile(r"[0-9a-f]+")
_VARIABLE = re.compile(r"[A-Z][A-Z_]{1,39}")
_LARGEST = 2**63 - 1
_FROM_TEXT = {"NaN", "Infinity", "-Infinity"}
_LOGGED = ("metrics", "params", "artifact")


@dataclass(frozen=True)
class CaptureLimits:
    """How much of a capture is read; what lies beyond is a problem. `text` is in characters, the rest in items."""

    file_bytes: int = 512 << 20
    line_bytes: int = 4 << 20
    text: int = 100_000
    points: int = 1_000_000
    runs: int = 20_000
    values: int = 500_000
    paths: int = 200_000
    problems: int = 50
    libraries: int = 200
    loaded_bytes: int = 4 << 20


class _Malformed(ValueError):
    """An event does not have the shape that it should."""


@dataclass
class _Run:
    run_id: str
    experiment: str | None
    experiment_id: str | None
    name: str | None
    parent_run_id: str | None
    on_demand: bool
    started: int
    status: str | None = None
    ended: int | None = None
    touched: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[int, str, float | str, int, int]] = field(default_factory=list)
    artifacts: Files = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "tracker": "mlflow",
            "run_id": self.run_id,
            "experiment": self.experiment,
            "experiment_id": self.experiment_id,
            "name": self.name,
            "status": self.status,
            "parent_run_id": self.parent_run_id,
            "resumed": self.on_demand,
            "started": self.started,
            "ended": self.ended,
            "params": self.params,
            "tags": self.tags,
            "metrics": [
                {"sequence": sequence, "name": name, "value": value, "step": step, "timestamp_ms": timestamp}
                for sequence, name, value, step, timestamp in self.metrics
            ],
            "artifacts": self.artifacts,
            "datasets": self.datasets,
        }


def read_capture(directory: str, limits: CaptureLimits | None = None) -> dict[str, Any]:
    """Return the capture in `directory` as a JSON-ready CaptureReport. Raises nothing that its content could cause."""
    reading = _Reading(limits or CaptureLimits())
    reading.read(directory)
    return reading.report()


class _Reading:
    """One reading of a capture."""

    def __init__(self, limits: CaptureLimits) -> None:
        self._limits = limits
        self._problems: dict[str, int] = {}
        self._unobserved: dict[str, None] = {}
        self._runs: dict[str, _Run] = {}
        self._models = CapturedModels()
        self._reads: list[dict[str, Any]] = []
        self._processes: set[int] = set()
        self._mlflow_processes: set[int] = set()
        self._wandb_processes: set[int] = set()
        self._wandb = CapturedWandb()
        self._began_ns: int | None = None
        self._first_read: dict[str, tuple[int, bool]] = {}
        self._first_write: dict[str, int] = {}
        self._absent: dict[str, None] = {}
        self._hosts: dict[str, None] = {}
        self._libraries: dict[tuple[str, ...], dict[str, Any]] = {}
        self._variables: dict[str, str] = {}
        self._gpus: dict[str, None] = {}
        self._points = 0
        self._values = 0
        self._last_logged = -1
        self._next = 0
        self._handlers: dict[str, Callable[[int, dict[str, Any]], None]] = {
            "start": self._on_start,
            "mlflow": self._on_mlflow,
            "wandb": self._on_wandb,
            "wandb run": self._on_wandb_run,
            "wandb ended": self._on_wandb_ended,
            "run": self._on_run,
            "metrics": self._on_metrics,
            "params": self._on_params,
            "tags": self._on_tags,
            "tag deleted": self._on_tag_deleted,
            "status": self._on_status,
            "ended": self._on_status,
            "artifact": self._on_artifact,
            "logged model": self._on_logged_model,
            "read": self._on_read,
            "open": self._on_open,
            "host": self._on_host,
            "problem": self._on_problem,
            "cut": self._on_cut,
            "experiment": self._on_nothing,
            "inputs": self._on_inputs,
            "registry": self._on_registry,
        }

    def _problem(self, sentence: str) -> None:
        if sentence in self._problems or len(self._problems) < self._limits.problems:
            self._problems[sentence] = self._problems.get(sentence, 0) + 1

    def _unseen(self, sentence: str) -> None:
        """Note what is missing of files and hosts alone, which leaves the logged values whole."""
        if len(self._unobserved) < self._limits.problems:
            self._unobserved.setdefault(sentence)

    # From the file to events

    def read(self, directory: str) -> None:
        try:
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            self._problem(f"the capture's folder cannot be read: {error.strerror}")
            return
        try:
            log = self._open(folder, EVENTS)
            if log is None:
                return
            with os.fdopen(log, "rb") as file:
                for line in self._lines(file):
                    self._take(line)
            self._check_end(folder)
            self._read_loaded(folder)
            self._wandb.read(folder, self._next, self._limits.points)
            for sentence in self._wandb.problems:
                self._problem(sentence)
            self._last_logged = max(self._last_logged, self._wandb.last_logged)
        finally:
            os.close(folder)

    def _open(self, folder: int, name: str) -> int | None:
        """Open a regular file that has no other name; a link could show us a file of our own container."""
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            self._problem("no Python of the training loaded the capture")
            return None
        except OSError as error:
            self._problem(f"the capture's file {name} cannot be read: {error.strerror}")
            return None
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            os.close(file)
            self._problem(f"the capture's file {name} is no regular file with one name")
            return None
        return file

    def _lines(self, file: Any) -> Iterator[bytes]:
        left, longest = self._limits.file_bytes, self._limits.line_bytes
        while True:
            line = file.readline(min(longest, left) + 1)
            if not line:
                return
            left -= len(line)
            if left < 0:
                self._problem(f"the capture is larger than {self._limits.file_bytes} bytes; the rest was not read")
                return
            if len(line) > longest:
                self._problem(f"a line of the capture is longer than {longest} bytes and was left out")
                while line and not line.endswith(b"\n"):
                    line = file.readline(min(longest, left) + 1)
                    left -= len(line)
                    if left < 0:
                        return
            elif not line.endswith(b"\n"):
                self._problem("the last line of the capture was not written whole")
            elif line != b"\n":
                yield line

    def _read_loaded(self, folder: int) -> None:
        """Read what the processes had loaded as they ended; one that was killed then left nothing, or half a line."""
        try:
            status = os.stat(LOADED, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            self._unseen("which libraries the training had loaded was not observed: their list is no regular file")
            return
        with os.fdopen(os.open(LOADED, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
            lines = file.read(self._limits.loaded_bytes).split(b"\n")
        for line in lines[:-1]:
            try:
                document = json.loads(line.decode("utf-8"), parse_constant=_refuse)
                self._take_loaded(document if isinstance(document, dict) else {})
            except (_Malformed, ValueError, RecursionError):
                self._unseen("which libraries the training had loaded was not observed whole")

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError):
            self._problem("a line of the capture is not JSON and was left out")
            return
        name = event.get("event") if isinstance(event, dict) else None
        handler = self._handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            self._problem("the capture holds what it never writes: an event of no known kind")
            return
        try:
            sequence = self._number(event, len(event["points"]) if _has_points(event) else 1)
            handler(sequence, event)
        except _Malformed as error:
            self._problem(f"the capture holds what it never writes: {error}")
        if name in _LOGGED:
            self._last_logged = max(self._last_logged, self._next - 1)

    def _number(self, event: dict[str, Any], count: int) -> int:
        """Return the event's number: its own where that goes on, else the next."""
        sequence = event.get("seq")
        if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence <= _LARGEST - count:
            raise _Malformed("an event has no number")
        if sequence < self._next:
            self._problem("events of the capture have a number twice, or are out of order")
            sequence = self._next
        elif sequence > self._next:
            self._problem("events of the capture are missing: their numbers have a gap")
        self._next = sequence + max(count, 1)
        return sequence

    def _check_end(self, folder: int) -> None:
        """Notice events that were numbered and then never written, as on a full disk."""
        counter = self._open(folder, COUNTER)
        if counter is None:
            return
        with os.fdopen(counter, "rb") as file:
            numbered = int.from_bytes(file.read(8), "big")
        if numbered != self._next:
            self._problem("events of the capture are missing at its end")

    def _take_loaded(self, event: dict[str, Any]) -> None:
        libraries, gpus = event.get("libraries"), event.get("gpus")
        if not isinstance(libraries, list) or not isinstance(gpus, list):
            raise _Malformed("libraries are no list")
        for library in libraries:
            if not isinstance(library, dict):
                raise _Malformed("a library is none")
            threads = library.get("threads")
            found = {
                "name": self._text(library.get("name")),
                "threads": None if threads is None else _int64(threads),
                "kernel": self._optional_text(library.get("kernel")),
                "version": self._optional_text(library.get("version")),
            }
            if len(self._libraries) < self._limits.libraries:
                self._libraries.setdefault(tuple(map(str, found.values())), found)
        for gpu in gpus[: self._limits.libraries]:
            self._gpus.setdefault(self._text(gpu))
        found_variables = self._texts(event.get("variables"))
        self._variables.update({name: text for name, text in found_variables.items() if _VARIABLE.fullmatch(name)})

    # Events

    def _on_start(self, _: int, event: dict[str, Any]) -> None:
        self._processes.add(_integer(event, "pid"))
        time_ns = _integer(event, "time_ns")
        self._began_ns = time_ns if self._began_ns is None else min(time_ns, self._began_ns)
        if event.get("observed") is not True:
            self._unseen("which files were opened was not observed: Python is older than 3.8")

    def _on_mlflow(self, _: int, event: dict[str, Any]) -> None:
        self._mlflow_processes.add(_integer(event, "pid"))

    def _on_wandb(self, _: int, event: dict[str, Any]) -> None:
        self._wandb_processes.add(_integer(event, "pid"))

    def _on_wandb_run(self, sequence: int, event: dict[str, Any]) -> None:
        if self._has_room():
            self._wandb.began(self._text(event.get("folder")), sequence, continues=event.get("continues") is True)

    def _on_wandb_ended(self, sequence: int, event: dict[str, Any]) -> None:
        if self._has_room():
            self._wandb.ended(self._text(event.get("folder")), sequence)

    def _on_run(self, sequence: int, event: dict[str, Any]) -> None:
        run_id = self._text(event.get("run"))
        if run_id in self._runs:
            raise _Malformed("a run is created twice")
        if len(self._runs) >= self._limits.runs:
            self._problem(f"more than {self._limits.runs} runs were made; the rest were left out")
            return
        run = _Run(
            run_id=run_id,
            experiment=self._optional_text(event.get("experiment")),
            experiment_id=self._optional_text(event.get("experiment_id")),
            name=self._optional_text(event.get("name")),
            parent_run_id=self._optional_text(event.get("parent")),
            on_demand=event.get("on_demand") is True,
            started=sequence,
        )
        run.tags.update(self._texts(event.get("tags")))
        self._runs[run_id] = run

    def _run(self, event: dict[str, Any]) -> _Run | None:
        run = self._runs.get(self._text(event.get("run")))
        if run is None:
            self._problem("values were logged to a run that was never created")
        else:
            run.touched = True
        return run

    def _on_metrics(self, sequence: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        points = event.get("points")
        if not isinstance(points, list):
            raise _Malformed("logged values are no list")
        for offset, point in enumerate(points):
            if self._points >= self._limits.points:
                self._problem(f"more than {self._limits.points} values were logged; the rest were left out")
                return
            if not isinstance(point, list) or len(point) != 4:
                raise _Malformed("a logged value is incomplete")
            name, value, step, timestamp = point
            if run is not None:
                self._points += 1
                run.metrics.append(
                    (sequence + offset, sys.intern(self._text(name)), _value(value), _int64(step), _int64(timestamp))
                )

    def _on_params(self, _: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        for name, value in self._texts(event.get("params")).items():
            if run is not None:
                run.params.setdefault(name, value)

    def _on_tags(self, _: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        if run is not None:
            run.tags.update(self._texts(event.get("tags")))
            run.name = run.tags.get("mlflow.runName", run.name)
            run.parent_run_id = run.tags.get("mlflow.parentRunId", run.parent_run_id)

    def _on_tag_deleted(self, _: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        if run is not None:
            run.tags.pop(self._text(event.get("key")), None)

    def _on_status(self, sequence: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        if run is not None:
            run.status = self._text(event.get("status"))
            run.ended = sequence if event.get("event") == "ended" else None
            run.name = self._optional_text(event.get("name")) or run.name

    def _on_inputs(self, _: int, event: dict[str, Any]) -> None:
        run = self._run(event)
        datasets = event.get("datasets")
        if not isinstance(datasets, list) or not all(isinstance(dataset, dict) for dataset in datasets):
            raise _Malformed("datasets are no list")
        for dataset in datasets:
            name, digest = self._text(dataset.get("name")), self._text(dataset.get("digest"))
            found = {"name": name, "digest": digest, "context": self._optional_text(dataset.get("context"))}
            if run is not None and found not in run.datasets and self._has_room():
                run.datasets.append(found)

    def _on_artifact(self, _: int, event: dict[str, Any]) -> None:
        path = _relative(self._text(event.get("path")))
        file = self._file(event)
        model = self._models.find(self._optional_text(event.get("model")))
        run = self._runs.get((model.run_id if model else self._optional_text(event.get("run"))) or "")
        if run is not None:
            run.touched = True
        files = model.files if model is not None else run.artifacts if run is not None else None
        # None is a file of no run, such as one put straight into an experiment's folder.
        if files is not None and self._has_room():
            files[path] = file

    def _file(self, event: dict[str, Any]) -> dict[str, Any]:
        digests = {}
        for algorithm, length in (("md5", 32), ("sha256", 64)):
            digest = event.get(algorithm)
            if not isinstance(digest, str) or len(digest) != length or not _HEX.fullmatch(digest):
                raise _Malformed("an artifact has no digest")
            digests[algorithm] = f"{algorithm}:{digest}"
        return {**digests, "size_bytes": _integer(event, "size"), "text": self._optional_text(event.get("text"))}

    def _on_logged_model(self, _: int, event: dict[str, Any]) -> None:
        if len(self._models) >= self._limits.runs:
            self._problem(f"more than {self._limits.runs} models were logged; the rest were left out")
            return
        run, name = (self._optional_text(event.get(key)) for key in ("run", "name"))
        if not self._models.log(self._text(event.get("model")), run, name):
            raise _Malformed("a model is created twice")

    def _on_registry(self, _: int, event: dict[str, Any]) -> None:
        if not self._has_room():
            return
        fields = {key: self._optional_text(event.get(key)) for key in ("run", "model", "path", "stage", "alias")}
        name, version = self._text(event.get("name")), self._optional_text(event.get("version")) or ""
        self._models.register(self._text(event.get("what")), name, version, fields)

    def _on_read(self, sequence: int, event: dict[str, Any]) -> None:
        what, detail = self._text(event.get("what")), self._text(event.get("detail"))
        if self._has_room():
            self._reads.append({"sequence": sequence, "what": what, "detail": detail})

    def _on_open(self, sequence: int, event: dict[str, Any]) -> None:
        path = _relative(self._text(event.get("path")))
        if event.get("mode") == "w":
            if self._has_path(self._first_write, path):
                self._first_write.setdefault(path, sequence)
        elif event.get("mode") == "a":
            if self._has_path(self._absent, path):
                self._absent.setdefault(path)
        elif self._has_path(self._first_read, path):
            changed = event.get("changed_ns")
            made = isinstance(changed, int) and self._began_ns is not None and changed > self._began_ns
            self._first_read.setdefault(path, (sequence, made))

    def _has_path(self, known: dict[str, Any], path: str) -> bool:
        if path in known or len(known) < self._limits.paths:
            return True
        self._unseen(f"more than {self._limits.paths} files were opened; the rest were left out")
        return False

    def _on_host(self, _: int, event: dict[str, Any]) -> None:
        host = self._text(event.get("host"))
        if self._has_room():
            self._hosts.setdefault(host)

    def _on_problem(self, _: int, event: dict[str, Any]) -> None:
        self._problem(self._text(event.get("text"))[:1000])

    def _on_cut(self, _: int, event: dict[str, Any]) -> None:
        self._unseen(f"the capture left some out, for there were too many: {self._text(event.get('what'))[:200]}")

    def _on_nothing(self, _: int, event: dict[str, Any]) -> None:
        """Kept in the file for those who look closer."""

    # Texts

    def _has_room(self) -> bool:
        self._values += 1
        if self._values > self._limits.values:
            self._problem(f"more than {self._limits.values} facts were captured; the rest were left out")
            return False
        return True

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise _Malformed("a text is none")
        if len(value) > self._limits.text:
            self._problem(f"a text of the capture is longer than {self._limits.text} characters and was cut")
            value = value[: self._limits.text]
        # JSON may hold halves of surrogate pairs, which are no text.
        return str(value).encode("utf-8", "replace").decode("utf-8")

    def _optional_text(self, value: Any) -> str | None:
        return None if value is None else self._text(value)

    def _texts(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise _Malformed("texts are no object")
        return {self._text(name): self._text(text) for name, text in value.items() if self._has_room()}

    # The report

    def report(self) -> dict[str, Any]:
        """Return what was read."""
        runs = [run for run in self._runs.values() if run.touched or not run.on_demand]
        artifacts = {run.run_id: run.artifacts for run in self._runs.values()}
        models = self._models.place(artifacts)
        return {
            "runs": sorted([*(run.to_json() for run in runs), *self._wandb.runs], key=lambda run: int(run["started"])),
            "models": models,
            "versions": self._models.versions(artifacts),
            "reads": self._reads,
            "processes": len(self._processes),
            "mlflow_processes": len(self._mlflow_processes),
            "wandb_processes": len(self._wandb_processes),
            "files_opened": sorted(self._first_read),
            "files_opened_before_output": sorted(
                path
                for path, (sequence, made) in self._first_read.items()
                if self._is_before_output(path, sequence, made)
            ),
            "files_absent": sorted(self._absent.keys() - self._first_read.keys() - self._first_write.keys()),
            "hosts_tried": sorted(self._hosts),
            "libraries": [self._libraries[key] for key in sorted(self._libraries)],
            "variables": dict(sorted(self._variables.items())),
            "gpus": list(self._gpus),
            "unobserved": list(self._unobserved),
            "problems": [
                sentence if count == 1 else f"{sentence} ({count} times)" for sentence, count in self._problems.items()
            ],
        }

    def _is_before_output(self, path: str, sequence: int, made: bool) -> bool:
        """Tell whether a file could have fed a logged value without the training having made it (VERDICTS rule 18).

        It counts if it was read before the last value was logged, unless the training had written it before, by
        Python's own calls or, as its change time tells, in another way.
        """
        written = self._first_write.get(path)
        return (
            not made
            and (written is None or sequence < written)
            and (self._last_logged < 0 or sequence <= self._last_logged)
        )


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _has_points(event: dict[str, Any]) -> bool:
    return event.get("event") == "metrics" and isinstance(event.get("points"), list)


def _integer(event: dict[str, Any], name: str) -> int:
    return _int64(event.get(name))


def _int64(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
        raise _Malformed("a whole number is none")
    return value


def _value(value: Any) -> float | str:
    if isinstance(value, str) and value in _FROM_TEXT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _Malformed("a logged value is no number")


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or not path:
        raise _Malformed("a path leads out of its folder")
    return path
