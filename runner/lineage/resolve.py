"""RunRecord and RepositorySnapshot in, Lineage out."""

from __future__ import annotations

from collections.abc import Sequence

from runner.lineage.commit import proves_clean, recorded_otherwise, records_commit
from runner.lineage.files import resolve_files
from runner.lineage.pipeline import Stage
from runner.lineage.training import training_notes
from runner.redact import redact
from runner.schema.lineage import Lineage, Provenance
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings, facts_of_commit


def commit_facts(snapshot: RepositorySnapshot, settings: Settings) -> CommitFacts:
    """Return what `runner.yaml` at the run's commit supplies: facts, and terms only with `--allow policy`."""
    return facts_of_commit(snapshot.texts.get(FILE_NAME), allow_policy=settings.allows("policy"))


def resolve_lineage(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    repository: Provenance,
    commit: Provenance,
    notes: Sequence[str] = (),
    own_stages: tuple[Stage, ...] | None = None,
) -> Lineage:
    """Return code and data of a run, each fact with its source.

    `repository` and `commit` are the provenances that led to the snapshot; `notes` what was found on the way (of
    `check_commits_agree`); `own_stages` the stages that the run's command runs, where it is known. Raises MissingFact
    or AmbiguousFact as `resolve_files` does.
    """
    facts = commit_facts(snapshot, settings)
    files, found = resolve_files(record, snapshot, settings, facts, own_stages)
    found = found if facts.problem is None else (*found, facts.problem)
    return Lineage(
        repository=snapshot.url,
        commit=snapshot.commit,
        recorded_commit=recorded_otherwise(record, settings, snapshot.commit),
        commit_known=records_commit(record, settings),
        clean=proves_clean(record, settings),
        files=files,
        provenance=(
            repository.model_copy(update={"value": redact(repository.value)}),
            commit.model_copy(update={"value": snapshot.commit}),
            *(
                Provenance(
                    fact=f"digest of {file.path}",
                    value=str(file.digest),
                    source=file.source,
                    considered=file.considered,
                )
                for file in files
            ),
        ),
        notes=(*notes, *training_notes(record), *found),
    )
