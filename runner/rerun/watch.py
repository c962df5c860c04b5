"""Ends a training that writes more than it may: beside it, a container of ours looks at its sandbox now and then."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import RunnerError
from runner.inside import layout
from runner.progress import NoProgress
from runner.rerun.exchange import call, inside_argv
from runner.schema.plan import Plan

_AFTER_S = 10.0  # what ends sooner is measured when it has ended


class OutputWatch:
    """Sets `exceeded` once the training of a rerun has written more than the plan allows.

    It is there to keep the disk: what decides is measured once more by collect, so that a watch that fails says
    nothing.
    """

    def __init__(self, engine: Engine, plan: Plan, *, rerun: str, volume: str) -> None:
        self._engine, self._plan, self._rerun, self._volume = engine, plan, rerun, volume
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="output-watch", daemon=True)
        self.exceeded = threading.Event()

    def __enter__(self) -> OutputWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if error is None:  # else the session is closed next, and the container with it
            self._thread.join()

    def _look(self) -> None:
        if self._done.wait(_AFTER_S):
            return
        request = ContainerRequest(
            image=self._plan.images.tools,
            argv=inside_argv("usage"),
            purpose="watch",
            run=self._plan.run.id,
            mounts=(VolumeMount(volume=self._volume, target=layout.CACHE, read_only=True),),
        )
        payload = {"rerun": self._rerun, "limit_bytes": self._plan.limits.output_bytes}
        with suppress(RunnerError):
            found = call(self._engine, request, payload=payload, progress=NoProgress(), stop=self._done)
            if found is not None:
                self.exceeded.set()
