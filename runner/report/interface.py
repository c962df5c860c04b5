"""What every format of a report is: a pure function from a Reproduction to text."""

from __future__ import annotations

from typing import Protocol

from runner.schema.reproduction import Reproduction


class Renderer(Protocol):
    """Turns the evidence into one text; the same evidence gives the same text."""

    def __call__(self, reproduction: Reproduction, /) -> str:
        """Return the report, with secrets redacted and nothing in it that a terminal or a browser would obey."""
