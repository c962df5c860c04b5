"""What a user types to mean a run, as a closed union of values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Union

from runner.errors import UsageError
from runner.redact import redact

FORMS = "a run id, a unique prefix of it (4 digits or more), runs:/ID, or EXPERIMENT/RUN_NAME"

_HEX = re.compile(r"[0-9a-fA-F]+")
_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)  # MLflow's own rule for run ids
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH = re.compile(r"\.{1,2}([/\\]|$)|~|[A-Za-z]:[/\\]|\\\\")
_FULL_ID = 32
_SHORTEST_PREFIX = 4


@dataclass(frozen=True)
class RunId:
    """A whole run id."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class RunIdPrefix:
    """The first digits of a run id; an id that equals them exactly wins."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class RunName:
    """A run's name within an experiment. The experiment's name may hold slashes, the run's cannot."""

    experiment: str
    name: str

    def __str__(self) -> str:
        return f"{self.experiment}/{self.name}"


RunReference = Union[RunId, RunIdPrefix, RunName]  # noqa: UP007  # an alias, evaluated on Python 3.10 too


def parse_reference(text: str) -> RunReference:
    """Return what `text` refers to. Raises UsageError, with the forms that are taken, for everything else."""
    text = text.strip()
    if text.startswith("runs:"):
        return _by_id(text.removeprefix("runs:").lstrip("/"), text)
    refused = _refused(text)
    if refused:
        raise _usage(text, refused)
    if "/" not in text:
        return _by_id(text, text)
    experiment, _, name = text.rpartition("/")
    if not experiment.strip() or not name.strip():
        raise _usage(text, "lacks the name of the experiment or of the run")
    return RunName(experiment, name)


def _refused(text: str) -> str:
    """Return why a text of another kind is not taken, or nothing."""
    if text.startswith("models:"):
        return "refers to a registered model, not to a run"
    if text.startswith("wandb:") or "offline-run-" in text:
        return "refers to a run of W&B, not of MLflow"
    if _URL.match(text):
        return "is a URL"
    if _PATH.match(text):
        return "is a path"
    return ""


def _by_id(name: str, text: str) -> RunId | RunIdPrefix:
    if _HEX.fullmatch(name) and _SHORTEST_PREFIX <= len(name) < _FULL_ID:
        return RunIdPrefix(name)
    if _ID.fullmatch(name):
        return RunId(name)
    raise _usage(text, "is no run id")


def _usage(text: str, why: str) -> UsageError:
    return UsageError(f"RUN {redact(text)!r} {why}", f"name the run by {FORMS}")
