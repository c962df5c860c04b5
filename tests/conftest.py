"""What all tests share."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Signals as a terminal leaves them, also where whoever runs the tests ignores some (`nohup`, a background job).

    What is ignored is inherited by the commands that tests start, which then rightly ignore it too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
