"""Where the code of a run is: `--repo`, configuration, the record, then repositories that lie near."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from runner.errors import MissingFact
from runner.lineage.recorded import named
from runner.lineage.remedy import command_again
from runner.lineage.transport import why_refused
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
    "wandb.git.remote",
)


def repository_location(record: RunRecord, settings: Settings, nearby: Sequence[tuple[str, str]] = ()) -> Provenance:
    """Return what git is to be given, with its source and what else was considered.

    `nearby` are (location, source) pairs in order: the work tree of the current directory, the repository that
    contains the tracker's own files. The caller offers only those that hold the commit. A recorded location that nobody
    is to ask for a record's sake is passed over: see `why_refused`. Raises MissingFact.
    """
    hits: list[tuple[str, str]] = []
    considered: list[Considered] = []
    if settings.repo:
        hits.append((settings.repo, settings.source("repo")))
    for found in named(record, RECORDED_UNDER):
        reason = why_refused(found.value, recorded=True)
        if reason:
            considered.append(Considered(source=found.source, value=redact(found.value), reason=reason))
        else:
            hits.append((found.value, found.source))
    hits.extend(nearby)
    if not hits:
        where, place = "the run does not record its repository", "URL_OR_PATH"
        if considered:
            where = f"the recorded repository {considered[0].value} {considered[0].reason}"
            nameable = [
                each.value for each in considered if why_refused(each.value) is None and "***" not in each.value
            ]
            place = shlex.quote(nameable[0]) if nameable else place
        raise MissingFact(
            f"{where}, and the current directory holds no repository with its commit",
            command_again(record, settings, f"--repo {place}")
            + ("" if place == "URL_OR_PATH" else "    if you mean it to be asked"),
            fact="repository",
            looked_in=(
                "--repo",
                "runner.yaml",
                *(f"tag {name}" for name in RECORDED_UNDER[:2]),
                "the current directory",
            ),
            nearest=tuple(f"{item.source} = {item.value} {item.reason}" for item in considered),
        )
    (value, source), *rest = hits
    considered += [
        Considered(source=other, value=redact(location), reason=f"{source} comes first")
        for location, other in rest
        if location != value
    ]
    return Provenance(fact="repository", value=value, source=source, considered=tuple(considered))
