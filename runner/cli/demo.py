"""`runner demo`: a real project, made as its author would have, and four verdicts on it."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from runner.cli import options as o
from runner.cli.console import open_progress

if TYPE_CHECKING:
    from runner.schema.reproduction import Reproduction
    from runner.settings import Settings

Folder = Annotated[
    Optional[str],  # noqa: UP045  # Typer evaluates it on Python 3.10 as well
    typer.Argument(metavar="FOLDER", help="Where to make the project; kept then.", show_default=False),
]
InstallEngine = Annotated[
    bool,
    typer.Option("--install-engine", help="Install and start Debian's docker.io where no engine answers (root)."),
]
KeepProject = Annotated[bool, typer.Option("--keep", help="Keep the project, in ./runner-demo unless named.")]


def demo(
    folder: Folder = None,
    install_engine: InstallEngine = False,
    keep: KeepProject = False,
    base_image: o.BaseImage = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_color: o.NoColor = False,
    debug: o.Debug = False,  # read by the entry point
) -> int:
    """Make a real project with recorded runs, reproduce four of them, and say what to type next.

    Exit 0 only if every verdict is the expected one.
    """
    from runner import prepare
    from runner.demo.flow import demo_exit_code, run_demo
    from runner.reproduce import reproduce

    with (
        open_progress(quiet=quiet, verbose=False, no_color=no_color) as progress,
        prepare.opened_engine(progress, install_engine=install_engine) as engine,
    ):

        def reproduced(run: str, settings: Settings) -> Reproduction:
            return reproduce(run, settings, progress=progress, engine=engine).reproduction

        results = run_demo(
            Path(folder) if folder is not None else None,
            keep=keep,
            progress=progress,
            engine=engine,
            reproduce=reproduced,
            show=(lambda _: None) if json else typer.echo,
            base_image=base_image,
            install=install_engine,
        )
    if json:
        typer.echo(json_module.dumps([result.to_json() for result in results], indent=2))
    return demo_exit_code(results)
