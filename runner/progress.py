"""What a flow tells of its progress; the CLI draws it, tests record it. Goes to stderr, never to stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where a flow reports to."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Show that phase `name` runs while the context is open, and how long it took after."""

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Say what the current phase is doing; `done` of `total` where that is known."""

    def line(self, text: str) -> None:
        """Print a line that stays, such as that an image is being made."""

    def log(self, text: bytes) -> None:
        """Pass on output of the training; shown with `-v` only."""

    def ask(self, question: str) -> bool:
        """Ask a person for a yes; False where nobody is there to be asked."""


class NoProgress:
    """Reports to nobody."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:  # noqa: ARG002
        """Do nothing."""
        yield

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""

    def log(self, text: bytes) -> None:
        """Do nothing."""

    def ask(self, question: str) -> bool:  # noqa: ARG002
        """Ask nobody."""
        return False
