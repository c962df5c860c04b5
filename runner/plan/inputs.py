"""Files that the auditor pins by a digest, in the place of data that a run read from a database or a service."""

from __future__ import annotations

from runner.redact import redact
from runner.schema.plan import SuppliedFile
from runner.settings import Settings


def pinned_inputs(settings: Settings) -> tuple[SuppliedFile, ...]:
    """Return the files that `inputs` of the auditor's `runner.yaml` has put into the workspace; never the commit's."""
    return tuple(
        SuppliedFile(
            kind="input",
            path=pin.path,
            digest=pin.digest,
            source=redact(pin.source),
            dataset=name,
        )
        for name, pin in sorted(settings.inputs.items())
    )
