"""Registers the commands, in the order and panels in which help lists them. A module per command."""

from __future__ import annotations

from runner.cli.app import app
from runner.cli.demo import demo
from runner.cli.doctor import doctor
from runner.cli.plan import plan
from runner.cli.reproduce import reproduce
from runner.cli.setup import setup

_START = "Start"
_ONE_RUN = "One run"

app.command("demo", rich_help_panel=_START)(demo)
app.command("setup", rich_help_panel=_START)(setup)
app.command("doctor", rich_help_panel=_START)(doctor)
app.command("plan", rich_help_panel=_ONE_RUN)(plan)
app.command("reproduce", rich_help_panel=_ONE_RUN)(reproduce)
