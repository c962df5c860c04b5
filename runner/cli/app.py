"""The one place that catches and exits. Commands are thin: options in, a flow called, its result printed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import typer
import typer.exceptions

from runner.cli.options import Common

if TYPE_CHECKING:
    from runner.errors import Interrupted

_CLOSED_PIPE = 141


def main() -> NoReturn:
    """Run the command line and exit with a code that means what docs/reference/exit-codes.md says."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. Never raises, whatever happens."""
    if sys.stdout is None:  # closed by the caller (`>&-`), so that nobody would learn of a verdict
        return _CLOSED_PIPE
    if sys.stderr is None:  # then `print` would take standard output instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # as long as the process
    from runner import interrupts
    from runner.errors import InfrastructureError, Interrupted

    code = _CLOSED_PIPE
    try:
        interrupts.hear()
        code = _run_and_report(arguments)
        sys.stdout.flush()
        interrupts.ignore()
    except BrokenPipeError:
        interrupts.ignore()
        _say_no_more()
    except Interrupted:
        pass
    except OSError:  # standard output takes no more, as on a full disk: whatever was found, nobody can read it
        interrupts.ignore()
        _say_no_more()
        code = InfrastructureError.exit_code
    interrupts.undo_all()
    number = interrupts.received()
    return code if number is None else _report_interrupted(Interrupted(number), arguments)


def _run_and_report(arguments: list[str]) -> int:
    from runner import interrupts
    from runner.errors import DiskFull, InternalError, Interrupted, RunnerError

    try:
        return _run(arguments)
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:  # the last resort: our bug, never exit 1, which would read as diverged
        if (number := interrupts.received()) is not None:  # whatever became of it on its way here
            raise Interrupted(number) from error
        if isinstance(error, RunnerError):
            return _report(error, arguments)
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            raise BrokenPipeError from error  # Typer and rich leave so where the pipe was closed
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _report(DiskFull(f"no space is left on this host: {error}", "free some, and run again"), arguments)
        from runner.redact import redact

        cause = redact(f"a bug of ours: {type(error).__name__}: {error}")
        return _report(InternalError(cause, "run again with --debug and report it"), arguments, error)


def _run(arguments: list[str]) -> int:
    from runner.cli.commands import app

    try:
        status = app(args=arguments, prog_name="runner", standalone_mode=False)
        sys.stdout.flush()
    except typer.exceptions.TyperException as error:
        from runner.errors import UsageError

        if not str(error):  # help was asked for by giving nothing, and was printed
            return UsageError.exit_code
        raise UsageError(str(error).rstrip("."), f"runner {_command(arguments)}--help".strip()) from error
    except typer.Abort:
        return 130
    return status if isinstance(status, int) else 0


def _command(arguments: list[str]) -> str:
    from runner.cli.commands import app

    known = {command.name for command in app.registered_commands}
    return f"{arguments[0]} " if arguments and arguments[0] in known else ""


def _own(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--") if "--" in arguments else None]  # what follows is another program's


def _wants_json(arguments: list[str]) -> bool:
    return "--json" in _own(arguments)


def _report(error: Exception, arguments: list[str], raised: BaseException | None = None) -> int:
    """Say cause, remedy and where a fact was looked for: lines on stderr, or one JSON document on stdout."""
    from runner.errors import MissingFact, RunnerError

    assert isinstance(error, RunnerError)  # noqa: S101  # for the type checker
    if Common.debug or "--debug" in _own(arguments):
        traceback.print_exception(raised or error, file=sys.stderr)
    searched = {}
    if isinstance(error, MissingFact):
        searched = {"looked_in": error.looked_in, "nearest": error.nearest}
    if _wants_json(arguments):
        document = {
            "code": error.exit_code,
            "kind": error.kind,
            "cause": error.cause,
            "remedy": error.remedy,
            "retryable": error.retryable,
            **{name: list(lines) for name, lines in searched.items() if lines},
        }
        typer.echo(json.dumps({"error": document}, indent=2))
    else:
        typer.echo(f"error: {error.cause}", err=True)
        for name, lines in searched.items():
            for line in lines:
                typer.echo(f"  {name.replace('_', ' ')}: {line}", err=True)
        typer.echo(f"  try: {error.remedy}", err=True)
    return error.exit_code


def _report_interrupted(error: Interrupted, arguments: list[str]) -> int:
    """Say in a line that we were stopped, to whom is still there: after SIGHUP the terminal may be gone."""
    try:
        if _wants_json(arguments):
            return _report(error, arguments)
        typer.echo(f"{error.cause}: {error.remedy}", err=True)
    except OSError:
        _say_no_more()
    return error.exit_code


def _say_no_more() -> None:
    # Python would complain once more when it flushes at exit, and exit otherwise than we say.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            os.dup2(nowhere, stream.fileno())
