"""Records, snapshots and settings of small projects, for everything that decides from values alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from runner.lineage.commit import recorded_commit
from runner.lineage.repository import repository_location
from runner.lineage.resolve import resolve_lineage
from runner.pointers.read import read_lock, read_pointer, read_wdirs
from runner.pointers.rewrite import create_pointer
from runner.schema.digest import DigestValue
from runner.schema.lineage import Lineage, LineageFile
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import DvcRemote, HistoricPointer, PointerOut, RepositorySnapshot, TreeEntry
from runner.settings import Flags, Settings, resolve_settings
from tests.support.values import COMMIT, make_record, md5

LATER = "bb" * 20
EARLIER = "cc" * 20
URL = "https://git.example/acme/fraud.git"
WHEN = datetime(2025, 3, 1, tzinfo=timezone.utc)
REMOTE = DvcRemote(name="main", url="../../store", default=True)

TRAIN = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=4)
parser.add_argument("--rate", type=float, default=0.1)
args = parser.parse_args()
"""


def run(*, tags: Mapping[str, str] | None = None, script: str | None = "train.py", **fields: Any) -> RunRecord:
    """A finished run with a commit and a script; `tags` are added, or taken out where they are empty."""
    merged = {"git_commit": COMMIT, "git_repo_url": URL, "mlflow.source.name": script or "", **(tags or {})}
    return make_record(tags={name: value for name, value in merged.items() if value}, **fields)


def settings(*, yaml: str | None = None, **flags: Any) -> Settings:
    """Settings as they come of flags and of a `runner.yaml`."""
    return resolve_settings(Flags(**flags), {}, configuration=yaml, folder="/home/ann")


def pointed(path: str, content: str, **fields: Any) -> tuple[str, str]:
    """A pointer file: its path and its text."""
    return f"{path}.dvc", create_pointer(path, fields.get("digest", md5(content)))


def seen(
    path: str, content: str | DigestValue, *, ancestor: bool = False, commit: str = LATER, pointer: str | None = None
) -> HistoricPointer:
    """That history carried a digest at a path."""
    digest = md5(content) if isinstance(content, str) else content
    return HistoricPointer(
        pointer=pointer or f"{path}.dvc", path=path, digest=digest, commit=commit, time=WHEN, ancestor=ancestor
    )


def snapshot(
    texts: Mapping[str, str] | None = None, *, files: tuple[str, ...] = (), **fields: Any
) -> RepositorySnapshot:
    """A repository at the commit with these texts, of which the pointers are read, and other files."""
    texts = dict(texts or {})
    outs: list[PointerOut] = []
    locked: list[PointerOut] = []
    for path, text in texts.items():
        if path.endswith(".dvc"):
            outs += read_pointer(path, text)
        elif path.endswith("dvc.lock"):
            lock = read_lock(path, text, read_wdirs(texts.get(path.replace(".lock", ".yaml"), "")))
            outs += lock.outs
            locked += lock.deps
    values: dict[str, Any] = {
        "url": URL,
        "location": "/srv/fraud",
        "commit": COMMIT,
        "commit_time": WHEN,
        "tree": tuple(TreeEntry(path=path, kind="file", size_bytes=1) for path in sorted({*texts, *files})),
        "texts": texts,
        "pointers": tuple(outs),
        "locked": tuple(locked),
        "remotes": (REMOTE,),
    }
    return RepositorySnapshot(**{**values, **fields})


def lineage(record: RunRecord, repository: RepositorySnapshot, chosen: Settings | None = None) -> Lineage:
    """The lineage of a run, all steps."""
    chosen = chosen or settings()
    return resolve_lineage(
        record, repository, chosen, repository_location(record, chosen), recorded_commit(record, chosen)
    )


def file_of(found: Lineage, path: str) -> LineageFile:
    """The file of a lineage at a path."""
    return next(file for file in found.files if file.path == path)
