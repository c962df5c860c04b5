"""What the records of a `.wandb` file say of a run.

The numbers of fields are those of `wandb/proto/wandb_internal.proto` in W&B 0.12 to 0.31, which only ever added some:
each class of constants below is a message there. W&B's Python writers (to 0.17, and to 0.18 unless its core was asked
for) end a file by a footer; its core, which names itself in the header, by the exit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from runner.inside.wandb.log import read_log
from runner.inside.wandb.wire import Malformed, Message

FILE_BYTES = 1 << 30
POINTS = 5_000_000  # logged values of one run, media and texts included
_FILES = 100_000


class _Record:
    HISTORY, SUMMARY, CONFIG, FILES, ARTIFACT, METRIC = 2, 3, 5, 6, 8, 12
    RUN, EXIT, HEADER, FOOTER, USE_ARTIFACT, ENVIRONMENT = 17, 18, 21, 22, 25, 26


class _Run:
    ID, ENTITY, PROJECT, CONFIG, SUMMARY, GROUP, JOB_TYPE, NAME, NOTES, TAGS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    SWEEP, HOST, STARTING_STEP, START_TIME, RESUMED, GIT, FORKED = 12, 13, 14, 17, 18, 21, 22


class _Update:  # ConfigRecord, SummaryRecord
    UPDATE, REMOVE = 1, 2


class _Item:  # ConfigItem, HistoryItem, SummaryItem
    KEY, NESTED_KEY, NONE, BOOLEAN, INTEGER, NUMBER, TEXT, JSON, VALUE_JSON = 1, 2, 3, 4, 5, 6, 7, 8, 16


class _Environment:
    OS, PYTHON, STARTED, ARGS, PROGRAM, CODE_PATH, CODE_PATH_LOCAL, GIT = 1, 2, 3, 5, 6, 7, 8, 9
    ROOT, HOST, EXECUTABLE, CPU_COUNT, GPU_TYPE, GPU_COUNT, CUDA = 11, 12, 14, 16, 18, 19, 25


@dataclass(frozen=True)
class HistoryRow:
    """One row of the history: `values` as they were logged, nested, with W&B's own (`_step`, `_timestamp`)."""

    step: int
    values: dict[str, Any]


@dataclass(frozen=True)
class LoggedArtifact:
    """An artifact that the run logged; `files` maps its paths to digests as its manifest has them, base64 of MD5."""

    name: str
    type: str
    files: dict[str, str]


@dataclass
class RunFile:
    """A run as its file tells it.

    `exit_code` is None where the run has no exit record. `complete` is false where the file is cut, was changed, or
    does not end as its writer ends one; `unreadable` where it was changed, or is none; `problems` are sentences.
    `environment` has the keys of `wandb-metadata.json`. `config` and `summary` are nested, with W&B's own
    `_wandb` and `_step`.
    """

    run_id: str = ""
    entity: str = ""
    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    sweep_id: str = ""
    host: str = ""
    start_ms: int | None = None
    starting_step: int = 0
    resumed: bool = False
    forked: bool = False
    git_remote: str = ""
    git_commit: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    step_metrics: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    logged_artifacts: list[LoggedArtifact] = field(default_factory=list)
    used_artifacts: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    complete: bool = False
    unreadable: bool = False
    problems: list[str] = field(default_factory=list)


def read_run_file(file: BinaryIO, limit_bytes: int = FILE_BYTES) -> RunFile:
    """Read an open `.wandb` file: what is whole of it. Raises OSError alone.

    Nothing after the first byte that cannot be right is read: no wrong value comes of a changed file.
    """
    log = read_log(file, limit_bytes)
    reading = _Reading()
    try:
        for data in log.records:
            reading.take(Message(data))
    except (Malformed, ValueError, RecursionError) as error:
        reading.run.problems.append(f"a record of W&B's file cannot be read: {error}")
    run = reading.run
    if log.problem is not None:
        run.problems.append(f"W&B's file cannot be read to its end: {log.problem}")
    run.unreadable = bool(run.problems)
    if log.cut:
        run.problems.append("W&B's file ends within a record")
    ended = reading.footer or (reading.by_core and run.exit_code is not None)
    if not ended and not run.problems:
        run.problems.append("W&B's file does not end as W&B ends one: the run crashed, or still goes on")
    run.complete = not run.problems
    return run


class _Reading:
    def __init__(self) -> None:
        self.run = RunFile()
        self.footer = False
        self.by_core = False
        self._points = 0

    def take(self, record: Message) -> None:
        """Take in one record."""
        for number, act in (
            (_Record.RUN, self._run),
            (_Record.CONFIG, self._config),
            (_Record.SUMMARY, self._summary),
            (_Record.HISTORY, self._history),
            (_Record.METRIC, self._metric),
            (_Record.FILES, self._files),
            (_Record.ARTIFACT, self._artifact),
            (_Record.USE_ARTIFACT, self._use_artifact),
            (_Record.ENVIRONMENT, self._environment),
        ):
            message = record.message(number)
            if message is not None:
                act(message)
        ended, header = record.message(_Record.EXIT), record.message(_Record.HEADER)
        if ended is not None:
            self.run.exit_code = ended.integer(1)
        version = None if header is None else header.message(1)
        self.by_core = self.by_core or (version is not None and bool(version.text(1)))
        self.footer = self.footer or _Record.FOOTER in record

    def _run(self, message: Message) -> None:
        run = self.run
        texts = {
            "run_id": _Run.ID,
            "entity": _Run.ENTITY,
            "project": _Run.PROJECT,
            "group": _Run.GROUP,
            "job_type": _Run.JOB_TYPE,
            "name": _Run.NAME,
            "notes": _Run.NOTES,
            "sweep_id": _Run.SWEEP,
            "host": _Run.HOST,
        }
        for name, number in texts.items():
            setattr(run, name, message.text(number) or getattr(run, name))
        run.tags = tuple(message.texts(_Run.TAGS)) or run.tags
        run.starting_step = message.integer(_Run.STARTING_STEP) or run.starting_step
        run.resumed = run.resumed or bool(message.integer(_Run.RESUMED))
        run.forked = run.forked or bool(message.integer(_Run.FORKED))
        run.start_ms = _milliseconds(message.message(_Run.START_TIME)) or run.start_ms
        git = message.message(_Run.GIT)
        if git is not None:
            run.git_remote = git.text(1) or run.git_remote
            run.git_commit = git.text(2) or run.git_commit
        for number, act in ((_Run.CONFIG, self._config), (_Run.SUMMARY, self._summary)):
            part = message.message(number)
            if part is not None:
                act(part)

    def _config(self, message: Message) -> None:
        _update(self.run.config, message)

    def _summary(self, message: Message) -> None:
        _update(self.run.summary, message)

    def _history(self, message: Message) -> None:
        values: dict[str, Any] = {}
        for item in message.messages(1):
            self._points += 1
            if self._points > POINTS:
                raise Malformed(f"more than {POINTS} values were logged")
            _set(values, _key(item), _value(item))
        step = values.get("_step")
        if not isinstance(step, int) or isinstance(step, bool):
            number = message.message(2)
            step = 0 if number is None else number.integer(1)
        self.run.history.append(HistoryRow(step, values))

    def _metric(self, message: Message) -> None:
        name = message.text(1) or message.text(2)
        if name and message.text(4):
            self.run.step_metrics[name] = message.text(4)

    def _files(self, message: Message) -> None:
        for item in message.messages(1):
            if len(self.run.files) < _FILES and item.text(1) not in self.run.files[-100:]:
                self.run.files.append(item.text(1))

    def _artifact(self, message: Message) -> None:
        manifest = message.message(12)
        entries = [] if manifest is None else manifest.messages(4)
        files = {entry.text(1): entry.text(2) for entry in entries[:_FILES]}
        self.run.logged_artifacts.append(LoggedArtifact(message.text(5), message.text(4), files))

    def _use_artifact(self, message: Message) -> None:
        self.run.used_artifacts.append(message.text(3) or message.text(1))

    def _environment(self, message: Message) -> None:
        environment = self.run.environment
        texts = {
            "os": _Environment.OS,
            "python": _Environment.PYTHON,
            "program": _Environment.PROGRAM,
            "codePath": _Environment.CODE_PATH,
            "codePathLocal": _Environment.CODE_PATH_LOCAL,
            "root": _Environment.ROOT,
            "host": _Environment.HOST,
            "executable": _Environment.EXECUTABLE,
            "gpu": _Environment.GPU_TYPE,
            "cudaVersion": _Environment.CUDA,
        }
        environment.update({name: message.text(number) for name, number in texts.items() if message.text(number)})
        if message.texts(_Environment.ARGS):
            environment["args"] = message.texts(_Environment.ARGS)
        for name, number in (("cpu_count", _Environment.CPU_COUNT), ("gpu_count", _Environment.GPU_COUNT)):
            if message.integer(number):
                environment[name] = message.integer(number)
        git = message.message(_Environment.GIT)
        if git is not None:
            environment["git"] = {"remote": git.text(1), "commit": git.text(2)}
        started = _milliseconds(message.message(_Environment.STARTED))
        self.run.start_ms = self.run.start_ms or started


def _milliseconds(timestamp: Message | None) -> int | None:
    if timestamp is None:
        return None
    return timestamp.integer(1) * 1000 + timestamp.integer(2) // 1_000_000 or None


def _key(item: Message) -> list[str]:
    key = item.texts(_Item.NESTED_KEY) or item.texts(_Item.KEY)
    if not key:
        raise Malformed("a value has no name")
    return key


def _value(item: Message) -> Any:
    """Return the value of an item; of the history's, today's writers use fields of their own for plain numbers."""
    if _Item.NONE in item:
        return None
    if _Item.BOOLEAN in item:
        return bool(item.integer(_Item.BOOLEAN))
    if _Item.INTEGER in item:
        return item.zigzag(_Item.INTEGER)
    if _Item.NUMBER in item:
        return item.double(_Item.NUMBER)
    if _Item.TEXT in item:
        return item.text(_Item.TEXT)
    return parse_json(item.text(_Item.JSON if _Item.JSON in item else _Item.VALUE_JSON))


def parse_json(text: str) -> Any:
    """Return a value of W&B's JSON, which has NaN and infinities. Raises ValueError, RecursionError.

    Its Go core writes whole floats as integers, minus zero too: as an integer that would lose its sign.
    """
    return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))


def _update(target: dict[str, Any], message: Message) -> None:
    for item in message.messages(_Update.UPDATE):
        _set(target, _key(item), parse_json(item.text(_Item.VALUE_JSON)))
    for item in message.messages(_Update.REMOVE):
        *folders, name = _key(item)
        place: Any = target
        for folder in folders:
            place = place.get(folder) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(name, None)


def _set(target: dict[str, Any], key: list[str], value: Any) -> None:
    *folders, name = key
    for folder in folders:
        inner = target.get(folder)
        if not isinstance(inner, dict):
            inner = target[folder] = {}
        target = inner
    target[name] = value
