"""Remedies that can be pasted: the same command again, with the flag that supplies what is missing."""

from __future__ import annotations

import shlex

from runner.redact import redact
from runner.schema.run_record import RunRecord
from runner.settings import PASTED, Settings


def typed_again(settings: Settings, run: str) -> list[str]:
    """Return the words of `runner reproduce RUN` with the tracker and the registry that were typed or pasted."""
    words = ["runner", "reproduce", shlex.quote(redact(run))]
    for name in ("tracker", "registry_uri"):
        flag, value = "--" + name.replace("_", "-"), getattr(settings, name)
        if value is not None and settings.source(name) in (flag, PASTED):
            words += [flag, shlex.quote(redact(value))]
    return words


def command_again(record: RunRecord, settings: Settings, *flags: str) -> str:
    """Return `runner reproduce RUN` with `flags` as they are.

    What was typed of tracker, repository, commit, remote and Python is repeated.
    """
    words = typed_again(settings, settings.model or record.run_id)
    if settings.run_of_model is not None:
        words += ["--run", shlex.quote(redact(settings.run_of_model))]
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
