"""The code of a run: repository and commit, with the changes that no commit held where its tracker kept them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runner.errors import MissingFact
from runner.lineage.commit import check_clean, recorded_commit
from runner.lineage.patch import RecordedPatch, patch_since_pushed, recorded_patch
from runner.lineage.remedy import command_again
from runner.schema.lineage import AppliedPatch, Considered, Provenance
from runner.schema.run_record import RunRecord
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.repository.mirror import Mirror


class OpenRepository(Protocol):
    """Returns where the repository is that should hold a commit, with its mirror."""

    def __call__(self, commit: str) -> tuple[Provenance, Mirror]: ...


@dataclass(frozen=True, kw_only=True)
class Code:
    """What `find_code` found; `notes` are sentences for the report."""

    repository: Provenance
    mirror: Mirror
    commit: Provenance
    patch: AppliedPatch | None = None
    notes: tuple[str, ...] = ()

    @property
    def tree(self) -> str:
        """The commit whose tree is the training's code."""
        return self.commit.value if self.patch is None else self.patch.tree


def find_code(record: RunRecord, settings: Settings, open_repository: OpenRepository) -> Code:
    """Find the code of a run.

    Where the recorded commit was never pushed, its pushed ancestor and the patch from there stand for it. Raises
    MissingFact where a fact is missing, or a recorded patch does not apply whole; RepositoryUnavailable.
    """
    ours = settings.commit is not None or settings.allows("dirty")
    patch = None if ours else recorded_patch(record)
    since = None if ours else patch_since_pushed(record)
    clean = check_clean(record, settings) if patch is None and since is None else None
    commit = recorded_commit(record, settings)
    try:
        repository, mirror = open_repository(commit.value)
        commit = commit.model_copy(update={"value": mirror.resolve_commit(commit.value)})
    except MissingFact as missing:
        if since is None or since.base is None or missing.fact not in ("commit", "repository"):
            raise
        repository, mirror = open_repository(since.base)
        commit, patch = _ancestor(commit, since, mirror.resolve_commit(since.base)), since
    if patch is None:
        return Code(repository=repository, mirror=mirror, commit=commit, notes=() if clean is None else (clean,))
    applied = _apply(patch, commit.value, mirror, record, settings)
    return Code(
        repository=repository, mirror=mirror, commit=commit, patch=applied, notes=(_note(patch, applied, commit),)
    )


def _ancestor(commit: Provenance, since: RecordedPatch, base: str) -> Provenance:
    unpushed = Considered(source=commit.source, value=commit.value, reason="the repository does not have it")
    return Provenance(fact="commit", value=base, source=since.source, considered=(unpushed, *commit.considered))


def _apply(patch: RecordedPatch, commit: str, mirror: Mirror, record: RunRecord, settings: Settings) -> AppliedPatch:
    from runner.repository.patched import PatchRefused, commit_patched

    data = patch.text.encode("utf-8", "replace")
    problem = patch.problem
    try:
        tree, paths = ("", ()) if problem is not None else commit_patched(mirror, commit, data)
    except PatchRefused as refused:
        problem = str(refused)
    if problem is not None:
        raise MissingFact(
            f"the run was made with changes that no commit holds, and {patch.source} cannot be applied to "
            f"{commit[:12]}: {problem}",
            command_again(record, settings, "--allow dirty") + "   # reruns the commit without these changes",
            fact="diff",
            looked_in=(patch.source,),
        )
    return AppliedPatch(source=patch.source, sha256=hashlib.sha256(data).hexdigest(), paths=paths, tree=tree)


def _note(patch: RecordedPatch, applied: AppliedPatch, commit: Provenance) -> str:
    files = applied.paths[0] if len(applied.paths) == 1 else f"{len(applied.paths)} files, such as {applied.paths[0]}"
    on = commit.value[:12]
    if patch.base is not None and commit.considered:
        on += f", the pushed ancestor of {commit.considered[0].value[:12]}, which the repository does not have"
    return f"patch applied: {patch.source} ({files}) on {on}; files that git did not track are in no patch"
