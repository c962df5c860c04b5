"""`runner setup`: make what reruns need in a container engine."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.progress import NoProgress, Progress

if TYPE_CHECKING:
    from runner.engine.base_image import BaseImage
    from runner.engine.docker import DockerEngine
    from runner.engine.images import ToolsImage
    from runner.engine.interface import EngineInfo
    from runner.schema.plan import EnvironmentSpec, Images, Plan

DEFAULT_PYTHON = "3.11"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is there now. `made` names what was not there before, in words for the user.

    `train` is the image with system packages, where some were asked for; `build` the one with compilers, if there.
    """

    engine: EngineInfo
    base: BaseImage
    base_id: str | None
    tools: str
    tools_digest: str
    train: ToolsImage | None
    build: ToolsImage | None
    cache_volume: str
    made: tuple[str, ...]
    seconds: float


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
    python_others: Sequence[str] | None = None,
    base_image: str | None = None,
    system_packages: Sequence[str] = (),
    compilers: bool = False,
    progress: Progress | None = None,
    install: bool = False,
    offline: bool = False,
) -> Prepared:
    """Make the base image, the tools image and the cache volume where they are missing. Idempotent.

    `python` of None means what `base_image` has, else 3.11; where it cannot be had, those of `python_others` that can
    are offered, all where that is None. `system_packages` asks for the image of a training that has
    them, `compilers` for that of phase 2b, which is else made when first needed. `install` allows to install
    mmdebstrap; `offline` forbids to fetch anything for an image. Also removes what killed processes of this
    host left. Raises EngineUnavailable, ImageUnavailable, DiskFull, MissingFact (`python`, `environment`).
    """
    from runner.engine import labels
    from runner.engine.base_image import SUITES, ensure_base_image
    from runner.engine.images import ensure_layered_image, ensure_tools_image, tools_image_there
    from runner.engine.sweep import clear_work, sweep

    progress = progress or NoProgress()
    started = time.monotonic()
    made = []
    swept = sweep(engine)
    if python is None and base_image is None:
        python = DEFAULT_PYTHON
    base = ensure_base_image(
        engine,
        python=python,
        base_image=base_image,
        others=tuple(SUITES) if python_others is None else python_others,
        progress=progress,
        install=install,
        offline=offline,
    )
    if base.made:
        made.append(f"base image {base.reference} with Python {base.python} ({base.origin})")
    counting = _Counting(progress)
    tools, digest = ensure_tools_image(engine, base, progress=counting, offline=offline)
    if counting.lines:
        made.append(f"tools image {tools}")
    train = build = None
    if system_packages:
        counting.lines = 0
        train = ensure_layered_image(engine, base, (system_packages,), progress=counting, offline=offline)
        if counting.lines:
            made.append(f"image {train.reference} with {', '.join(system_packages)}")
    if compilers:
        counting.lines = 0
        build = ensure_layered_image(engine, base, building_layers(system_packages), progress=counting, offline=offline)
        if counting.lines:
            made.append(f"image {build.reference} with compilers")
    else:
        build = tools_image_there(engine, base, building_layers(system_packages))
    cache = labels.cache_volume()
    engine.ensure_volume(cache)
    clear_work(engine, swept, image=tools)
    return Prepared(
        engine=engine.info,
        base=base,
        base_id=engine.image_digest(base.reference),
        tools=tools,
        tools_digest=digest,
        train=train,
        build=build,
        cache_volume=cache,
        made=tuple(made),
        seconds=time.monotonic() - started,
    )


def building_layers(system_packages: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the layers of the image that phase 2b runs on: compilers, then what the training's image has too."""
    from runner.engine.packages import COMPILERS

    return (COMPILERS, tuple(system_packages)) if system_packages else (COMPILERS,)


def ensure_build_image(engine: DockerEngine, plan: Plan, *, progress: Progress, offline: bool) -> str:
    """Return the image on which phase 2b builds what the plan needs, made if it is not there.

    A build that finds no compiler may quietly leave out its extension: whatever is built is built here. Raises what
    `prepare` raises.
    """
    from runner.engine.images import ensure_layered_image

    layers = building_layers(plan.system_packages.names)
    return ensure_layered_image(engine, _planned_base(plan), layers, progress=progress, offline=offline).reference


def ensure_image_for_remotes(
    engine: DockerEngine, plan: Plan, schemes: Collection[str], *, progress: Progress, offline: bool
) -> str:
    """Return the image on which phase 1 reads remotes of these schemes, made if it is not there.

    Raises ImageUnavailable, DiskFull.
    """
    from runner.engine.remote_kinds import ensure_restore_image, needed_packages

    if not needed_packages(schemes):
        return plan.images.tools
    return ensure_restore_image(engine, _planned_base(plan), schemes, progress=progress, offline=offline)


def _planned_base(plan: Plan) -> BaseImage:
    from runner.engine.base_image import BaseImage

    return BaseImage(
        reference=plan.images.base,
        digest=plan.images.base_digest or "",
        origin=plan.images.base_origin,
        python=plan.environment.python,
    )


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


def base_python(engine: DockerEngine, base_image: str, progress: Progress, *, offline: bool) -> str:
    """Return the minor version of a base image's Python, pulled if it is not there, by running it.

    Raises ImageUnavailable where it cannot be pulled, InvalidConfiguration where nothing can run on it, MissingFact.
    """
    from runner.engine.base_image import ensure_base_image

    return ensure_base_image(engine, python=None, base_image=base_image, progress=progress, offline=offline).python


def told_python_of(engine: DockerEngine, base_image: str) -> str | None:
    """Return the minor version of Python that an image says it has, None where it says none; starts nothing."""
    from runner.engine.base_image import told_python

    return told_python(engine, base_image)


def images_of(prepared: Prepared) -> Images:
    """Return what the plan says of the images."""
    from runner.schema.plan import Images

    train = prepared.train
    return Images(
        base=prepared.base.reference,
        base_digest=prepared.base.digest,
        base_id=prepared.base_id,
        base_origin=prepared.base.origin,
        tools=prepared.tools,
        tools_digest=prepared.tools_digest,
        train=None if train is None else train.reference,
        train_digest=None if train is None else train.digest,
        system_packages={} if train is None else dict(train.installed),
        engine=f"{prepared.engine.name} {prepared.engine.version}",
        platform=prepared.engine.platform,
        gpus=prepared.engine.gpus,
    )


def with_training_image(
    engine: DockerEngine,
    images: Images,
    environment: EnvironmentSpec,
    *,
    there: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> Images:
    """Return the images with that in which the run trained, where the environment is one.

    With `there` nothing is pulled or made. Raises MissingFact where it cannot be had.
    """
    from runner.engine.recorded_image import ensure_training_image, training_image_there

    image = environment.image
    if image is None:
        return images
    if there:
        train, digest = training_image_there(engine, image)
    else:
        train, digest = ensure_training_image(engine, image, offline=offline, progress=progress)
    return images.model_copy(update={"train": train, "train_digest": digest})


def _named_base(engine: DockerEngine, reference: str, python: str) -> BaseImage | None:
    from runner.engine.base_image import BaseImage, check_python, named_digest, told_python
    from runner.schema.plan import GIVEN_BASE

    told = told_python(engine, reference)
    if told is not None:
        check_python(reference, told, python)
    digest = named_digest(engine, reference)
    return None if digest is None else BaseImage(reference=reference, digest=digest, origin=GIVEN_BASE, python=python)


def images_there(
    engine: DockerEngine,
    *,
    python: str,
    python_others: Sequence[str],
    base_image: str | None = None,
    system_packages: Sequence[str] = (),
    offline: bool = False,
) -> Images:
    """Return the images that a rerun would use, as far as they are there; makes and starts nothing.

    Raises MissingFact (`python`) where a rerun could not have one: with `offline` no registry is asked.
    """
    from runner.engine.base_image import REPOSITORY, check_obtainable, existing_base_image
    from runner.engine.images import tools_image_for, tools_image_there
    from runner.plan.images import NOT_MADE
    from runner.schema.plan import GIVEN_BASE, Images

    reference = base_image or f"{REPOSITORY}:py{python}"
    base = _named_base(engine, base_image, python) if base_image else existing_base_image(engine, python)
    if base is None and base_image is None:
        check_obtainable(engine, python, others=python_others, offline=offline)
    tools = None if base is None else tools_image_for(engine, base)
    train = None if base is None or not system_packages else tools_image_there(engine, base, (system_packages,))
    return Images(
        base=reference if base is None else base.reference,
        base_digest=None if base is None else base.digest,
        base_id=None if base is None else engine.image_digest(base.reference),
        base_origin=(GIVEN_BASE if base_image else "made at first use") if base is None else base.origin,
        tools=tools or "made at first use",
        tools_digest=None if tools is None else engine.image_digest(tools),
        train=(NOT_MADE.tools if train is None else train.reference) if system_packages else None,
        train_digest=None if train is None else train.digest,
        system_packages={} if train is None else dict(train.installed),
        engine=f"{engine.info.name} {engine.info.version}",
        platform=engine.info.platform,
        gpus=engine.info.gpus,
    )
