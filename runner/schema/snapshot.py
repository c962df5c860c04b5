"""RepositorySnapshot: what lineage and plan need of a repository, as plain values, so that deciding needs no git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from runner.schema.base import UtcTime, Value
from runner.schema.digest import Digest


class TreeEntry(Value):
    """A path of the commit's tree. `kind` is git's: file, symlink or submodule."""

    path: str
    kind: Literal["file", "symlink", "submodule"]
    size_bytes: int | None
    executable: bool = False


class LfsPointer(Value):
    """A file of the commit whose bytes are in Git LFS: their SHA-256 and size.

    `refused` says why they cannot be had, and `passing` that this may be otherwise another time.
    """

    path: str
    oid: str
    size_bytes: int
    refused: str | None = None
    passing: bool = False


class Gitlink(Value):
    """A submodule of the commit: its path, the commit that is recorded there, and what `.gitmodules` says of it.

    `place` is the address without credentials. `refused` says why it cannot be had: its folder is then as empty as a
    plain clone leaves it. `passing` tells that this may be otherwise another time.
    """

    path: str
    commit: str
    name: str | None = None
    place: str | None = None
    refused: str | None = None
    passing: bool = False


class CommittedFile(Value):
    """A file of the commit that has a digest which the run recorded, and `source`, where it stands.

    `mended` says how its line endings must be changed for that, None where git holds just these bytes.
    """

    path: str
    digest: Digest
    source: str
    mended: str | None = None


class OutsideLink(Value):
    """A symbolic link of the commit that leads out of the repository, where a clone elsewhere has nothing."""

    path: str
    target: str


class ImportSource(Value):
    """Where an imported file came from: `url` of a repository with `revision`, or of a file; `path` within the former.

    `kind` is DVC's command: `import`, `import-url`, `import-db`.
    """

    kind: Literal["import", "import-url", "import-db"]
    url: str
    path: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        within = f" at {self.revision[:12]}" if self.revision else ""
        return f"dvc {self.kind} of {f'{self.path} of ' if self.path else ''}{self.url}{within}"


class CloudVersion(Value):
    """One file of an out as a version-aware remote keeps it: `path` is within the out, empty for the out itself."""

    path: str
    digest: Digest
    remote: str | None
    version_id: str | None
    size_bytes: int | None = None


class PointerOut(Value):
    """A file or directory that a pointer names: one `outs` entry of a `.dvc` file or of a stage in `dvc.lock`.

    `path` is relative to the repository's root, POSIX. `digest` is None where the entry has none (never committed).
    `index` is the place among the pointer's outs. `stage` is the stage's name for `dvc.lock`. `imported` tells that
    the pointer has `deps`, so that DVC would ignore a rewritten digest (TRAPS); `source` is then where it came from.
    `other_hash` names the kind of a digest by which no remote of DVC keeps bytes, such as `etag`. `versions` are what a
    version-aware remote holds of it.
    """

    pointer: str
    index: int
    path: str
    digest: Digest | None
    size_bytes: int | None = None
    file_count: int | None = None
    stage: str | None = None
    imported: bool = False
    source: ImportSource | None = None
    other_hash: str | None = None
    versions: tuple[CloudVersion, ...] = ()


class HistoricPointer(Value):
    """That some commit's pointer named `digest` at `path`; `time` is the date of that commit.

    One entry per pointer, path and digest. `ancestor` is true where the run's own commit or one before it named the
    digest; `commit` is then the newest such ancestor, else the newest commit that did.
    """

    pointer: str
    path: str
    digest: Digest
    commit: str
    time: UtcTime
    ancestor: bool


class DvcRemote(Value):
    """A remote of a `.dvc/config`. `options` holds only the keys of a positive list; `refused` names the others.

    `url` is as it is written, without secrets; where it is a relative path, it starts at the folder `.dvc` of `root`,
    which is relative to the repository's root.
    """

    name: str
    url: str
    options: dict[str, str] = {}
    refused: tuple[str, ...] = ()
    default: bool = False
    root: str = "."


class PointerProblem(Value):
    """A pointer at the commit that cannot be read, with the reason in a sentence."""

    pointer: str
    problem: str


class LaterChange(Value):
    """That a commit, which is neither the run's nor before it, changes a file; `time` is when it was made."""

    commit: str
    path: str
    time: UtcTime


class RepositorySnapshot(Value):
    """A repository as seen from one commit.

    `tree` lists the whole tree of the commit; `texts` holds the content of the files there that lineage and plan read
    (pointers, dvc.yaml, dvc.lock, dependency files, runner.yaml, scripts named by the run). `pointers` are the outs
    at the commit, `locked` the dependencies that its `dvc.lock` names, `history` the outs of all of history.
    `first_commit_with` maps asked-for paths that the commit lacks,
    and scripts that are empty there, to the first commit that has them. `later_changes` are those made in the
    asked-for time by other commits than this one and those before it, oldest first. `remotes` are those at the commit,
    `remotes_today` those at the default branch's tip. `url` has no credentials; `location` is what git was given. `lfs`
    are files whose bytes are in Git LFS, those of submodules too. `submodules` are all of them, outer ones
    first. `committed` are files whose digest the run recorded. `agreeing` maps files
    whose values are not the run's to the first commit in which they are.
    """

    url: str
    location: str
    commit: str
    commit_time: UtcTime
    tree: tuple[TreeEntry, ...]
    texts: dict[str, str]
    pointers: tuple[PointerOut, ...]
    problems: tuple[PointerProblem, ...] = ()
    history: tuple[HistoricPointer, ...] = ()
    first_commit_with: dict[str, str] = {}
    later_changes: tuple[LaterChange, ...] = ()
    locked: tuple[PointerOut, ...] = ()
    remotes: tuple[DvcRemote, ...] = ()
    remotes_today: tuple[DvcRemote, ...] = ()
    dvc_roots: tuple[str, ...] = ()
    shallow: bool = False
    lfs: tuple[LfsPointer, ...] = ()
    submodules: tuple[Gitlink, ...] = ()
    outside_links: tuple[OutsideLink, ...] = ()
    committed: tuple[CommittedFile, ...] = ()
    agreeing: dict[str, str] = {}

    def with_texts(self, texts: Mapping[str, str]) -> RepositorySnapshot:
        """Return the snapshot with more texts of its commit."""
        return self.model_copy(update={"texts": {**self.texts, **texts}})

    def has(self, path: str) -> bool:
        """Tell whether the commit's tree holds a file at `path`."""
        return any(entry.path == path for entry in self.tree)
