"""`runner reproduce RUN`: rerun a recorded run and give a verdict."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import typer

from runner.cli import options as o
from runner.cli.console import open_progress, use_color

if TYPE_CHECKING:
    from runner.schema.reproduction import Reproduction


def reproduce(
    run: o.Run,
    argv: o.Argv = None,
    tracker: o.Tracker = None,
    registry_uri: o.RegistryUri = None,
    run_of_model: o.RunOfModel = None,
    repo: o.Repo = None,
    commit: o.Commit = None,
    remote: o.Remote = None,
    pull: o.Pull = None,
    command: o.Command = None,
    pointer: o.Pointer = None,
    warm_start: o.WarmStart = None,
    python: o.Python = None,
    with_: o.With = None,
    index_dates: o.IndexDates = None,
    base_image: o.BaseImage = None,
    system_packages: o.SystemPackages = None,
    rtol: o.Rtol = None,
    atol: o.Atol = None,
    metric: o.Metric = None,
    allow: o.Allow = None,
    require: o.Require = None,
    require_complete: o.RequireComplete = False,
    policy: o.PolicyFile = None,
    timeout: o.Timeout = None,
    memory: o.Memory = None,
    cpus: o.Cpus = None,
    pids_limit: o.PidsLimit = None,
    shm_size: o.ShmSize = None,
    gpus: o.Gpus = None,
    lfs_limit: o.LfsLimit = None,
    offline: o.Offline = False,
    keep: o.Keep = False,
    out: o.Out = None,
    json: o.Json = False,
    all_: o.All = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,
) -> int:
    """Rerun a recorded run in sealed containers, compare, and give a verdict.

    It reruns the recorded commit, so it says nothing about today's code.
    Exit codes: 0 identical or reproduced, 1 diverged, 2 usage, 3 unverifiable, 4 failed, 5 infrastructure.
    """
    flags = o.typed(locals())  # first: nothing but options is a local yet
    from runner.report.text import render_text
    from runner.reproduce import reproduce as flow
    from runner.settings import load_settings
    from runner.verdict.policy import requirement_met

    settings = load_settings(flags)
    with open_progress(quiet=quiet, verbose=verbose, no_color=no_color) as progress:
        done = flow(run, settings, progress=progress)
    reproduction = done.reproduction
    if json:
        typer.echo(reproduction.to_json(indent=2))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        color = use_color(no_color=no_color)
        text = render_text(reproduction, width=width, color=color, show_all=all_, evidence_path=done.evidence_shown)
        typer.echo(text, nl=False)
    if done.kept is not None:
        _say_kept(reproduction, done.kept)
    code = reproduction.verdict.exit_code
    if code == 0 and not requirement_met(reproduction, settings.policy):
        typer.echo("below what --require asks for", err=True)
        return 1
    return code


def _say_kept(reproduction: Reproduction, name: str) -> None:
    from runner.engine.labels import cache_volume
    from runner.rerun.kept import removal_command, shell_command

    if reproduction.plan is not None and reproduction.rerun is not None:
        shell = shell_command(reproduction.plan, reproduction.rerun, name=name, volume=cache_volume())
        typer.echo(f"kept: the workspace; to open a shell in it:\n  {shell}", err=True)
        typer.echo(f"to remove it:\n  {removal_command(reproduction.plan, name=name, volume=cache_volume())}", err=True)
