"""Remedies that can be pasted: the same command again, with the option that supplies what is missing."""

from __future__ import annotations

import shlex

from runner.schema.run_record import RunRecord
from runner.settings import Settings


def command_again(record: RunRecord, settings: Settings, options: str = "") -> str:
    """Return `runner reproduce RUN` with all that was typed; `options`, a text as typed, come instead or beside."""
    return settings.invocation.again(settings.model or record.run_id, *shlex.split(options))


def pasted_remedy(remedy: str, record: RunRecord, settings: Settings) -> str:
    """Return a remedy of a phase, which knows neither how the run was named nor what was typed, with both in place."""
    return settings.invocation.pasted(remedy, settings.model or record.run_id)
