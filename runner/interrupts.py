"""Signals that ask us to stop, and what must then be undone, whatever they broke off.

A signal becomes one exception, `Interrupted`, so that every `finally` runs. It may come anywhere, also in the middle of
a `finally`: what must not be left behind is therefore noted before it is made, and what is still noted when the command
has ended is undone then, when signals are no longer heard.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Callable
from types import FrameType

from runner.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_numbers = itertools.count()
_noted: dict[int, Callable[[], object]] = {}
_received: int | None = None


def hear() -> None:
    """Raise Interrupted in the main thread at the first signal. Later ones are ignored: cleaning up is short.

    A signal that whoever started us wants ignored (`nohup`) stays so.
    """
    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _stop)


def ignore() -> None:
    """Hear no more signals."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def received() -> int | None:
    """Return the number of the signal that came, None where none did."""
    return _received


def note(undo: Callable[[], object]) -> Callable[[], None]:
    """Note what undoes something, before it is made. Call what is returned once it is gone, or meant to stay."""
    number = next(_numbers)
    _noted[number] = undo

    def forget() -> None:
        _noted.pop(number, None)

    return forget


def undo_all() -> None:
    """Undo what is still noted, the newest first. Never raises."""
    while _noted:
        with contextlib.suppress(Exception):
            _, undo = _noted.popitem()
            undo()


def _stop(number: int, _: FrameType | None) -> None:
    global _received  # noqa: PLW0603  # there is one process
    ignore()
    _received = number
    raise Interrupted(number)
