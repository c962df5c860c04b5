"""What a user types to mean a run, or a registered model and with it its run, as a closed union of values. Pure."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from typing import Union

from runner.errors import UsageError
from runner.redact import redact

FORMS = (
    "a run id, a unique prefix of it (4 digits or more), runs:/ID, EXPERIMENT/RUN_NAME, models:/NAME/VERSION, "
    "models:/NAME@ALIAS, models:/m-ID, the address of a run's page, wandb:ENTITY/PROJECT/ID, or "
    "the path of an offline run of W&B"
)
MODEL_FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/STAGE, models:/NAME/latest, or models:/m-ID"

_HEX = re.compile(r"[0-9a-fA-F]+")
_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)  # MLflow's own rule for run ids
_MODEL_ID = re.compile(r"m-[0-9a-zA-Z]{4,64}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH = re.compile(r"\.{1,2}([/\\]|$)|~|[A-Za-z]:[/\\]|\\\\")
_NUMBER = re.compile(r"[0-9]{1,18}")
_RUN_OF_WANDB = re.compile(r"(?:.*[/\\])?(?:(?:offline-)?run-\d{8}_\d{6}-[^/\\]+|latest-run|[^/\\]+\.wandb)[/\\]*")
_ONLINE_RUN = re.compile(
    r"wandb:(?P<project>(?:https?://[^/\s@?#]+/)?[^/\\#?%:\s]+/[^/\\#?%:]+)/(?:runs/)?(?P<id>[^/\\#?%:\s]+)/*"
)
_PAGE_OF_WANDB = re.compile(r"(?:/wandb)?/(?P<entity>[^/]+)/(?P<project>[^/]+)/runs/(?P<id>[^/]+)(?:/[\w-]*)*")
_HOSTED_WANDB = re.compile(r"(?:.*\.)?(?:wandb\.ai|forge\.coreweave\.com)")
_FULL_ID = 32
_SHORTEST_PREFIX = 4
_LATEST = "latest"


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


@dataclass(frozen=True)
class OfflineRun:
    """The path of a run's folder of W&B, or of its `.wandb` file."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class OnlineRun:
    """A run on a server of W&B's: its project, as `--tracker` takes it, and its id."""

    project: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.project}/{self.run_id}"


@dataclass(frozen=True)
class VersionOf:
    """A version of a registered model, by its number."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class AliasOf:
    """The version of a registered model that an alias points at."""

    name: str
    alias: str

    def __str__(self) -> str:
        return f"models:/{self.name}@{self.alias}"


@dataclass(frozen=True)
class LatestOf:
    """The highest version of a registered model, of those in a stage where one is named."""

    name: str
    stage: str | None = None

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.stage or _LATEST}"


@dataclass(frozen=True)
class LoggedModelId:
    """A model that a run logged, by the id that MLflow 3 gives it; it need not be registered."""

    model_id: str

    def __str__(self) -> str:
        return f"models:/{self.model_id}"


RunReference = Union[RunId, RunIdPrefix, RunName]  # noqa: UP007  # an alias, evaluated on Python 3.10 too
RegisteredReference = Union[VersionOf, AliasOf, LatestOf]  # noqa: UP007
ModelReference = Union[VersionOf, AliasOf, LatestOf, LoggedModelId]  # noqa: UP007


@dataclass(frozen=True)
class Page:
    """The address of a page of MLflow's: the server that shows it, and what it is about."""

    server: str
    reference: RunReference | ModelReference

    def __str__(self) -> str:
        return str(self.reference)


Reference = Union[RunReference, ModelReference, Page, OfflineRun, OnlineRun]  # noqa: UP007


def parse_reference(text: str) -> Reference:  # noqa: PLR0911  # one for each kind
    """Return what `text` refers to. Raises UsageError, with the forms that are taken, for everything else."""
    text = text.strip()
    if text.startswith("runs:"):
        return _by_id(text.removeprefix("runs:").lstrip("/"), text)
    if text.startswith("models:"):
        return _model(text)
    if re.match(r"https?://", text, re.IGNORECASE):
        return _page(text)
    if text.startswith("wandb:"):
        return _online_run(text)
    if _RUN_OF_WANDB.fullmatch(text) and not _URL.match(text):
        return OfflineRun(text)
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
    if _URL.match(text):
        return "is a URL, and not of a page of MLflow"
    if _PATH.match(text):
        return "is a path"
    return ""


def _by_id(name: str, text: str) -> RunId | RunIdPrefix:
    if _HEX.fullmatch(name) and _SHORTEST_PREFIX <= len(name) < _FULL_ID:
        return RunIdPrefix(name)
    if _ID.fullmatch(name):
        return RunId(name)
    raise _usage(text, "is no run id")


def _model(text: str) -> ModelReference:
    """Return a `models:` reference as MLflow reads it; nothing in it is percent-encoded."""
    path = text.removeprefix("models:")
    name, *rest = path.lstrip("/").split("/")
    if path.startswith("//"):  # to MLflow the name of a host, and the first part of the path then an id
        raise _model_usage(text, "names a host")
    if not path.startswith("/") or len(rest) > 1 or not name.strip() or any(not part.strip() for part in rest):
        raise _model_usage(text, "is no reference to a model")
    if rest:
        return _version(name, rest[0], text)
    if "@" in name:
        name, _, alias = name.rpartition("@")
        if not name.strip() or not alias.strip():
            raise _model_usage(text, "lacks the name of the model or of the alias")
        return LatestOf(name) if alias.lower() == _LATEST else AliasOf(name, alias)
    if _MODEL_ID.fullmatch(name):
        return LoggedModelId(name)
    raise _model_usage(text, "names no version and no alias")


def _version(name: str, suffix: str, text: str) -> VersionOf | LatestOf:
    if suffix.isdigit():
        if not _NUMBER.fullmatch(suffix) or int(suffix) == 0:
            raise _model_usage(text, "has no version's number")
        return VersionOf(name, int(suffix))
    return LatestOf(name) if suffix.lower() == _LATEST else LatestOf(name, suffix)


def _page(text: str) -> Page | OnlineRun:
    """Return what a page is about: its path, after `#` or as it is, holds one of a few patterns."""
    try:
        parsed = urllib.parse.urlsplit(text)
        host = parsed.hostname
    except ValueError:
        host = None
    if not host:
        raise _usage(text, "names no host")
    online = _page_of_wandb(parsed, host)
    if online is not None:
        return online
    if _HOSTED_WANDB.fullmatch(host):
        raise _usage(text, "is no page of one run of W&B")
    before, after = parsed.path, parsed.fragment.partition("?")[0]
    segments = (after if parsed.fragment else before).split("/")
    for start, segment in enumerate(segments):
        reference = _of_page(segment, segments[start + 1 :], text)
        if reference is None:
            continue
        prefix = before if parsed.fragment else "/".join(segments[:start])
        prefix = prefix.removesuffix("index.html").rstrip("/")
        return Page(f"{parsed.scheme.lower()}://{parsed.netloc}{prefix}", reference)
    raise _usage(text, "is no page of one run or of one version of a model")


def _online_run(text: str) -> OnlineRun:
    match = _ONLINE_RUN.fullmatch(text)
    if match is None or {".", ".."} & {*match["project"].split("/")[-2:], match["id"]}:
        raise _usage(text, "is not wandb:ENTITY/PROJECT/ID")
    return OnlineRun(f"wandb:{match['project']}", match["id"])


def _page_of_wandb(parsed: urllib.parse.SplitResult, host: str) -> OnlineRun | None:
    """Return the run that a page of W&B's shows, also of one's own server; pages of MLflow's have other paths."""
    match = _PAGE_OF_WANDB.fullmatch(parsed.path.rstrip("/"))
    hosted = _HOSTED_WANDB.fullmatch(host) is not None
    if match is None or (not hosted and (parsed.fragment or "experiments" in (match["entity"], match["project"]))):
        return None
    entity, project, run_id = (urllib.parse.unquote(match[part]) for part in ("entity", "project", "id"))
    server = f"{parsed.scheme.lower()}://{parsed.netloc.rpartition('@')[2]}"
    return _online_run(f"wandb:{server}/{entity}/{project}/{run_id}")


def _of_page(segment: str, rest: list[str], text: str) -> RunReference | ModelReference | None:
    if segment == "experiments" and len(rest) > 2 and rest[1] == "runs":
        return _by_id(rest[2], text)
    if segment == "experiments" and len(rest) > 2 and rest[1] == "models" and _MODEL_ID.fullmatch(rest[2]):
        return LoggedModelId(rest[2])
    if segment == "runs" and rest and rest[0]:
        return _by_id(rest[0], text)
    if segment == "models" and len(rest) > 2 and rest[1] == "versions" and _NUMBER.fullmatch(rest[2]):
        return VersionOf(urllib.parse.unquote(rest[0]), int(rest[2]))
    return None


def _usage(text: str, why: str) -> UsageError:
    return UsageError(f"RUN {redact(text)!r} {why}", f"name the run by {FORMS}")


def _model_usage(text: str, why: str) -> UsageError:
    return UsageError(f"RUN {redact(text)!r} {why}", f"name the model by {MODEL_FORMS}")
