"""Which files of the commit that a training used hold results, rather than sources or data (VERDICTS rule 18).

Told by what they hold (the bytes of a recorded output, a recorded number) whatever they are called, and by their name
whatever they hold: weights, tables of results, other runs. Pure but for `contents`, which reads from the mirror.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from runner.compare.names import IGNORED_PREFIX
from runner.schema.plan import Plan
from runner.schema.rerun import PreExistingResult
from runner.schema.run_record import RunRecord

SEARCHED_BYTES = 256 << 20
"""Larger files are told by their name alone."""

_SMALL_BYTES = 1 << 20  # read together, larger ones one by one
_BATCH_FILES = 256
_NUMBERS_BYTES = 4 << 20
_LEAST_DIGITS = 8  # fewer may stand in a file by chance
_TABLE_NUMBERS = 1000  # a file of more numbers is data, among which the extreme of a column is one that runs record
_MOST_NUMBERS = 10_000
_MOST_BINARY = 8
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")

_SOURCES = (".py", ".pyx", ".pyi", ".sh", ".r", ".jl", ".c", ".cc", ".cpp", ".h", ".toml", ".cfg", ".lock")
"""A script that holds its numbers itself is what no rerun can show (rule 29)."""

_NOTEBOOKS = (".ipynb", ".rmd", ".qmd")
"""Sources where the command names them, documents else."""

_WEIGHTS = (
    ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".keras", ".onnx", ".safetensors", ".pb",
    ".tflite", ".bin", ".model", ".cbm", ".booster",
)  # fmt: skip
_RESULT_WORDS = frozenset(
    {"result", "results", "metric", "metrics", "score", "scores", "checkpoint", "checkpoints", "prediction",
     "predictions", "output", "outputs", "cache", "weights", "best", "history"}
)  # fmt: skip
_RECORDS = (
    ".json", ".jsonl", ".csv", ".tsv", ".txt", ".log", ".yaml", ".yml", ".npy", ".npz", ".parquet", ".feather", ".db",
    ".sqlite", ".sqlite3",
)  # fmt: skip
_RUNS = frozenset({"mlruns", "mlartifacts", "wandb", "lightning_logs", "tb_logs"})
_RUN_FILES = re.compile(r"mlflow\.(?:db|sqlite3?)|events\.out\.tfevents\..*")


@dataclass(frozen=True)
class RecordedResults:
    """What a run recorded: the digests of its outputs in hexadecimal, and numbers that do not occur by chance."""

    digests: frozenset[str] = frozenset()
    numbers: frozenset[float] = frozenset()
    last_numbers: tuple[float, ...] = ()


def recorded_results(record: RunRecord, plan: Plan) -> RecordedResults:
    """Return what to look for in the files that a training used."""
    histories = [history for history in record.metrics if not history.name.startswith(IGNORED_PREFIX)]
    values = [point.value for history in histories for point in history.points if _is_telling(point.value)]
    last = [history.points[-1].value for history in histories if history.points]
    return RecordedResults(
        digests=frozenset(
            file.digest.hexdigest for file in plan.lineage.files if file.role == "output" and not file.digest.directory
        ),
        numbers=frozenset(values[:_MOST_NUMBERS]),
        last_numbers=tuple(dict.fromkeys(value for value in last if _is_telling(value))),
    )


def find_results(
    used: Iterable[str],
    *,
    opened: Iterable[str],
    command: str,
    recorded: RecordedResults,
    contents: Callable[[Iterable[str], int], Mapping[str, bytes]],
    allowed: Iterable[str],
) -> tuple[PreExistingResult, ...]:
    """Return the files that hold results, less what `--allow existing:PATH` names.

    Of those that were used before the last value was logged any result counts; of those opened at any time the bytes
    of an output, which may have been copied from there.
    """
    allowed = tuple(allowed)
    asked = [path for path in used if not _is_allowed(path, allowed)]
    why = {path: name for path in asked if (name := why_by_name(path)) is not None}
    late = [path for path in opened if path not in asked and not _is_allowed(path, allowed)]
    if recorded.digests or recorded.numbers:
        others = [path for path in asked if path not in why and not _is_source(path, command)]
        for path, content in _read(others, contents):
            why |= _entry(path, why_by_bytes(content, recorded) or why_by_numbers(content, recorded))
    if recorded.digests:
        for path, content in _read([path for path in late if not _is_source(path, command)], contents):
            why |= _entry(path, why_by_bytes(content, recorded))
    return tuple(PreExistingResult(path=path, why=why[path]) for path in (*asked, *late) if path in why)


def _entry(path: str, why: str | None) -> dict[str, str]:
    return {} if why is None else {path: why}


def _read(
    paths: list[str], contents: Callable[[Iterable[str], int], Mapping[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    left = []
    for first in range(0, len(paths), _BATCH_FILES):
        batch = paths[first : first + _BATCH_FILES]
        small = contents(batch, _SMALL_BYTES)
        yield from small.items()
        left += [path for path in batch if path not in small]
    for path in left:
        yield from contents([path], SEARCHED_BYTES).items()


def _is_source(path: str, command: str) -> bool:
    name = path.lower()
    if name.endswith(_NOTEBOOKS):
        return path in {posixpath.normpath(word) for word in re.split(r"[\s'\"=]+", command) if word}
    return name.endswith(_SOURCES)


def why_by_name(path: str) -> str | None:
    """Return what the name of a file says of a result in it, None where it says nothing.

    Weights by their ending; tables and records only where a word of their path says that they are results, since data
    in git has the same endings.
    """
    name = path.lower()
    folders = name.split("/")
    if not name.endswith((*_SOURCES, "/settings")) and (
        _RUNS.intersection(folders[:-1]) or _RUN_FILES.fullmatch(folders[-1])
    ):
        return "is of recorded runs"
    if name.endswith(_WEIGHTS):
        return "holds weights, by its name"
    words = set(re.split(r"[^a-z]+", posixpath.splitext(name)[0]))
    return "holds results, by its name" if name.endswith(_RECORDS) and words & _RESULT_WORDS else None


def why_by_bytes(content: bytes, recorded: RecordedResults) -> str | None:
    """Return that a file is a recorded output, None where it is none; an empty one is nothing."""
    known = content and hashlib.md5(content, usedforsecurity=False).hexdigest() in recorded.digests
    return "has the bytes of a recorded output" if known else None


def why_by_numbers(content: bytes, recorded: RecordedResults) -> str | None:
    """Return which recorded number a file's bytes hold, None where they hold none."""
    found = _recorded_numbers_in(content, recorded) if len(content) <= _NUMBERS_BYTES else frozenset()
    for number in recorded.last_numbers[:_MOST_BINARY]:
        if struct.pack("<d", number) in content or struct.pack(">d", number) in content:
            found |= {number}
    return f"holds the recorded {min(found)!r}" if found else None


def _recorded_numbers_in(content: bytes, recorded: RecordedResults) -> frozenset[float]:
    """Return the recorded numbers that a text holds; none of a table that holds but a few of the run's last values."""
    if not recorded.numbers or b"\0" in content[:8192]:
        return frozenset()
    numbers = [match[0] for match in _NUMBER.finditer(content)]
    found = {
        float(text) for text in numbers if len(text) >= _LEAST_DIGITS and _digits(text.decode()) >= _LEAST_DIGITS
    } & recorded.numbers
    if len(numbers) > _TABLE_NUMBERS and 2 * len(found.intersection(recorded.last_numbers)) < len(
        recorded.last_numbers
    ):
        return frozenset()
    return frozenset(found)


def _is_telling(value: float) -> bool:
    return math.isfinite(value) and _digits(repr(value)) >= _LEAST_DIGITS


def _digits(number: str) -> int:
    """Return how many significant digits a number is written with."""
    mantissa = re.split("[eE]", number)[0].lstrip("+-").replace(".", "")
    return len(mantissa.strip("0"))


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(each.rstrip("/") + "/") for each in allowed)
