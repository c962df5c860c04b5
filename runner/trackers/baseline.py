"""The digest of what a record says of a run's results, to tell whether it changed between two reads."""

from __future__ import annotations

from runner.schema.base import canonical_digest
from runner.schema.run_record import RunRecord


def baseline_digest(record: RunRecord) -> str:
    """Return `sha256:HEX` over status, times, params, tags and metric histories (VERDICTS rule 13)."""
    fields = {"status", "start_time", "end_time", "params", "tags", "metrics"}
    document = record.model_dump(mode="json", include=fields)
    document["metrics"] = sorted(document["metrics"], key=lambda history: str(history["name"]))
    return canonical_digest(document)
