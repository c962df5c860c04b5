"""Which files of the commit are results rather than sources or data (VERDICTS rule 18). Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

_WEIGHTS = (
    ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".keras", ".onnx", ".safetensors", ".pb",
    ".tflite", ".bin", ".model", ".cbm", ".booster",
)  # fmt: skip
_RESULT_WORDS = frozenset(
    {"result", "results", "metric", "metrics", "score", "scores", "checkpoint", "checkpoints", "prediction",
     "predictions", "output", "outputs", "cache", "weights", "best", "history"}
)  # fmt: skip
_RECORDS = (".json", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".npy", ".npz", ".parquet", ".db", ".sqlite")


def results_among(paths: Iterable[str], *, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return those of the paths that hold results by their name, less what `--allow existing:PATH` names.

    Weights by their ending; tables and records only where a word of their path says that they are results, since data
    in git has the same endings.
    """
    allowed = tuple(allowed)
    return tuple(path for path in paths if _is_result(path) and not _is_allowed(path, allowed))


def _is_result(path: str) -> bool:
    name = path.lower()
    if name.endswith(_WEIGHTS):
        return True
    words = set(re.split(r"[^a-z]+", posixpath.splitext(name)[0]))
    return name.endswith(_RECORDS) and bool(words & _RESULT_WORDS)


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(each.rstrip("/") + "/") for each in allowed)
