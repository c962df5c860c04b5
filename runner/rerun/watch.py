"""Ends what writes more than it may: beside it, a container of ours looks at its folders now and then."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import RunnerError
from runner.inside import layout
from runner.progress import NoProgress
from runner.rerun.exchange import call, inside_argv
from runner.schema.plan import Plan

_AFTER_S = 10.0  # what ends sooner is measured when it has ended


class OutputWatch:
    """Sets `exceeded` once a training or a build has written more than the plan allows.

    `what` is `{"rerun": …}` or `{"folders": […]}`, as `runner.inside.usage` takes it. It is there to keep the
    disk: what decides of a training is measured once more by collect, so that a watch that fails says nothing.
    """

    def __init__(self, engine: Engine, plan: Plan, *, what: Mapping[str, Any], volume: str) -> None:
        self._engine, self._plan, self._what, self._volume = engine, plan, what, volume
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
        payload = {**self._what, "limit_bytes": self._plan.limits.output_bytes}
        with suppress(RunnerError):
            found = call(self._engine, request, payload=payload, progress=NoProgress(), stop=self._done)
            if found is not None:
                self.exceeded.set()
