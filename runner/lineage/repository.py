"""Where the code of a run is: `--repo`, configuration, the record, then repositories that lie near."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.errors import MissingFact
from runner.lineage.recorded import named
from runner.lineage.remedy import command_again
from runner.redact import redact
from runner.schema.lineage import Considered, Provenance
from runner.schema.run_record import RunRecord
from runner.settings import Settings

RECORDED_UNDER = (
    "mlflow.source.git.repoURL",
    "git_repo_url",
    "mlflow.gitRepoURL",
    "mlflow.git.repo_url",
    "git_repository",
    "git_remote",
    "repo_url",
)


def repository_location(record: RunRecord, settings: Settings, nearby: Sequence[tuple[str, str]] = ()) -> Provenance:
    """Return what git is to be given, with its source and what else was considered.

    `nearby` are (location, source) pairs in order: the work tree of the current directory, the repository that
    contains the tracker's own files. The caller offers only those that hold the commit. A recorded location that git
    could run commands for, or that is a drive of another machine, is passed over. Raises MissingFact.
    """
    hits: list[tuple[str, str]] = []
    considered: list[Considered] = []
    if settings.repo:
        hits.append((settings.repo, settings.source("repo")))
    for found in named(record, RECORDED_UNDER):
        reason = _unusable(found.value)
        if reason:
            considered.append(Considered(source=found.source, value=redact(found.value), reason=reason))
        else:
            hits.append((found.value, found.source))
    hits.extend(nearby)
    if not hits:
        raise MissingFact(
            "the run does not record its repository, and the current directory holds no repository with its commit",
            command_again(record, settings, "--repo URL_OR_PATH"),
            fact="repository",
            looked_in=(
                "--repo",
                "runner.yaml",
                *(f"tag {name}" for name in RECORDED_UNDER[:2]),
                "the current directory",
            ),
            nearest=tuple(f"{item.source} = {item.value}: {item.reason}" for item in considered),
        )
    (value, source), *rest = hits
    considered += [
        Considered(source=other, value=redact(location), reason=f"{source} comes first")
        for location, other in rest
        if location != value
    ]
    return Provenance(fact="repository", value=value, source=source, considered=tuple(considered))


def _unusable(location: str) -> str | None:
    if location.startswith("-") or re.match(r"[A-Za-z0-9]+::", location):
        return "not a location that git may be given: it could run a command"
    if re.match(r"(file:/*)?[A-Za-z]:[\\/]", location) or location.startswith("\\\\"):
        return "a drive of another machine"
    return None
