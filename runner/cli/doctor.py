"""`runner doctor`: what of this machine will do, and what to type where something will not."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict

import typer

from runner.cli import options as o


def doctor(tracker: o.Tracker = None, json: o.Json = False, debug: o.Debug = False) -> int:
    """Say what of this machine will do, a line each, with a command to paste as the remedy. Exit 0 or 5."""
    from pathlib import Path

    from runner.doctor import diagnose, exit_code
    from runner.settings import Flags, load_settings

    settings = load_settings(Flags(tracker=tracker))

    def check_tracker() -> str:
        from runner.trackers.open import open_tracker

        opened = open_tracker(settings.tracker or "mlruns", folder=Path(settings.folder))
        opened.check()
        return f"{opened.uri} answers"

    checks = diagnose(check_tracker=check_tracker if settings.tracker else None)
    if json:
        typer.echo(json_module.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:10} {check.detail}")
            if check.remedy:
                typer.echo(f"      {'':10} try: {check.remedy}")
    return exit_code(checks)
