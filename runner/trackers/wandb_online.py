"""A project on a server of W&B's, hosted or one's own, read by `wandb.Api`; the record is as that of an offline run.

Each question is a process (`wandb_client`) in a private folder, with the variables that W&B needs to find the server
and the key, and no others of W&B's: nothing is kept, nothing of the current directory is read, and it has an end.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.errors import NotAStore, RunNotFound, TrackerUnavailable, UsageError
from runner.redact import redact
from runner.schema.model_files import ModelFile
from runner.schema.run_record import RunRecord, StoreKind
from runner.trackers.artifacts import NoFiles, UnreadableFiles, hash_files
from runner.trackers.folder import Folder
from runner.trackers.interface import RunSummary
from runner.trackers.wandb_answers import STATES, beside_of, milliseconds, run_of
from runner.trackers.wandb_client import ANSWER, Request
from runner.trackers.wandb_record import ENVIRONMENT_FILES, METADATA, PATCH, build_record
from runner.trackers.wandb_tracker import WandbTracker

SCHEME = "wandb:"
BASE_URL = "WANDB_BASE_URL"
_KEY = "WANDB_API_KEY"
_KEPT = frozenset({_KEY, BASE_URL, "WANDB_CONFIG_DIR", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_CREDENTIALS_FILE"})
_RUN_S, _LISTING_S = 1800, 180
_HOSTED = ("wandb.ai", "forge.coreweave.com")


@dataclass(frozen=True)
class Project:
    """An entity's project, on the server at `server`, or the one that W&B's own settings name."""

    entity: str
    name: str
    server: str | None = None

    def __str__(self) -> str:
        server = f"{self.server}/" if self.server else ""
        return f"{SCHEME}{server}{self.entity}/{self.name}"


def parse_project(address: str) -> Project:
    """Return the project of `wandb:ENTITY/PROJECT` or `wandb:https://HOST/ENTITY/PROJECT`. Raises NotAStore."""
    match = _ADDRESS.fullmatch(address)
    if match is None or {match["entity"], match["project"]} & {".", ".."}:
        raise NotAStore(
            f"{redact(address)!r} names no project of W&B's", "--tracker wandb:ENTITY/PROJECT, or wandb:https://HOST/…"
        )
    return Project(match["entity"], match["project"], match["server"])


_ADDRESS = re.compile(
    r"wandb:(?:(?P<server>https?://[^/\s@?#]+)/)?(?P<entity>[^/\\#?%:\s]+)/(?P<project>[^/\\#?%:]+)", re.IGNORECASE
)
_RUN_ID = re.compile(r"[^/\\#?%:\s]{1,128}")


class WandbOnline(WandbTracker):
    """A project of W&B's."""

    kind = StoreKind.WANDB_API

    def __init__(self, address: str) -> None:
        """Name the project; the server is not asked yet. Raises NotAStore, UsageError without W&B's package."""
        self.project = parse_project(address)
        super().__init__(str(self.project))
        _check_installed()
        self._server = _server(self.project)

    def check(self) -> None:
        with self._ask("runs") as (_, _folder):
            pass

    def read_run(self, run_id: str) -> RunRecord:
        if not _is_run_id(run_id):
            raise self._no_run(run_id)
        wanted = (METADATA, *ENVIRONMENT_FILES)
        with self._ask("run", run=run_id, wanted=wanted, pattern=PATCH.pattern) as (answer, folder):
            try:
                return self._record(run_id, answer, folder)
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
                raise TrackerUnavailable(
                    f"what W&B's server says of run {run_id} in {self.uri} is no run of W&B's ({type(error).__name__})",
                    f"check that {BASE_URL} names a server of W&B's",
                ) from error

    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        with self._ask("file", run=run_id, wanted=(path,)) as (answer, folder):
            place = answer["read"].get(path)
            return None if place is None else folder.read(place, limit_bytes)

    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        with self._ask("file", run=run_id, wanted=(path,)) as (answer, folder):
            if not answer["files"]:
                raise NoFiles("there is none")
            found = []
            for name, place in answer["read"].items():
                if place is None:
                    raise UnreadableFiles(f"the server does not give {name} as it lists it")
                (file,) = hash_files(folder, place)
                below = name.removeprefix(f"{path}/") if path and name != path else name
                found.append(file.model_copy(update={"path": below if name != path else file.path}))
            return tuple(sorted(found, key=lambda file: file.path))

    def _record(self, run_id: str, answer: Mapping[str, Any], folder: Folder) -> RunRecord:
        run, notes = run_of(answer, folder, self.project.entity, self.project.name)
        beside = beside_of(answer, folder)
        run.start_ms = milliseconds(beside.metadata.get("startedAt")) or run.start_ms
        state = str(answer["attributes"]["state"])
        run.problems += notes
        run.run_id = run.run_id or run_id
        return build_record(run, beside, uri=self.uri, store=self.kind, status=STATES.get(state, "RUNNING"))

    def _has_run(self, run_id: str) -> bool:
        if not _is_run_id(run_id):
            return False
        try:
            with self._ask("head", run=run_id) as (found, _):
                return bool(found == run_id)
        except RunNotFound:
            return False

    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        return [run for run in self._listed() if run.run_id.lower().startswith(prefix)]

    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        return [run for run in self._runs(experiment) if run.name == name]

    def _experiments(self) -> list[str]:
        return [self.project.name]

    def _runs(self, experiment: str | None) -> list[RunSummary]:
        return self._listed() if experiment in (None, self.project.name) else []

    def _listed(self) -> list[RunSummary]:
        with self._ask("runs") as (answer, _):
            return [
                RunSummary(
                    run_id=str(run["id"]),
                    experiment=self.project.name,
                    name=run["name"] or None,
                    start_ms=milliseconds(run["createdAt"]),
                )
                for run in answer
            ]

    @contextlib.contextmanager
    def _ask(self, operation: str, **options: Any) -> Iterator[tuple[Any, Folder]]:
        """Yield the answer, and the folder of what came with it. Raises TrackerUnavailable, RunNotFound."""
        with tempfile.TemporaryDirectory(prefix="reproducibility-runner-wandb-") as name:
            folder = Path(name)
            request = Request(
                operation=operation, folder=name, entity=self.project.entity, project=self.project.name, **options
            )
            status = _run_client(request, folder, self._server, _RUN_S if operation in ("run", "file") else _LISTING_S)
            try:
                document = json.loads((folder / ANSWER).read_bytes())
            except (OSError, ValueError):
                document = {
                    "error": "endless" if status is None else "other",
                    "status": None,
                    "class": f"exit {status}",
                }
            if "error" in document:
                raise self._failed(document, request)
            yield document["value"], Folder(folder)

    def _failed(self, document: Mapping[str, Any], request: Request) -> TrackerUnavailable | UsageError:
        kind, status = document["error"], document.get("status")
        where = f"W&B at {redact(self._server)}" if self._server else "W&B"
        if kind == "absent":
            return self._absent(request)
        if kind in ("no key", "bad key", "refused"):
            sent = f"the key in {_KEY}" if os.environ.get(_KEY) else "the key that `wandb login` keeps in ~/.netrc"
            what = {
                "no key": f"{where} needs an API key, and there is none in {_KEY} and in ~/.netrc",
                "bad key": f"{where} was not asked: {sent} is no API key",
            }.get(kind, f"{where} refused us ({status}); it was sent {sent}")
            host = f" --host {shlex.quote(self._server)}" if self._server else ""
            return TrackerUnavailable(what, f"wandb login --relogin{host}    or set {_KEY}")
        told = {
            "busy": "has too many requests of ours (429), again and again",
            "answered": f"answered {status}",
            "redirected": "sends us on to another place, and is not followed",
            "endless": "did not come to an end",
            "refused connection": "cannot be reached: the connection was refused",
            "no host": "cannot be reached: no host has its name",
            "certificate": "cannot be reached: its certificate is not trusted",
            "no time": "did not answer in time",
        }.get(kind, f"could not be read ({document.get('class')})")
        address = f"curl -sSfI {shlex.quote(self._server)}" if self._server else f"set {BASE_URL} to its address"
        remedy = "try again later" if kind in ("busy", "answered", "endless") else address
        return TrackerUnavailable(f"{where} {told}", remedy)

    def _absent(self, request: Request) -> RunNotFound:
        """Say which of run, project and entity is not there, with what resembles it."""
        what, near, remedy = f"no run has the id {request.run!r} in {self.uri}; it may have been deleted", "", ""
        with contextlib.suppress(TrackerUnavailable):
            if request.operation == "head":  # whoever asks wants to know nothing else
                pass
            elif request.operation == "runs":
                what, near, remedy = self._absent_project()
            else:
                found = self._listed()  # raises for a project that is not there
                close = difflib.get_close_matches(request.run, [run.run_id for run in found], n=3, cutoff=0.6)
                close += [run.run_id for run in found if run.name == request.run]
                near = ", ".join(f"{self.uri}/{run_id}" for run_id in close)
                remedy = f"runner plan {shlex.quote(f'{self.uri}/{close[0]}')}" if close else ""
        nearest = f"; nearest: {redact(near)}" if near else ""
        return RunNotFound(redact(what) + nearest, remedy or f"name the run by {SCHEME}ENTITY/PROJECT/ID")

    def _absent_project(self) -> tuple[str, str, str]:
        entity, name = self.project.entity, self.project.name
        with self._ask("projects") as (names, _):
            if not names:
                return f"W&B knows no entity {entity!r} with a project that you may read", "", ""
            close = [
                str(Project(entity, each, self.project.server))
                for each in difflib.get_close_matches(name, names, n=3, cutoff=0.6)
            ]
            remedy = f"--tracker {shlex.quote(close[0])}" if close else ""
            return f"{entity!r} has no project {name!r} that you may read", ", ".join(close), remedy


def _is_run_id(text: str) -> bool:
    return _RUN_ID.fullmatch(text) is not None and text not in (".", "..")


def _check_installed() -> None:
    """Raise UsageError where W&B's package is not there; a folder of that name is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("wandb")
    except PackageNotFoundError as error:
        raise UsageError(
            "runs on a server of W&B's are read by its own package, which is not installed",
            f"{shlex.quote(sys.executable)} -m pip install 'reproducibility-runner[wandb]'",
        ) from error


def _server(project: Project) -> str | None:
    """Return the address that W&B is to ask, None for the hosted one. Raises UsageError.

    A key goes to the server that the user's own settings name, never to another that an address brings.
    """
    named = _named_server()
    if project.server is None or is_hosted(project.server):
        if named is not None and project.server is not None and not is_hosted(named):
            raise _other_server(project.server, named, unset=True)
        return named
    if named is None or _host(named) != _host(project.server):
        raise _other_server(project.server, named or "W&B's hosted service", unset=False)
    return named


def _other_server(asked: str, named: str, *, unset: bool) -> UsageError:
    begin = f"env -u {BASE_URL} runner" if unset else f"{BASE_URL}={shlex.quote(asked)} runner"
    return UsageError(
        f"the run is on {redact(asked)}, and your key is for {redact(named)}: another server shall not get it unasked",
        f"{begin} …    with that server's key in {_KEY} or ~/.netrc",
    )


def is_hosted(address: str) -> bool:
    """Tell whether an address is of W&B's own service."""
    host = _host(address)[0]
    return any(host == hosted or host.endswith(f".{hosted}") for hosted in _HOSTED)


def _host(address: str) -> tuple[str, int | None]:
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    try:
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _named_server() -> str | None:
    """Return the server of the user's environment, else of W&B's settings in the user's own folder."""
    import configparser

    if os.environ.get(BASE_URL):
        return os.environ[BASE_URL].rstrip("/")
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb")
    settings = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        settings.read(folder / "settings")
    return settings.get("default", "base_url", fallback="").rstrip("/") or None


def _run_client(request: Request, folder: Path, server: str | None, limit_s: int) -> int | None:
    """Carry out a request in a process of its own; return its exit status, None where it was ended."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("WANDB") or name in _KEPT}
    variables |= {name: str(folder) for name in ("TMPDIR", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")}
    variables |= {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "PYTHONSAFEPATH": "1"}
    if server is not None:
        variables[BASE_URL] = server
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.trackers.wandb_client"],
        cwd=folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # what W&B and its server say may hold the key
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(json.dumps(asdict(request)).encode(), timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # W&B's own service process is in the group
        process.wait()
    return process.returncode
