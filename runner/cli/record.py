"""`runner record -- CMD`: run a training so that its runs can be audited."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from runner.cli import options as o

Words = Annotated[
    Optional[list[str]],  # noqa: UP045  # Typer evaluates it on Python 3.10 as well
    typer.Argument(metavar="-- CMD...", help="The command that trains.", show_default=False),
]
Model = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--model", metavar="PATH", help="A model that CMD writes: `dvc add` it, and log its digest to MLflow.",
        show_default=False,
    ),
]  # fmt: skip
Image = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--image", metavar="REF", help="The image that CMD runs in. [env: REPRO_IMAGE]", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse to start (exit 3) where an audit would miss something.")]


def record(
    command: Words = None,
    model: Model = None,
    image: Image = None,
    strict: Strict = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,  # read by the entry point
) -> int:
    """Run a training so that its runs can be audited: check code and data first, and tag what it logs.

    The exit status is CMD's. Nothing is committed or pushed.
    """
    import os
    import sys

    from runner.errors import UsageError
    from runner.record.flow import Request
    from runner.record.flow import record as run_recorded

    words = o.after_dashes(command, "runner record -- {words}   # to say where the command begins")
    if not words:
        raise UsageError("no command is given", "runner record -- python train.py")

    def say(text: str) -> None:
        if not quiet:
            print(f"record: {text}", file=sys.stderr, flush=True)  # noqa: T201

    request = Request(command=words, models=tuple(model or ()), image=image, strict=strict)
    return run_recorded(request, folder=os.getcwd(), environment=os.environ, say=say)
