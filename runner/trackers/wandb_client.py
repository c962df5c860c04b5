"""What of us runs beside `wandb.Api`: a process of its own, `python -m runner.trackers.wandb_client`.

W&B's library starts a server process, threads, hooks at exit and reports of its errors, reads the current directory
and waits without an end; a process can be given a clean place and an end. It takes one `Request` on standard input, and
leaves `answer.json` in the request's folder. Nothing that W&B or its server says in words leaves it, only what
`_failure` makes of it: their texts may hold the key.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER = "answer.json"
HISTORY = "history.jsonl"
FILES = "files"
LISTED_RUNS = 10_000
LISTED_FILES = 10_000
HISTORY_BYTES = 1 << 30
FILE_BYTES = 8 << 30
LAST_STEP = 50_000_000
"""Beyond it the history is not read: W&B is asked for it by a thousand steps."""

_LISTING_S = 120
_RETRIES = 3
_READ_FILES = 20
_ATTRIBUTES = (
    *("name", "displayName", "state", "group", "jobType", "commit", "createdAt", "notes", "tags", "sweepName"),
    *("summaryMetrics", "historyLineCount", "historyKeys"),
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to do.

    `run` reads a run's values, the names of its files, and the files that are `wanted` or match `pattern`; `file` the
    wanted ones or all beneath such a folder; `head` tells that a run is there; `runs` lists a project's, `projects` an
    entity's.
    """

    operation: str
    folder: str
    entity: str
    project: str = ""
    run: str = ""
    wanted: tuple[str, ...] = ()
    pattern: str = ""


class _Endless(BaseException):
    """Something took longer than it may. No Exception: W&B wraps those."""


def main() -> None:
    """Carry out the request on standard input."""
    request = Request(**json.load(sys.stdin))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    try:
        document: dict[str, Any] = {"value": _OPERATIONS[request.operation](_api(), request)}
    except _Endless:
        document = {"error": "endless", "status": None}
    except Exception as error:  # noqa: BLE001  # W&B's own are of several classes
        document = _failure(error)
    Path(request.folder, ANSWER).write_bytes(_encoded(document))


def _encoded(value: Any) -> bytes:
    """Return JSON; halves of characters, which no later text could hold, become question marks."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _api() -> Any:
    import wandb

    wandb.setup(
        settings=wandb.Settings(
            silent=True,
            x_graphql_retry_max=_RETRIES,
            x_graphql_retry_wait_min_seconds=1,
            x_graphql_retry_wait_max_seconds=5,
            x_file_transfer_retry_max=_RETRIES,
            x_file_transfer_retry_wait_min_seconds=1,
            x_file_transfer_retry_wait_max_seconds=5,
        )
    )
    return wandb.Api(timeout=30)


def _run(api: Any, request: Request) -> dict[str, Any]:
    run = api.run(f"{request.entity}/{request.project}/{request.run}")
    attributes = _attributes(run)
    keys = attributes["historyKeys"]
    last = keys.get("lastStep", -1) if isinstance(keys, dict) else -1
    lines, whole = 0, isinstance(last, int) and last <= LAST_STEP
    with Path(request.folder, HISTORY).open("wb") as file:
        for row in run.scan_history(use_cache=False) if whole else ():
            lines += 1
            file.write(_encoded(row) + b"\n")
            if file.tell() > HISTORY_BYTES:
                whole = False
                break
    files = _files(run)
    wanted = [file for file in files if file.name in request.wanted or _matches(file.name, request.pattern)]
    read = {file.name: _download(file, request.folder, str(at)) for at, file in enumerate(wanted[:_READ_FILES])}
    run.load(force=True)
    return {
        "attributes": attributes,
        "after": _attributes(run),
        "lines": lines,
        "whole": whole,
        "files": [[file.name, file.size] for file in files],
        "read": read,
    }


def _attributes(run: Any) -> dict[str, Any]:
    found = json.loads(json.dumps({name: run._attrs.get(name) for name in _ATTRIBUTES}))  # a copy
    # W&B's own word of the config is put apart when it reads one.
    return {**found, "config": run._attrs.get("rawconfig") or {}}


def _matches(name: str, pattern: str) -> bool:
    return bool(pattern) and re.fullmatch(pattern, name) is not None


def _files(run: Any) -> list[Any]:
    with _within(_LISTING_S):
        return list(_each_once(itertools.islice(run.files(per_page=200), LISTED_FILES), lambda file: file.name))


def _each_once(items: Iterable[Any], name_of: Callable[[Any], str]) -> Iterator[Any]:
    """Yield what is listed. What is listed again was listed from the beginning again, and would be for ever."""
    seen = set()
    for item in items:
        if name_of(item) in seen:
            raise _Endless
        seen.add(name_of(item))
        yield item


def _download(file: Any, folder: str, place: str) -> str | None:
    """Return where a file was put, below the folder; None where it is not there, or other than it was listed."""
    if not _stays_below(file.name) or file.size > FILE_BYTES:
        return None
    root = Path(folder, FILES, place)
    root.mkdir(parents=True)
    try:
        file.download(root=str(root)).close()
    except Exception as error:
        if _status(error) in (404, 410):
            return None
        raise
    path = root / file.name
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as opened:
        while piece := opened.read(1 << 20):
            md5.update(piece)
    recorded = getattr(file, "md5", None)
    if path.stat().st_size != file.size or (recorded and base64.b64encode(md5.digest()).decode() != recorded):
        return None
    return str(path.relative_to(folder))


def _stays_below(name: str) -> bool:
    return bool(name) and "\0" not in name and not name.startswith(("/", "\\")) and ".." not in re.split(r"[/\\]", name)


def _read(api: Any, request: Request) -> dict[str, Any]:
    run = api.run(f"{request.entity}/{request.project}/{request.run}")
    found = [file for file in _files(run) if any(_is_below(file.name, path) for path in request.wanted)]
    return {
        "files": [[file.name, file.size] for file in found],
        "read": {file.name: _download(file, request.folder, str(at)) for at, file in enumerate(found)},
    }


def _is_below(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}/")


def _head(api: Any, request: Request) -> str:
    return str(api.run(f"{request.entity}/{request.project}/{request.run}").id)


def _runs(api: Any, request: Request) -> list[dict[str, Any]]:
    with _within(_LISTING_S):
        runs = itertools.islice(api.runs(f"{request.entity}/{request.project}", per_page=200), LISTED_RUNS)
        each = _each_once(runs, lambda run: run.id)
        return [{"id": run.id, "name": run.name, "createdAt": run.created_at} for run in each]


def _projects(api: Any, request: Request) -> list[str]:
    with _within(_LISTING_S):
        return [project.name for project in itertools.islice(api.projects(request.entity), LISTED_RUNS)]


_OPERATIONS: dict[str, Callable[[Any, Request], Any]] = {
    "run": _run,
    "file": _read,
    "head": _head,
    "runs": _runs,
    "projects": _projects,
}


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """End what has pages without an end."""

    def stop(*_: object) -> None:
        raise _Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _failure(error: Exception) -> dict[str, Any]:
    """Return what went wrong in words of ours: a kind, and the status that a server answered."""
    texts = " ".join(f"{type(each).__name__}: {each}" for each in _chain(error))
    status = _status(error)
    if status is None and (told := re.search(r"\bHTTP (?:status )?(\d{3})\b", texts)):  # after the last attempt
        status = int(told[1])
    kind = next((kind for kind, signs in _KINDS if any(sign in texts for sign in signs)), "other")
    if status in (401, 403):
        kind = "refused"
    elif status == 429:
        kind = "busy"
    elif status == 404:
        kind = "absent"
    elif status:
        kind = "answered"
    return {"error": kind, "status": status, "class": type(error).__name__}


_KINDS = (
    ("absent", ("RunNotFoundError", "Could not find run", "Could not find project", "could not find")),
    ("no key", ("No API key", "no API key", "api_key not configured", "No authentication configured")),
    ("bad key", ("API key",)),
    ("redirected", ("redirect",)),
    ("refused connection", ("connection refused",)),
    ("no host", ("no such host", "server misbehaving", "name resolution")),
    ("certificate", ("x509", "certificate")),
    ("no time", ("timeout", "timed out", "Timeout", "deadline exceeded")),
)


def _status(error: BaseException) -> int | None:
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "http_status", None)
        if isinstance(status, int) and status:
            return status
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < 20:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__context__, each.__cause__, getattr(each, "exc", None)]


if __name__ == "__main__":
    main()
    # W&B's hooks at exit would wait for a server that does not answer; whoever started us ends what is left.
    sys.stdout.flush()
    os._exit(0)
