"""`runner setup`: make what reruns need in a container engine, and take it away again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.progress import NoProgress, Progress

if TYPE_CHECKING:
    from runner.engine.base_image import BaseImage
    from runner.engine.docker import DockerEngine
    from runner.engine.interface import EngineInfo
    from runner.engine.prune import Holding
    from runner.schema.plan import Images

DEFAULT_PYTHON = "3.11"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is there now. `made` names what was not there before, in words for the user."""

    engine: EngineInfo
    base: BaseImage
    tools: str
    tools_digest: str
    cache_volume: str
    made: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed and what stays, with sizes."""

    removed: tuple[Holding, ...]
    kept: tuple[Holding, ...]


def open_engine(progress: Progress | None = None, *, install_engine: bool = False) -> DockerEngine:
    """Return the engine that is meant, bound to a new session; close it after use.

    `install_engine` installs and starts Debian's where none answers. Raises EngineUnavailable with the remedy.
    """
    from runner.engine.docker import connect
    from runner.engine.install import install_engine as install

    return connect(install(progress or NoProgress()) if install_engine else None)


@contextmanager
def opened_engine(progress: Progress | None = None, *, install_engine: bool = False) -> Iterator[DockerEngine]:
    """Open the engine as `open_engine` does, and close it."""
    engine = open_engine(progress, install_engine=install_engine)
    try:
        yield engine
    finally:
        engine.close()


def prepare(
    engine: DockerEngine,
    *,
    python: str | None = None,
    base_image: str | None = None,
    progress: Progress | None = None,
    install: bool = False,
) -> Prepared:
    """Make the base image, the tools image and the cache volume where they are missing. Idempotent.

    `python` of None means what `base_image` has, else 3.11. `install` allows to install mmdebstrap. Also removes what
    killed processes of this host left. Raises EngineUnavailable, ImageUnavailable, DiskFull, MissingFact (`python`).
    """
    from runner.engine import labels
    from runner.engine.base_image import ensure_base_image
    from runner.engine.images import ensure_tools_image
    from runner.engine.sweep import clear_work, sweep

    progress = progress or NoProgress()
    started = time.monotonic()
    made = []
    swept = sweep(engine)
    if python is None and base_image is None:
        python = DEFAULT_PYTHON
    base = ensure_base_image(engine, python=python, base_image=base_image, progress=progress, install=install)
    if base.made:
        made.append(f"base image {base.reference} with Python {base.python} ({base.origin})")
    counting = _Counting(progress)
    tools, digest = ensure_tools_image(engine, base, progress=counting)
    if counting.lines:
        made.append(f"tools image {tools}")
    cache = labels.cache_volume()
    engine.ensure_volume(cache)
    clear_work(engine, swept, image=tools)
    return Prepared(
        engine=engine.info,
        base=base,
        tools=tools,
        tools_digest=digest,
        cache_volume=cache,
        made=tuple(made),
        seconds=time.monotonic() - started,
    )


def prune(engine: DockerEngine, *, everything: bool = False) -> Pruned:
    """Remove outdated images, and with `everything` also the current ones and the cache.

    Only what carries our labels; what a container uses stays.
    """
    from runner.engine import labels
    from runner.engine import prune as holdings
    from runner.engine.base_image import existing_base_image, local_pythons
    from runner.engine.docker import remove_volume
    from runner.engine.images import dockerfile, environment_reference, tools_reference
    from runner.engine.sweep import clear_work, sweep

    current: set[str] = set()
    swept = sweep(engine)
    for python in local_pythons(engine):
        base = existing_base_image(engine, python)
        if base is None:
            continue
        base_id = engine.image_digest(base.reference) or ""
        environment = environment_reference(dockerfile(), base_id)
        tools = tools_reference(dockerfile(), environment)
        current |= {base.reference, environment, tools}
        if swept.anything and engine.image_digest(tools) is not None:
            clear_work(engine, swept, image=tools)
            swept = sweep(engine)
    removed, kept = holdings.prune(engine, everything=everything, current=current)
    if everything:
        # Without a cache there is no workspace left to clear.
        for session in swept.sessions:
            remove_volume(engine.client, labels.session_volume(session))
    return Pruned(removed=removed, kept=kept)


class _Counting:
    """Passes progress on and remembers whether anything was announced."""

    def __init__(self, inner: Progress) -> None:
        self.lines = 0
        self.phase = inner.phase
        self.update = inner.update
        self.log = inner.log
        self.ask = inner.ask
        self._inner = inner

    def line(self, text: str) -> None:
        self.lines += 1
        self._inner.line(text)


def images_of(prepared: Prepared) -> Images:
    """Return what the plan says of the images."""
    from runner.schema.plan import Images

    return Images(
        base=prepared.base.reference,
        base_digest=prepared.base.digest,
        base_origin=prepared.base.origin,
        tools=prepared.tools,
        tools_digest=prepared.tools_digest,
        engine=f"{prepared.engine.name} {prepared.engine.version}",
        platform=prepared.engine.platform,
        gpus=prepared.engine.gpus,
    )


def images_there(engine: DockerEngine, *, python: str, base_image: str | None = None, offline: bool = False) -> Images:
    """Return the images that a rerun would use, as far as they are there; makes and starts nothing.

    Raises MissingFact (`python`) where a rerun could not have one: with `offline` no registry is asked.
    """
    from runner.engine.base_image import REPOSITORY, check_obtainable, existing_base_image
    from runner.engine.images import tools_image_for
    from runner.schema.plan import Images

    base = None if base_image is not None else existing_base_image(engine, python)
    if base_image is None and base is None:
        check_obtainable(engine, python, offline=offline)
    reference = base_image or f"{REPOSITORY}:py{python}"
    tools = None if base is None else tools_image_for(engine, base)
    return Images(
        base=reference if base is None else base.reference,
        base_digest=engine.image_digest(reference) if base is None else base.digest,
        base_origin="made at first use" if base is None else base.origin,
        tools=tools or "made at first use",
        tools_digest=None if tools is None else engine.image_digest(tools),
        engine=f"{engine.info.name} {engine.info.version}",
        platform=engine.info.platform,
        gpus=engine.info.gpus,
    )
