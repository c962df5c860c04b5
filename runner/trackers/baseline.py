"""The digest of what a record says of a run's results, to tell whether it changed between two reads."""

from __future__ import annotations

from runner.schema.base import canonical_digest
from runner.schema.run_record import RunRecord

_FIELDS = frozenset(
    {
        "name",
        "status",
        "lifecycle_stage",
        "start_time",
        "end_time",
        "params",
        "tags",
        "metrics",
        "artifacts",
        "dataset_inputs",
    }
)


def baseline_digest(record: RunRecord) -> str:
    """Return `sha256:HEX` over what a rerun is matched and compared with (VERDICTS rule 13).

    Of artifacts that is those with a digest: others may be added by anybody who evaluates a model.
    """
    document = record.model_dump(mode="json", include=set(_FIELDS))
    document["metrics"] = sorted(document["metrics"], key=lambda history: str(history["name"]))
    document["artifacts"] = sorted(
        f"{artifact['path']} {artifact['digest']}" for artifact in document["artifacts"] if artifact["digest"]
    )
    return canonical_digest(document)
