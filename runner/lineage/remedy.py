"""Remedies that can be pasted: the same command again, with the flag that supplies what is missing."""

from __future__ import annotations

import shlex

from runner.redact import redact
from runner.schema.run_record import RunRecord
from runner.settings import Settings


def command_again(record: RunRecord, settings: Settings, *flags: str) -> str:
    """Return `runner reproduce RUN` with `flags` as they are.

    What was typed of tracker, repository, commit, remote and Python is repeated.
    """
    words = ["runner", "reproduce", shlex.quote(record.run_id)]
    if settings.source("tracker") == "--tracker":
        words += ["--tracker", shlex.quote(redact(record.uri))]
    typed = {
        "--repo": settings.repo,
        "--commit": settings.commit,
        "--remote": settings.remote,
        "--python": settings.python,
    }
    for flag, value in typed.items():
        given_anew = any(word.startswith(flag) for word in flags)
        if value is not None and settings.source(flag.removeprefix("--")) == flag and not given_anew:
            words += [flag, shlex.quote(redact(value))]
    return " ".join((*words, *flags))
