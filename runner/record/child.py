"""The user's command as our child: signals reach it, and its exit status is ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_command(command: Sequence[str], folder: str, environment: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Run a command to its end and return its status as a shell would: 128 and the number where a signal killed it."""
    with _forwarding() as started:
        try:
            child = subprocess.Popen(command, cwd=folder, env=dict(environment))
        except OSError as error:
            say(f"{command[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        started(child)
        status = child.wait()
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on instead of heeding them, until the command has ended; yields what takes the child."""
    children: list[subprocess.Popen[bytes]] = []
    waiting: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT) and _terminal_tells_all():
            return
        if children:
            children[0].send_signal(number)
        else:
            waiting.append(number)

    def started(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in waiting:
            child.send_signal(number)

    # What whoever started us wants ignored stays so, for the child too.
    before = {each: signal.getsignal(each) for each in _FORWARDED if signal.getsignal(each) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, forward)
    try:
        yield started
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _terminal_tells_all() -> bool:
    """Tell whether keys of the terminal reach the child by themselves: it is in the group in the foreground."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
