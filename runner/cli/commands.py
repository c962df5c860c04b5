"""The command line: its commands, in the order and panels in which help lists them. A module per command."""

from __future__ import annotations

import typer

from runner.cli.check import check
from runner.cli.demo import demo
from runner.cli.doctor import doctor
from runner.cli.plan import plan
from runner.cli.record import record
from runner.cli.reproduce import reproduce
from runner.cli.setup import setup

_START = "Start"
_ONE_RUN = "One run"
_TRAINING = "Training"

app = typer.Typer(
    name="runner",
    help="Does this published number still come out? Reruns a recorded run in sealed containers and gives a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from runner import __version__

        typer.echo(f"runner {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("demo", rich_help_panel=_START)(demo)
app.command("setup", rich_help_panel=_START)(setup)
app.command("doctor", rich_help_panel=_START)(doctor)
app.command("check", rich_help_panel=_ONE_RUN)(check)
app.command("plan", rich_help_panel=_ONE_RUN)(plan)
app.command("reproduce", rich_help_panel=_ONE_RUN)(reproduce)
app.command("record", rich_help_panel=_TRAINING)(record)
