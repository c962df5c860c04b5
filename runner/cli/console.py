"""What the terminal shows: progress on stderr (live lines on a terminal, plain lines elsewhere), results on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.progress import Progress


def use_color(*, no_color: bool, stream: Any = None) -> bool:
    """Tell whether output may be coloured: on a terminal, without `--no-color` and without NO_COLOR set."""
    stream = sys.stdout if stream is None else stream
    return not no_color and not os.environ.get("NO_COLOR") and stream.isatty()


def ask(question: str) -> bool:
    """Ask on the terminal, where standard input and standard error are one; anything but a yes is a no."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201  # this is the console
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class PlainProgress:
    """A line when a phase begins to do something new, and one when it ends: for logs and pipes."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._said = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say when the phase ends, and after how long."""
        started = time.monotonic()
        yield
        self._print(f"{name}: done in {time.monotonic() - started:.1f} s")

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:  # noqa: ARG002
        """Say what is being done, once."""
        if text != self._said:
            self._said = text
            self._print(f"  {text}")

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text)

    def log(self, text: bytes) -> None:
        """Pass on output of the training with `-v`."""
        if self._verbose:
            sys.stderr.buffer.write(text)
            sys.stderr.buffer.flush()

    def ask(self, question: str) -> bool:
        """Ask on the terminal."""
        return ask(question)

    def close(self) -> None:
        """Nothing to undo."""

    def _print(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201  # this is the console


class LiveProgress:
    """One live line per phase, by rich; phases may run beside each other."""

    def __init__(self, *, verbose: bool, color: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, no_color=not color, highlight=False)
        self._verbose = verbose
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.fields[phase]:<10}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=False,
        )
        self._progress.start()
        self._current: Any = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show a line for the phase while it runs."""
        task = self._progress.add_task("", phase=name, total=None)
        outer, self._current = self._current, task
        try:
            yield
            self._progress.update(task, description="", total=1, completed=1)
        finally:
            self._progress.stop_task(task)
            self._current = outer

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Change the text of the current phase's line."""
        from rich.markup import escape

        if self._current is not None:
            share = f" {done:.0f}/{total:.0f}" if done is not None and total else ""
            self._progress.update(self._current, description=escape(text) + share)

    def line(self, text: str) -> None:
        """Print a line above the live ones."""
        self._progress.console.print(text, markup=False)

    def log(self, text: bytes) -> None:
        """Pass on output of the training with `-v`."""
        if self._verbose:
            self._progress.console.out(text.decode(errors="replace"), end="", highlight=False)

    def ask(self, question: str) -> bool:
        """Ask on the terminal, with nothing live on it meanwhile."""
        self._progress.stop()
        try:
            return ask(question)
        finally:
            self._progress.start()

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


@contextmanager
def open_progress(*, quiet: bool, verbose: bool, no_color: bool) -> Iterator[Progress]:
    """Return the progress that fits standard error."""
    live = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
    progress: LiveProgress | PlainProgress
    if live:
        progress = LiveProgress(verbose=verbose, color=use_color(no_color=no_color, stream=sys.stderr))
    else:
        progress = PlainProgress(quiet=quiet, verbose=verbose)
    try:
        yield progress
    finally:
        progress.close()
