"""`runner plan RUN`: what would be rerun, and where every fact was found."""

from __future__ import annotations

import shutil

import typer

from runner.cli import options as o
from runner.cli.console import open_progress


def plan(
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
    policy: o.PolicyFile = None,
    timeout: o.Timeout = None,
    memory: o.Memory = None,
    cpus: o.Cpus = None,
    pids_limit: o.PidsLimit = None,
    shm_size: o.ShmSize = None,
    gpus: o.Gpus = None,
    lfs_limit: o.LfsLimit = None,
    offline: o.Offline = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,
) -> int:
    """Print what would be rerun, with the source of every fact. Starts no container."""
    flags = o.typed(locals())  # first: nothing but options is a local yet
    from runner.planning import plan_run
    from runner.report.plan import render_plan
    from runner.settings import load_settings

    settings = load_settings(flags)
    with open_progress(quiet=quiet, verbose=False, no_color=no_color) as progress:
        planned = plan_run(run, settings, progress=progress)
    if json:
        typer.echo(planned.to_json(indent=2))
    else:
        typer.echo(render_plan(planned, width=shutil.get_terminal_size((100, 24)).columns), nl=False)
    return 0
