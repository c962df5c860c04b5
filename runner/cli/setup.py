"""`runner setup`: make what reruns need, remove it, carry it elsewhere. Nobody has to call it first."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from runner.cli import options as o
from runner.cli.console import open_progress

if TYPE_CHECKING:
    from runner.cache.prune import Pruned
    from runner.cache.transfer import Loaded, Saved
    from runner.prepare import Prepared

InstallEngine = Annotated[
    bool,
    typer.Option("--install-engine", help="Install and start Debian's docker.io where no engine answers (root)."),
]
Compilers = Annotated[
    bool, typer.Option("--compilers", help="Also the image with compilers, which is else made when first needed.")
]
Parsed = TypeVar("Parsed")

_PRUNE = "Taking away"
_CARRY = "To a machine without internet"
Prune = Annotated[
    bool,
    typer.Option("--prune", help="List sizes and remove what is outdated or broke off.", rich_help_panel=_PRUNE),
]
OlderThan = Annotated[
    o.Text,
    typer.Option(
        "--older-than", metavar="TIME", help="With --prune: what nobody used for so long, as 30d.",
        rich_help_panel=_PRUNE, show_default=False,
    ),
]  # fmt: skip
KeepSize = Annotated[
    o.Text,
    typer.Option(
        "--keep-size", metavar="SIZE", help="With --prune: the longest unused, until the cache is no larger, as 20g.",
        rich_help_panel=_PRUNE, show_default=False,
    ),
]  # fmt: skip
Everything = Annotated[
    bool, typer.Option("--all", help="With --prune: the current images and all caches.", rich_help_panel=_PRUNE)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With --prune: remove nothing, say what would go.", rich_help_panel=_PRUNE)
]
Save = Annotated[
    o.Text,
    typer.Option(
        "--save", metavar="FILE", help="Write images, wheels and environments to a file (.tar or .tar.gz).",
        rich_help_panel=_CARRY, show_default=False,
    ),
]  # fmt: skip
Load = Annotated[
    o.Text,
    typer.Option(
        "--load", metavar="FILE", help="Take in what another machine saved.",
        rich_help_panel=_CARRY, show_default=False,
    ),
]  # fmt: skip


def setup(
    install_engine: InstallEngine = False,
    python: o.Python = None,
    base_image: o.BaseImage = None,
    system_packages: o.SystemPackages = None,
    compilers: Compilers = False,
    prune: Prune = False,
    older_than: OlderThan = None,
    keep_size: KeepSize = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    save: Save = None,
    load: Load = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,  # read by the entry point
) -> int:
    """Find the container engine and make the images and caches that reruns need. Idempotent."""
    from runner import prepare as flow
    from runner.schema.notation import parse_bytes, parse_duration
    from runner.settings import Flags, resolve_settings

    names = resolve_settings(Flags(system_packages=tuple(system_packages or ())), {}).system_packages
    limits = {"all": everything, "older-than": older_than, "keep-size": keep_size, "dry-run": dry_run}
    _check({"prune": prune, "save": save, "load": load}, limits)
    older_than_s = _parsed("--older-than", older_than, parse_duration)
    keep_bytes = _parsed("--keep-size", keep_size, parse_bytes)
    with (
        open_progress(quiet=quiet, verbose=False, no_color=no_color) as progress,
        flow.opened_engine(progress, install_engine=install_engine) as engine,
    ):
        if prune:
            from runner.cache.prune import prune as take_away
            from runner.planning import package_sources_folder

            pruned = take_away(
                engine,
                everything=everything,
                older_than_s=older_than_s,
                keep_bytes=keep_bytes,
                dry_run=dry_run,
                package_sources=package_sources_folder(),
                progress=progress,
            )
            return _say(pruned, _pruned_lines(pruned, dry_run=dry_run), json=json)
        if save is not None:
            from runner.cache.transfer import save as write

            saved = write(engine, Path(save), python=python, base_image=base_image, progress=progress)
            return _say(saved, _saved_lines(saved), json=json)
        if load is not None:
            from runner.cache.transfer import load as read

            loaded = read(engine, Path(load), progress=progress)
            return _say(loaded, _loaded_lines(loaded), json=json)
        prepared = flow.prepare(
            engine,
            python=python,
            base_image=base_image,
            system_packages=names,
            compilers=compilers,
            progress=progress,
            install=install_engine,
        )
    return _say(prepared, _prepared_lines(prepared, names), json=json)


def _check(ways: dict[str, Any], limits: dict[str, Any]) -> None:
    """Raise UsageError for options that cannot be meant together."""
    from runner.errors import UsageError

    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} are two commands", f"runner setup --{given[0]}")
    for name, value in limits.items():
        if value and not ways["prune"]:
            raise UsageError(f"--{name} goes with --prune", f"runner setup --prune --{name}")


def _parsed(flag: str, text: str | None, parse: Callable[[str], Parsed]) -> Parsed | None:
    from runner.errors import InvalidConfiguration

    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise InvalidConfiguration(f"{flag}: {error}", "runner setup --help") from error


def _say(result: Any, lines: Iterable[str], *, json: bool) -> int:
    if json:
        typer.echo(json_module.dumps(asdict(result), indent=2))
    else:
        for line in lines:
            typer.echo(line)
    return 0


def _pruned_lines(pruned: Pruned, *, dry_run: bool) -> Iterator[str]:
    for verb, holdings in (("would go" if dry_run else "removed", pruned.removed), ("kept", pruned.kept)):
        for one in holdings:
            name = one.name or f"{one.count}"
            when = "" if one.unused_s is None else f"  unused for {one.unused_s / 86400:.1f} days"
            use = "  in use" if one.in_use else ""
            yield f"{verb:8} {(one.size_bytes or 0) / 1e6:10.1f} MB  {one.kind:14} {name}{use or when}"
        total = sum(one.size_bytes or 0 for one in holdings)
        yield f"{verb:8} {total / 1e6:10.1f} MB  in all"


def _saved_lines(saved: Saved) -> Iterator[str]:
    yield f"saved   {saved.file}  {saved.size_bytes / 1e6:.1f} MB for {saved.platform}"
    yield f"images  on {', '.join(saved.bases)}"
    yield f"digest  {saved.digest}"
    yield f"there   runner setup --load {Path(saved.file).name}    must print the same digest"


def _loaded_lines(loaded: Loaded) -> Iterator[str]:
    yield f"loaded  {loaded.file}  {len(loaded.images)} images, {loaded.environments} environments that were not there"
    yield f"digest  {loaded.digest}"
    yield "next    runner reproduce RUN --offline"


def _prepared_lines(prepared: Prepared, names: Sequence[str]) -> Iterator[str]:
    info = prepared.engine
    yield f"engine  {info.name} {info.version} at {info.address}"
    yield f"base    {prepared.base.reference}  Python {prepared.base.python}  {prepared.base.origin}"
    yield f"tools   {prepared.tools}"
    if prepared.train is not None:
        plain = [name.partition("=")[0] for name in names]
        versions = ", ".join(f"{name} {prepared.train.installed.get(name, '')}" for name in plain)
        yield f"train   {prepared.train.reference}  {versions}"
    if prepared.build is None:
        yield "build   made when something must be built (--compilers)"
    else:
        yield f"build   {prepared.build.reference}  gcc {prepared.build.installed.get('gcc', 'of the base image')}"
    yield f"cache   volume {prepared.cache_volume}"
    made = ", ".join(prepared.made) if prepared.made else "all was there"
    yield f"ready in {prepared.seconds:.1f} s: {made}"
