"""Recorded params against captured ones: was it the same experiment (VERDICTS rule 10)."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping

from runner.inside.layout import HOME_TARGET, TEMPORARY_TARGET, WORKSPACE_TARGET
from runner.schema.comparison import Outcome, ParamComparison
from runner.schema.plan import Plan
from runner.schema.rerun import CapturedRun, Rerun
from runner.schema.run_record import RunRecord

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_WINDOWS_PATH = re.compile(r"(?:^|[\s'\"=/])[A-Za-z]:\\")
_WORDS = {"true": True, "false": False, "none": None, "null": None}
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}

_CIRCUMSTANCES = frozenset(
    {
        "created_at", "current_time", "cwd", "date_time", "datetime", "device", "devices", "end_time", "host",
        "hostname", "local_rank", "machine", "node", "node_name", "nodename", "now", "pid", "ppid", "process_id",
        "run_id", "run_time", "start_time", "started_at", "time", "timestamp", "user", "username",
    }
)  # fmt: skip
_PLACES = frozenset({"cwd", "dir", "directory", "file", "filename", "folder", "path", "root", "uri", "workdir"})
_WRITTEN = frozenset(
    {
        "artifact", "artifacts", "cache", "checkpoint", "checkpoints", "ckpt", "cwd", "log", "logging", "logs", "out",
        "output", "outputs", "result", "results", "run", "runs", "save", "temp", "tmp", "workdir",
    }
)  # fmt: skip


def with_params_given(plan: Plan, rerun: Rerun) -> Rerun:
    """Return the rerun with the params that the command was handed in its first run, as `mlflow run` logs them there.

    What the training logs by itself under such a name stays and is compared.
    """
    first = min((run for run in rerun.capture.runs if run.parent_run_id is None), key=_started, default=None)
    if first is None or not plan.params_given:
        return rerun
    completed = first.model_copy(update={"params": {**plan.params_given, **first.params}})
    runs = tuple(completed if run is first else run for run in rerun.capture.runs)
    return rerun.model_copy(update={"capture": rerun.capture.model_copy(update={"runs": runs})})


def _started(run: CapturedRun) -> int:
    return run.started


def compare_params(record: RunRecord, run: CapturedRun) -> tuple[ParamComparison, ...]:
    """Compare every param that is recorded or captured; extra ones are reported and decide nothing."""
    results = []
    for name, original in sorted(record.params.items()):
        rerun = run.params.get(name)
        note: str | None
        if rerun is None:
            outcome, note = Outcome.MISSING, "recorded, and not logged again"
        else:
            note = why_equal(original, rerun, truncated=name in record.params_truncated)
            outcome = Outcome.OUTSIDE if note is None else Outcome.EQUAL
        circumstance = None if outcome is Outcome.EQUAL else why_not_decisive(name, original, rerun)
        results.append(
            ParamComparison(
                name=name,
                original=original,
                rerun=rerun,
                outcome=outcome,
                decisive=circumstance is None,
                note=circumstance or note or None,
            )
        )
    for name, rerun in sorted(run.params.items()):
        if name not in record.params:
            results.append(
                ParamComparison(
                    name=name, original=None, rerun=rerun, outcome=Outcome.EXTRA, decisive=False, note="not recorded"
                )
            )
    return tuple(results)


def same_params(record: RunRecord, params: Mapping[str, str]) -> bool:
    """Tell whether every decisive recorded param is there with an equal value."""
    for name, original in record.params.items():
        rerun = params.get(name)
        equal = rerun is not None and why_equal(original, rerun, truncated=name in record.params_truncated) is not None
        if not equal and why_not_decisive(name, original, rerun) is None:
            return False
    return True


def why_equal(original: str, rerun: str, *, truncated: bool = False) -> str | None:
    """Return why two texts mean the same (empty where they are the same text), None where they do not."""
    if original == rerun:
        return ""
    ours, theirs = _ADDRESS.sub("at 0x…", original), _ADDRESS.sub("at 0x…", rerun)
    if ours == theirs:
        return "equal but for memory addresses"
    parsed = _parse(ours), _parse(theirs)
    if parsed[0] is not _UNPARSED and parsed[1] is not _UNPARSED and _same(parsed[0], parsed[1]):
        return "the same value in other words"
    for target in (WORKSPACE_TARGET, HOME_TARGET):
        if _same_beneath(ours, theirs, target):
            return "equal but for the workspace's place"
    if truncated and ours and theirs.startswith(ours.removesuffix("...")):
        return f"recorded up to {len(original)} characters, equal so far"
    return None


def why_not_decisive(name: str, original: str, rerun: str | None) -> str | None:
    """Return why a param's difference says nothing of the experiment: it names host, device, process, time or place.

    The path of something to read decides all the same, unless it is the same name in another machine's folder:
    `data/v1.csv` and `data/v2.csv` are two experiments.
    """
    last = re.split(r"[./]", name.lower())[-1]
    if last in _CIRCUMSTANCES:
        return "names host, device, process or time: reported, not decisive"
    words = re.split(r"[_\-]", last)
    if words[-1] in _PLACES and (_WRITTEN.intersection(words) or (rerun is not None and _same_place(original, rerun))):
        return "names a place: reported, not decisive"
    return None


_UNPARSED = object()


def _parse(text: str) -> object:
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    if word in _FLOATS:
        return _FLOATS[word]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return _UNPARSED


def _same(original: object, rerun: object) -> bool:
    """Compare literals, where True is not 1, a list not a tuple, and NaN is NaN."""
    if isinstance(original, bool) or isinstance(rerun, bool):
        return original is rerun
    if isinstance(original, int | float) and isinstance(rerun, int | float):
        return original == rerun or (math.isnan(original) and math.isnan(rerun))
    if type(original) is not type(rerun):
        return False
    if isinstance(original, list | tuple) and isinstance(rerun, list | tuple):
        return len(original) == len(rerun) and all(_same(*pair) for pair in zip(original, rerun, strict=True))
    if isinstance(original, dict) and isinstance(rerun, dict):
        return original.keys() == rerun.keys() and all(_same(original[key], rerun[key]) for key in original)
    return original == rerun


def _forward(text: str) -> str:
    return text.replace("\\\\", "/").replace("\\", "/") if _WINDOWS_PATH.search(text) else text


def _same_beneath(original: str, rerun: str, target: str) -> bool:
    """Tell whether the texts are equal once one absolute folder of the original stands for ours."""
    pieces = rerun.split(target)
    if len(pieces) == 1:
        return False
    first, second, *others = (re.escape(piece) for piece in pieces)
    pattern = rf"{first}(?P<root>(?:[A-Za-z]:)?/[^\n'\",;]*?){second}" + "".join(
        rf"(?P=root){piece}" for piece in others
    )
    return re.fullmatch(pattern, _forward(original)) is not None


def _is_absolute(path: str) -> bool:
    return re.match(r"(?:[a-z]+://)?(?:/?[A-Za-z]:)?/", path) is not None


def _same_place(original: str, rerun: str) -> bool:
    """Tell whether two absolute paths end in the same name, so that only the machine differs."""
    ours, theirs = _forward(original).rstrip("/"), rerun.rstrip("/")
    if not (_is_absolute(ours) and _is_absolute(theirs)):
        return False
    return theirs.startswith(TEMPORARY_TARGET) or ours.rpartition("/")[2] == theirs.rpartition("/")[2]
