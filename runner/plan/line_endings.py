"""Digests that a run recorded of files which git holds, perhaps with the line endings of the author's machine."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.schema.lineage import Lineage
from runner.schema.plan import SuppliedFile
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import CommittedFile
from runner.settings import Settings

_HASH = re.compile(r"(?:(?:md5|sha256):)?(?P<hex>[0-9a-f]{64}|[0-9a-f]{32})", re.IGNORECASE)


def recorded_hashes(record: RunRecord, lineage: Lineage) -> dict[str, str]:
    """Return each tag, param and dataset digest that is a hash of something and of no file of the lineage.

    Maps hexadecimal digits to where they stand. Ids of runs have the form of one, and are those of no file.
    """
    known = {file.digest.hexdigest for file in lineage.files}
    found: dict[str, str] = {}
    entries = [(f"tag {name}", text) for name, text in record.tags.items() if not name.startswith("mlflow.")]
    entries += [(f"param {name}", text) for name, text in record.params.items()]
    entries += [(f"dataset {dataset.name}", dataset.digest or "") for dataset in record.dataset_inputs]
    for source, text in entries:
        match = _HASH.fullmatch(text.strip())
        if match is not None and match["hex"].lower() not in known:
            found.setdefault(match["hex"].lower(), source)
    return found


def mended_files(committed: Iterable[CommittedFile], settings: Settings) -> tuple[SuppliedFile, ...]:
    """Return the files that the workspace gets with other line endings than git holds, where the auditor allows it."""
    if not settings.allows("line-endings"):
        return ()
    return tuple(
        SuppliedFile(kind="git", path=file.path, digest=file.digest, source=f"git, {file.mended}")
        for file in committed
        if file.mended is not None
    )
