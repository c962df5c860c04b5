"""`runner setup`: make what reruns need, or remove it. Nobody has to call it first."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import Annotated

import typer

from runner.cli import options as o
from runner.cli.console import open_progress

InstallEngine = Annotated[
    bool,
    typer.Option("--install-engine", help="Install and start Debian's docker.io where no engine answers (root)."),
]
Compilers = Annotated[
    bool, typer.Option("--compilers", help="Also the image with compilers, which is else made when first needed.")
]
Prune = Annotated[bool, typer.Option("--prune", help="List sizes and remove what is outdated.")]
Everything = Annotated[bool, typer.Option("--all", help="With --prune: also the current images and all caches.")]


def setup(
    install_engine: InstallEngine = False,
    python: o.Python = None,
    base_image: o.BaseImage = None,
    system_packages: o.SystemPackages = None,
    compilers: Compilers = False,
    prune: Prune = False,
    everything: Everything = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,  # read by the entry point
) -> int:
    """Find the container engine and make the images and caches that reruns need. Idempotent."""
    from runner import prepare as flow
    from runner.errors import UsageError
    from runner.settings import Flags, resolve_settings

    names = resolve_settings(Flags(system_packages=tuple(system_packages or ())), {}).system_packages
    if everything and not prune:
        raise UsageError("--all goes with --prune", "runner setup --prune --all")
    with (
        open_progress(quiet=quiet, verbose=False, no_color=no_color) as progress,
        flow.opened_engine(progress, install_engine=install_engine) as engine,
    ):
        if prune:
            pruned = flow.prune(engine, everything=everything)
            if json:
                document = {
                    "removed": [asdict(one) for one in pruned.removed],
                    "kept": [asdict(one) for one in pruned.kept],
                }
                typer.echo(json_module.dumps(document, indent=2))
                return 0
            for verb, holdings in (("removed", pruned.removed), ("kept", pruned.kept)):
                for one in holdings:
                    typer.echo(f"{verb:8} {(one.size_bytes or 0) / 1e6:10.1f} MB  {one.kind:6} {one.name}")
            return 0
        prepared = flow.prepare(
            engine,
            python=python,
            base_image=base_image,
            system_packages=names,
            compilers=compilers,
            progress=progress,
            install=install_engine,
        )
    if json:
        typer.echo(json_module.dumps(asdict(prepared), indent=2))
        return 0
    info = prepared.engine
    typer.echo(f"engine  {info.name} {info.version} at {info.address}")
    typer.echo(f"base    {prepared.base.reference}  Python {prepared.base.python}  {prepared.base.origin}")
    typer.echo(f"tools   {prepared.tools}")
    if prepared.train is not None:
        plain = [name.partition("=")[0] for name in names]
        versions = ", ".join(f"{name} {prepared.train.installed.get(name, '')}" for name in plain)
        typer.echo(f"train   {prepared.train.reference}  {versions}")
    if prepared.build is None:
        typer.echo("build   made when something must be built (--compilers)")
    else:
        typer.echo(
            f"build   {prepared.build.reference}  gcc {prepared.build.installed.get('gcc', 'of the base image')}"
        )
    typer.echo(f"cache   volume {prepared.cache_volume}")
    made = ", ".join(prepared.made) if prepared.made else "all was there"
    typer.echo(f"ready in {prepared.seconds:.1f} s: {made}")
    return 0
