"""`runner check RUN...`: which runs can be audited, and which facts the others lack."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from runner.cli import options as o
from runner.cli.console import open_progress

if TYPE_CHECKING:
    from runner.trackers.interface import Selection

_SELECTION = "Which runs"

Runs = Annotated[
    Optional[list[str]],  # noqa: UP045  # Typer evaluates it on Python 3.10 as well
    typer.Argument(metavar="[RUN...]", help="Runs, each as `plan` takes it.", show_default=False),
]
Experiments = Annotated[
    o.Many,
    typer.Option("--experiment", metavar="NAME", help="All runs of an experiment.", rich_help_panel=_SELECTION),
]
Since = Annotated[
    o.Text,
    typer.Option(
        "--since", metavar="TIME", help="Started since: 2024-01-31, or 90d for as long ago.",
        rich_help_panel=_SELECTION,
    ),
]  # fmt: skip
Until = Annotated[
    o.Text,
    typer.Option("--until", metavar="TIME", help="Started before.", rich_help_panel=_SELECTION),
]
Filter = Annotated[
    o.Text,
    typer.Option(
        "--filter", metavar="TEXT", help="As MLflow's search_runs takes it: \"metrics.auc > 0.9\".",
        rich_help_panel=_SELECTION,
    ),
]  # fmt: skip


def check(
    runs: Runs = None,
    experiment: Experiments = None,
    since: Since = None,
    until: Until = None,
    filter_: Filter = None,
    tracker: o.Tracker = None,
    registry_uri: o.RegistryUri = None,
    repo: o.Repo = None,
    remote: o.Remote = None,
    python: o.Python = None,
    index_dates: o.IndexDates = None,
    base_image: o.BaseImage = None,
    allow: o.Allow = None,
    policy: o.PolicyFile = None,
    offline: o.Offline = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,
) -> int:
    """Say for each run whether it can be audited, and what it lacks. Starts no container.

    Exit codes: 0 all can be audited, 2 usage or no run matches, 3 some cannot, 5 could not look.
    """
    flags = o.typed({**locals(), "argv": None, "with_": None})  # first: nothing but options is a local yet
    from runner.checking import check_runs
    from runner.errors import UsageError
    from runner.report.check import render_check
    from runner.settings import load_settings

    selection = _selection(experiment or [], since, until, filter_)
    if not runs and selection is None:
        raise UsageError("no run is named or selected", "runner check RUN...    or --experiment NAME, --since 90d")
    settings = load_settings(flags)
    with open_progress(quiet=quiet, verbose=False, no_color=no_color) as progress:
        checked = check_runs(runs or [], selection, settings, progress)
    if json:
        typer.echo(checked.to_json(indent=2))
    else:
        typer.echo(render_check(checked, width=shutil.get_terminal_size((140, 24)).columns), nl=False)
    return checked.exit_code


def _selection(experiments: list[str], since: str | None, until: str | None, filter_: str | None) -> Selection | None:
    from runner.trackers.interface import Selection

    if not experiments and since is None and until is None and filter_ is None:
        return None
    return Selection(
        experiments=tuple(dict.fromkeys(experiments)),
        since_ms=_moment("--since", since),
        until_ms=_moment("--until", until),
        filter=filter_,
    )


def _moment(flag: str, text: str | None) -> int | None:
    """Return a moment in milliseconds since 1970: a date or time of ISO 8601, in UTC, or how long ago."""
    from runner.errors import UsageError
    from runner.schema.notation import parse_duration

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        try:
            moment = datetime.now(timezone.utc) - timedelta(seconds=parse_duration(text))
        except (ValueError, OverflowError):
            raise UsageError(f"{flag} {text!r} is no time", f"{flag} 2024-01-31, or {flag} 90d") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() * 1000)
