"""Lineage: which code and data a run was made of, and for every fact where it was found."""

from __future__ import annotations

from typing import Literal

from runner.schema.base import Value
from runner.schema.digest import Digest


class Considered(Value):
    """A value that was seen and not used for a fact, and why."""

    source: str
    value: str
    reason: str


class Provenance(Value):
    """Where a fact was found: `source` in the words of the user's tools (`tag git_commit`, `--commit`)."""

    fact: str
    value: str
    source: str
    considered: tuple[Considered, ...] = ()


class LineageFile(Value):
    """A data or model file of the run.

    `path` is relative to the repository's root, POSIX. `digest` is the recorded one. `pointer` is the `.dvc` file or
    `dvc.lock` that names it, or that must be created (`pointer_state` is `created`). `pointer_digest` is what the
    pointer holds at the commit, where that differs. `maybe_previous` is true for a recorded output whose digest is
    that of the pointer at the commit or before, which may be the model of an earlier run (DESIGN, Lineage). `use` is
    what it is pulled for: the training; the stages before it, where those must run; nothing, unless all was asked for.
    `origin` says where an imported file came from.
    """

    path: str
    digest: Digest
    role: Literal["input", "output", "unknown"]
    source: str
    pointer: str
    pointer_index: int = 0
    pointer_state: Literal["matches", "rewritten", "created"]
    pointer_digest: Digest | None = None
    size_bytes: int | None = None
    maybe_previous: bool = False
    use: Literal["training", "earlier stages", "nothing", "asked for"] = "training"
    origin: str | None = None
    considered: tuple[Considered, ...] = ()


class AppliedPatch(Value):
    """Recorded changes that no commit holds; `tree` is the commit that we made of them, whose parent is the run's.

    `source` says where they were recorded, `sha256` is of the patch, `paths` are those that it changes.
    """

    source: str
    sha256: str
    paths: tuple[str, ...]
    tree: str


class Lineage(Value):
    """Code and data of a run. `provenance` has one entry per fact (`repository`, `commit`, each file's digest).

    `recorded_commit` is what the run recorded where the auditor had another commit used, else None; `commit_known` is
    false where it records none, so that the commit is the auditor's word. `clean` tells that
    the record proves a work tree without changes; most records say nothing of it. `patch` are recorded changes on top
    of the commit.
    """

    schema_version: Literal[1] = 1
    repository: str
    commit: str
    recorded_commit: str | None = None
    commit_known: bool = True
    clean: bool = False
    patch: AppliedPatch | None = None
    branch: str | None = None
    files: tuple[LineageFile, ...]
    provenance: tuple[Provenance, ...]
    notes: tuple[str, ...] = ()

    @property
    def tree(self) -> str:
        """The commit whose tree is the training's code: the run's own, or that with the recorded patch."""
        return self.commit if self.patch is None else self.patch.tree
