"""MLflow's run-context plugin: an installed package tags every run with what it was made from, by itself.

Under `runner record` the tags are those that were found before the training began. Whatever fails in here costs a run
its tags and never the training anything.
"""

from __future__ import annotations

import os

from reproducibility_runner import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RunContext:
    """What MLflow asks, for each run that it starts, which tags this context gives."""

    def __init__(self) -> None:
        self._tags = None  # type: dict[str, str] | None
        try:
            from reproducibility_runner.recording import session

            session.watch_runs()
        except Exception:  # noqa: BLE001, S110  # a training goes on without its tags
            pass

    def in_context(self) -> bool:
        """Tell whether there are tags. None are in a rerun: there they would be the rerun's own."""
        return not in_rerun()

    def tags(self) -> dict[str, Any]:
        """Return the tags; found once, when the first run starts: later the training has written files."""
        if self._tags is None:
            try:
                from reproducibility_runner.recording import session

                self._tags = session.tags_of_process()
                session.watch_runs()
            except Exception:  # noqa: BLE001  # a training goes on without its tags
                self._tags = {}
        return dict(self._tags)


def in_rerun() -> bool:
    """Tell whether this is a rerun's container, whose capture records for itself."""
    return bool(os.environ.get(places.CAPTURE_VARIABLE)) or os.path.isdir(places.CAPTURE)
