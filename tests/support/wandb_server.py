"""A server that speaks what W&B's own client says: `wandb sync` fills it, and `wandb.Api` reads it back.

It knows the queries of W&B 0.31 for projects, runs, their history and their files, in pages, and asks for the key. What
the hosted service answers to them is known from the client's source alone.

    with wandb_server() as server:
        server.sync(run_folder, environment)        # by real W&B
        tracker = open_tracker("wandb:acme/sums")   # with server.variables in the environment
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import math
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

KEY = "c0ffee0123456789c0ffee0123456789deadbeef"
ENTITY = "acme"
_OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")


@dataclass
class StoredRun:
    """A run as the server keeps it: what was sent last of each value, and all lines of its history."""

    name: str
    project: str
    values: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    state: str = "running"
    lines: int | None = None  # what it says of the number of lines, where that is not true

    def node(self) -> dict[str, Any]:
        config = self.values.get("config")
        return {
            "id": f"id-{self.name}",
            "projectId": "1",
            "tags": self.values.get("tags") or [],
            "name": self.name,
            "displayName": self.values.get("displayName"),
            "sweepName": None,
            "state": self.state,
            "config": config if config is None else json.dumps(json.loads(config)),
            "group": self.values.get("groupName"),
            "jobType": self.values.get("jobType"),
            "commit": self.values.get("commit"),
            "readOnly": False,
            "createdAt": "2026-01-01T12:00:00",
            "heartbeatAt": "2026-01-01T12:00:01",
            "description": None,
            "notes": self.values.get("notes"),
            "systemMetrics": "{}",
            "summaryMetrics": json.dumps(_plain(self.summary)),
            "historyLineCount": len(self.history) if self.lines is None else self.lines,
            "historyKeys": self.keys(),
            "user": {"name": "Ann", "username": "ann"},
        }

    def keys(self) -> dict[str, Any]:
        return {"lastStep": max((row["_step"] for row in self.history), default=-1), "keys": {}, "sets": []}


@dataclass
class Answer:
    """What the server says instead, for tests of what goes wrong."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Fault = Callable[[str, dict[str, Any]], "Answer | None"]


class WandbServer:
    """The runs that were sent, and what was asked. `fault` may answer an operation, or `GET PATH`, instead."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], StoredRun] = {}
        self.asked: list[str] = []
        self.authorized: list[str] = []
        self.fault: Fault = lambda operation, variables: None
        self.url = ""
        self.parquet: bytes | None = None

    @property
    def variables(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def sync(self, folder: Path, python: Path) -> StoredRun:
        """Let W&B itself send an offline run, as `wandb sync` does, and return what arrived."""
        before = set(self.runs)
        command = [python, "-m", "wandb", "sync", "--entity", ENTITY, str(folder)]
        variables = {"PATH": os.environ["PATH"], "HOME": str(folder.parent.parent), "WANDB_ERROR_REPORTING": "false"}
        done = subprocess.run(
            command,
            env={**variables, **self.variables},
            cwd=folder.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        made = set(self.runs) - before
        if done.returncode or len(made) != 1:
            raise RuntimeError(f"wandb sync sent {len(made)} runs: {done.stdout}\n{done.stderr}")
        return self.runs[made.pop()]

    def answer(self, operation: str, variables: dict[str, Any]) -> Any:  # noqa: PLR0911  # one for each
        """Return the `data` of an operation of GraphQL's."""
        name = variables.get("name") or variables.get("runName") or variables.get("run") or ""
        project = str(variables.get("project") or "")
        run = self.runs.get((project, name))
        if operation in ("Viewer", "GetDefaultEntity", "GetViewer"):
            teams: dict[str, Any] = {"edges": []}
            return {
                "viewer": {"id": "u", "entity": ENTITY, "username": "ann", "email": "", "flags": "{}", "teams": teams}
            }
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "UpsertBucket":
            run = self.runs.setdefault((project, name), StoredRun(name, project))
            run.values.update({key: value for key, value in variables.items() if value is not None})
            bucket = {
                **run.node(),
                "historyLineCount": 0,
                "project": {"id": "p", "name": project, "entity": {"id": "e", "name": ENTITY}},
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [
                {"name": path, "uploadUrl": f"{self.url}/up/{project}/{name}/{path}"} for path in variables["files"]
            ]
            return {"createRunFiles": {"runID": f"id-{name}", "uploadHeaders": [], "files": files}}
        known = variables.get("entity") == ENTITY and any(project == each for each, _ in self.runs)
        if operation in ("Run", "RunHistoryKeys"):
            return {"project": {"run": None if run is None else run.node()} if known else None}
        if operation == "RunParquetHistory":
            assert run is not None
            return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}
        if operation == "HistoryPage":
            assert run is not None
            rows = [row for row in run.history if variables["minStep"] <= row["_step"] < variables["maxStep"]]
            page = [json.dumps(_plain(row)) for row in rows[: variables["pageSize"]]]
            return {"project": {"run": {"history": page}}}
        if operation == "RunFiles":
            return self._files(run, variables) if known else {"project": None}
        if operation == "Runs":
            return self._runs(project, variables) if known else {"project": None}
        if operation in ("GetProjects", "Projects"):
            names = sorted({each for each, _ in self.runs}) if variables.get("entity") == ENTITY else []
            common = {"__typename": "Project", "entityName": ENTITY, "isBenchmark": False, "user": None}
            common["createdAt"] = "2026-01-01T00:00:00"
            edges = [
                {"cursor": each, "node": {"__typename": "Project", "id": each, "name": each, **common}}
                for each in names
            ]
            info = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
            return {"models": {"edges": edges, "pageInfo": info}}
        raise LookupError(operation)

    def _files(self, run: StoredRun | None, variables: dict[str, Any]) -> Any:
        if run is None:
            return {"project": {"internalId": "1", "run": None}}
        wanted = variables.get("fileNames") or sorted(run.files)
        page, info = _page([name for name in wanted if name in run.files], variables, "fileCursor", "fileLimit")
        edges = [
            {
                "cursor": name,
                "node": {
                    "id": name,
                    "name": name,
                    "url": f"{self.url}/files/{ENTITY}/{run.project}/{run.name}/{name}",
                    "directUrl": f"{self.url}/files/{ENTITY}/{run.project}/{run.name}/{name}",
                    "sizeBytes": str(len(run.files[name])),
                    "mimetype": "",
                    "updatedAt": None,
                    "md5": base64.b64encode(hashlib.md5(run.files[name]).digest()).decode(),
                },
            }
            for name in page
        ]
        files = {"edges": edges, "pageInfo": info}
        return {"project": {"internalId": "1", "run": {"fileCount": len(run.files), "files": files}}}

    def _runs(self, project: str, variables: dict[str, Any]) -> Any:
        names = sorted(name for each, name in self.runs if each == project)
        page, info = _page(names, variables, "cursor", "perPage")
        edges = [{"cursor": name, "node": self.runs[project, name].node()} for name in page]
        runs = {"edges": edges, "pageInfo": info}
        return {"project": {"internalId": "1", "runCount": len(names), "readOnly": False, "runs": runs}}

    def stream(self, project: str, name: str, document: dict[str, Any]) -> None:
        """Take in what a client sends of a run while it goes on, or at its end."""
        run = self.runs[project, name]
        files = document.get("files") or {}
        for part in files.get("wandb-history.jsonl", {}).get("content", []):
            run.history.append(json.loads(part))
        for part in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = json.loads(part)
        if document.get("complete"):
            run.state = "finished" if not document.get("exitcode") else "failed"


def _page(names: list[str], variables: dict[str, Any], cursor: str, limit: str) -> tuple[list[str], dict[str, Any]]:
    """Return a page of at most two, so that every listing has several."""
    after = variables.get(cursor)
    start = 0 if not after else names.index(after) + 1
    end = start + min(2, int(variables.get(limit) or 50))
    return names[start:end], {"endCursor": None, "hasNextPage": end < len(names)}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: W&B gives what JSON has no number for as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listening

    def do_POST(self) -> None:
        state, body = self.server.state, self._body()
        if not self._authorized():
            return self._send(401, {"errors": [{"message": "user is not logged in"}]})
        if self.path == "/graphql":
            document = json.loads(body)
            found = _OPERATION.search(document["query"])
            operation, variables = found[1] if found else "", document.get("variables") or {}
            state.asked.append(operation)
            answer = state.fault(operation, variables)
            if answer is not None:
                return self._send(answer.status, answer.body, answer.headers)
            try:
                return self._send(200, {"data": state.answer(operation, variables)})
            except LookupError as error:
                return self._send(400, {"errors": [{"message": f"not known: {error}"}]})
        match = re.fullmatch(r"/files/[^/]+/([^/]+)/([^/]+)/file_stream", self.path)
        if match:
            state.stream(match[1], match[2], json.loads(body))
        return self._send(200, {})

    def do_PUT(self) -> None:
        _, _, project, name, path = unquote(self.path).split("/", 4)
        self.server.state.runs[project, name].files[path] = self._body()
        self._send(200, {})

    def do_GET(self) -> None:
        state, path = self.server.state, unquote(self.path)
        state.asked.append(f"GET {path}")
        state.authorized.append(self.headers.get("Authorization") or "")
        answer = state.fault(f"GET {path}", {})
        if answer is not None:
            return self._send(answer.status, answer.body, answer.headers)
        parts = path.split("/", 5)
        run = state.runs.get((parts[3], parts[4])) if len(parts) == 6 else None
        if run is None or parts[5] not in run.files:
            return self._send(404, {})
        return self._send(200, run.files[parts[5]]) if self._authorized() else self._send(401, {})

    def _authorized(self) -> bool:
        return self.headers.get("Authorization") == "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    state: WandbServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client's process ends with connections open."""


@contextlib.contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """Yield a server on this machine, with no run."""
    state = WandbServer()
    listening = _Listening(("127.0.0.1", 0), _Handler)
    listening.state = state
    state.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
