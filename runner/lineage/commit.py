"""Which commit a run was made from, whether its records agree, and whether the work tree was clean."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.recorded import Recorded, like, named, says_yes
from runner.lineage.remedy import command_again
from runner.redact import redact
from runner.schema.lineage import Considered, Provenance
from runner.schema.run_record import RunRecord
from runner.settings import Settings

RECORDED_UNDER = ("git_commit", "git_sha", "mlflow.source.git.commit", "wandb.git.commit")
_VARIANTS = frozenset(
    {
        "commit",
        "commit_hash",
        "commit_id",
        "commit_sha",
        "git_commit",
        "git_commit_hash",
        "git_commit_id",
        "git_commit_sha",
        "git_hash",
        "git_head",
        "git_rev",
        "git_revision",
        "git_sha",
        "git_sha1",
        "mlflow_git_commit",
        "source_commit",
    }
)
_DIRTY = frozenset({"mlflow_source_git_dirty", "mlflow_git_dirty", "git_dirty", "git_is_dirty", "dirty", "is_dirty"})
_NOT_DIRTY = frozenset({"false", "0", "no", "n", "clean"})
_CLEAN = frozenset({"git_clean", "git_is_clean"})
_DIFFS = frozenset({"mlflow_source_git_diff", "mlflow_git_diff", "git_diff"})
_SHA = re.compile(r"[0-9a-f]{7,40}|[0-9a-f]{64}")
_DESCRIBED = re.compile(r".*-g([0-9a-f]{7,40})")
_DIRTY_SUFFIX = re.compile(r"[-+]dirty$", re.IGNORECASE)


def recorded_commit(record: RunRecord, settings: Settings) -> Provenance:
    """Return the commit as it was given or recorded, which may be short, with what else was considered.

    Order: `--commit`, configured tags, `git_commit`, `git_sha`, `mlflow.source.git.commit`, close variants, each in
    tags before params. Raises MissingFact where none names a commit.
    """
    hits, considered = _commits(record, settings)
    if settings.commit:
        hits.insert(0, (settings.commit, settings.source("commit")))
    if not hits:
        raise MissingFact(
            "the run does not record the commit that it was made from",
            command_again(record, settings, "--commit SHA"),
            fact="commit",
            looked_in=("--commit", "tags.commit in runner.yaml", *(f"tag {name}" for name in RECORDED_UNDER)),
            nearest=tuple(f"{item.source} = {item.value}: {item.reason}" for item in considered),
        )
    (value, source), *rest = hits
    for other, other_source in rest:
        reason = f"says the same as {source}" if _same(other, value) else f"{source} comes first"
        considered.append(Considered(source=other_source, value=other, reason=reason))
    return Provenance(fact="commit", value=value, source=source, considered=tuple(considered))


def disagreeing_commits(record: RunRecord, settings: Settings) -> tuple[Provenance, ...]:
    """Return the recorded commits that differ, each once, the one in use first; empty where they agree.

    Empty too with `--commit`: the auditor has decided.
    """
    if settings.commit:
        return ()
    distinct: list[tuple[str, str]] = []
    for value, source in _commits(record, settings)[0]:
        if not any(_same(value, other) for other, _ in distinct):
            distinct.append((value, source))
    if len(distinct) < 2:
        return ()
    return tuple(Provenance(fact="commit", value=value, source=source) for value, source in distinct)


def check_commits_agree(
    commits: Sequence[Provenance],
    changed_paths: Sequence[str] | None,
    record: RunRecord,
    settings: Settings,
) -> str | None:
    """Return a note where commits that disagree differ in pointer files only; None where nothing disagrees.

    `commits` are those of `disagreeing_commits`, `changed_paths` all paths that differ between the first and any
    other; None where one of them is not in the repository. Raises AmbiguousFact that shows them.
    """
    if len(commits) < 2:
        return None
    shown = " and ".join(f"{commit.value[:12]} ({commit.source})" for commit in commits)
    code = None if changed_paths is None else sorted(path for path in changed_paths if not is_pointer_file(path))
    if code == []:
        return f"recorded commits disagree in pointer files only: {shown}; {commits[0].value[:12]} is used"
    difference = (
        "one of them is not in the repository"
        if code is None
        else "they differ in " + ", ".join(code[:3]) + (f" and {len(code) - 3} more files" if len(code) > 3 else "")
    )
    raise AmbiguousFact(
        f"the run records commits that disagree: {shown}; {difference}",
        command_again(record, settings, f"--commit {commits[0].value}"),
        fact="commit",
        looked_in=tuple(commit.source for commit in commits),
        nearest=tuple(f"--commit {commit.value}" for commit in commits),
    )


def is_pointer_file(path: str) -> bool:
    """Tell whether a path is a `.dvc` file, a `dvc.lock`, or a `.gitignore`, which DVC writes along with pointers."""
    name = path.rpartition("/")[2]
    return (name.endswith(".dvc") and name != ".dvc") or name in ("dvc.lock", ".gitignore")


def check_clean(record: RunRecord, settings: Settings) -> str | None:
    """Return None for a run that is not recorded as dirty, and a note where `--allow dirty` lets it pass.

    Raises MissingFact for a dirty one; call it where no recorded patch stands for the changes.
    """
    signs = _dirty_signs(record, settings)
    if not signs:
        return None
    shown = ", ".join(dict.fromkeys(signs))
    if settings.allows("dirty"):
        return f"the work tree had changes that no commit holds ({shown}); the commit alone was rerun (--allow dirty)"
    raise MissingFact(
        f"the run was made from a work tree with changes that no commit holds ({shown})",
        command_again(record, settings, "--allow dirty") + "   # reruns the commit without these changes",
        fact="diff",
        looked_in=tuple(dict.fromkeys(signs)),
    )


def proves_clean(record: RunRecord, settings: Settings) -> bool:
    """Tell whether the record says that the work tree had no changes. MLflow itself records nothing of it."""
    says = [found.value.strip().lower() in _NOT_DIRTY for found in like(record, _DIRTY.__contains__)]
    says += [says_yes(found.value) for found in like(record, _CLEAN.__contains__)]
    return bool(says) and all(says) and not _dirty_signs(record, settings)


def recorded_otherwise(record: RunRecord, settings: Settings, commit: str) -> str | None:
    """Return the commit that the run records where the auditor gave another, None where it records this one or none."""
    recorded = [value for value, _ in _commits(record, settings)[0]] if settings.commit else []
    return None if any(_same(value, commit) for value in recorded) else next(iter(recorded), None)


def records_commit(record: RunRecord, settings: Settings) -> bool:
    """Tell whether anything of the run's record names a commit, right or wrong."""
    return bool(_commits(record, settings)[0])


def _dirty_signs(record: RunRecord, settings: Settings) -> list[str]:
    """Return where the record says that the work tree had changes."""
    signs = [found.source for found in like(record, _DIRTY.__contains__) if says_yes(found.value)]
    signs += [found.source for found in like(record, _CLEAN.__contains__) if not says_yes(found.value)]
    signs += [found.source for found in like(record, _DIFFS.__contains__) if not says_no(found.value)]
    signs += [f"{file.path} of the run" for file in record.patches if file.path == "diff.patch"]
    signs += [
        found.source
        for found in _recorded(record, settings)
        if _DIRTY_SUFFIX.search(found.value.strip("\"' ")) and not settings.commit
    ]
    return signs


def says_no(text: str) -> bool:
    """Tell whether a recorded text means no, or nothing."""
    return text.strip().lower() in ("", "false", "0", "no", "none", "null", "{}", "[]")


def _recorded(record: RunRecord, settings: Settings) -> list[Recorded]:
    """Return all that may name the commit, in order, each entry once."""
    entries = [
        *named(record, settings.commit_tags),
        *named(record, RECORDED_UNDER),
        *like(record, _VARIANTS.__contains__),
    ]
    return list(dict.fromkeys(entries))


def _commits(record: RunRecord, settings: Settings) -> tuple[list[tuple[str, str]], list[Considered]]:
    hits, refused = [], []
    for found in _recorded(record, settings):
        text = _DIRTY_SUFFIX.sub("", found.value.strip("\"' ").lower())
        described = _DESCRIBED.fullmatch(text)
        sha = described[1] if described else text
        if _SHA.fullmatch(sha):
            hits.append((sha, found.source))
        else:
            refused.append(Considered(source=found.source, value=redact(found.value[:80]), reason="not a commit id"))
    return hits, refused


def _same(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
