"""Remedies that can be pasted: the same command again, with the flag that supplies what is missing."""

from __future__ import annotations

import shlex

from runner.redact import redact
from runner.schema.run_record import RunRecord
from runner.settings import Settings


def command_again(record: RunRecord, settings: Settings, *flags: str) -> str:
    """Return `runner reproduce RUN` with the tracker where it was typed, and with `flags` as they are."""
    words = ["runner", "reproduce", shlex.quote(record.run_id)]
    if settings.source("tracker") == "--tracker":
        words += ["--tracker", shlex.quote(redact(record.uri))]
    return " ".join((*words, *flags))
