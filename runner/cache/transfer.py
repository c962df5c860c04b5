"""`runner setup --save` and `--load`: images, wheels and environments on their way to a machine without internet.

Nothing is kept in between: what the engine gives is written as it comes, and what is read goes on to the engine.
Data, mirrors of repositories and credentials are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import __version__
from runner.cache import transfer_file
from runner.cache.transfer_file import CACHE, IMAGES, Header, Image, Part
from runner.engine import labels
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import ImageUnavailable, InternalError, UsageError
from runner.inside import layout
from runner.progress import Progress
from runner.rerun.answers import stream, value
from runner.rerun.exchange import call, inside_argv

if TYPE_CHECKING:
    from runner.engine.docker import DockerEngine
    from runner.engine.images import Family

_TAIL = 2000


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was written."""

    file: str
    digest: str
    size_bytes: int
    platform: str
    images: tuple[str, ...]
    bases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was read; `environments` is how many were not there before."""

    file: str
    digest: str
    images: tuple[str, ...]
    bases: tuple[str, ...]
    environments: int


def save(engine: DockerEngine, path: Path, *, python: str | None, base_image: str | None, progress: Progress) -> Saved:
    """Write images and cache to a file: those on `base_image`, else on the base for `python`, else all that are here.

    Raises UsageError where there is nothing to save or the file cannot be written, DiskFull, InfrastructureError.
    """
    from runner.engine.base_image import REPOSITORY
    from runner.engine.images import families_in_use
    from runner.engine.transfer import save_images

    wanted = base_image or (f"{REPOSITORY}:py{python}" if python else None)
    families = [
        family
        for family in families_in_use(engine)
        if engine.image_digest(family.tools) is not None and wanted in (None, family.base)
    ]
    if not families:
        option = f" --base-image {base_image}" if base_image else f" --python {python}" if python else ""
        raise UsageError(f"no images are here{' on ' + wanted if wanted else ''} to save", f"runner setup{option}")
    tools, found = families[0].tools, _header(engine, families)
    with transfer_file.create(path, found) as writer:
        with writer.part(IMAGES) as part:
            for piece in save_images(engine, [image.reference for image in found.images]):
                part.write(piece)
                progress.update("saving images", part.size_bytes)
        volume = labels.cache_volume()
        engine.ensure_volume(volume)
        with writer.part(CACHE) as part:

            def take(data: bytes) -> None:
                part.write(data)
                progress.update("saving wheels and environments", part.size_bytes)

            _pack(engine, tools, volume, take)
    assert writer.manifest is not None  # noqa: S101  # the file is whole
    return Saved(
        file=str(path),
        digest=writer.manifest.digest,
        size_bytes=path.stat().st_size,
        platform=found.platform,
        images=tuple(image.reference for image in found.images),
        bases=found.bases,
    )


def load(engine: DockerEngine, path: Path, *, progress: Progress) -> Loaded:
    """Check a file, then load its images and put its wheels and environments into the cache.

    Raises UsageError for a file that is not whole, was changed, or is for another platform; InfrastructureError.
    """
    from runner.engine.transfer import load_images

    size = path.stat().st_size if path.exists() else 0
    progress.line(f"checking {path}")
    header, manifest = transfer_file.check(path, lambda read: progress.update("checking", read, size or None))
    if header.platform != engine.info.platform:
        raise UsageError(
            f"{path} was saved for {header.platform}, and this engine runs {engine.info.platform}",
            "runner setup --save FILE    on a machine of this architecture",
        )
    parts = transfer_file.Reader(path, manifest)
    progress.line("loading images")
    load_images(engine, _told(parts.stream(IMAGES), IMAGES, manifest.images, progress))
    _check_images(engine, header)
    tools = _tools_image(engine, header, progress)
    progress.line("loading wheels and environments")
    new = _unpack(engine, tools, _told(parts.stream(CACHE), CACHE, manifest.cache, progress), progress)
    return Loaded(
        file=str(path),
        digest=manifest.digest,
        images=tuple(image.reference for image in header.images),
        bases=header.bases,
        environments=new,
    )


def _header(engine: DockerEngine, families: Sequence[Family]) -> Header:
    references = [reference for family in families for reference in family.references]
    images = [(reference, engine.image_digest(reference)) for reference in dict.fromkeys(references)]
    return Header(
        tool_version=__version__,
        created=datetime.now(timezone.utc),
        platform=engine.info.platform,
        bases=tuple(family.base for family in families),
        images=tuple(Image(reference=reference, id=digest) for reference, digest in images if digest is not None),
    )


def _pack(engine: DockerEngine, image: str, volume: str, take: Callable[[bytes], None]) -> None:
    request = ContainerRequest(
        image=image,
        argv=(layout.TOOLS_PYTHON, "-I", f"{layout.LIBRARY}/runner/inside/carry.py"),
        purpose="save",
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
    )
    said = bytearray()
    outcome = engine.run(request, stdout=take, stderr=said.extend)
    if outcome.exit_code != 0:
        text = bytes(said[-_TAIL:]).decode(errors="replace").strip()
        raise InternalError(f"the cache could not be packed: {text[-800:]}", "run again with --debug and report it")


def _check_images(engine: DockerEngine, header: Header) -> None:
    """Raise ImageUnavailable where the engine gave an image another content id: environments belong to an id."""
    for image in header.images:
        now = engine.image_digest(image.reference)
        if now != image.id:
            raise ImageUnavailable(
                f"this engine gives {image.reference} another content id than the one that it was saved from",
                "save and load with engines that keep images alike: see docs/how-to/work-without-internet.md",
            )


def _tools_image(engine: DockerEngine, header: Header, progress: Progress) -> str:
    """Return a tools image of this very version: the file's, or built on the file's images, which needs no network."""
    from runner.engine.base_image import BaseImage
    from runner.engine.images import ensure_tools_image

    base = BaseImage(reference=header.bases[0], digest="", origin="", python="")
    return ensure_tools_image(engine, base, progress=progress, offline=True)[0]


def _unpack(engine: DockerEngine, image: str, pieces: Iterator[bytes], progress: Progress) -> int:
    volume = labels.cache_volume()
    engine.ensure_volume(volume)
    whole = False

    def cache(_: Any) -> Iterator[bytes]:
        nonlocal whole
        yield from stream(pieces)
        whole = True  # else it has raised

    request = ContainerRequest(
        image=image,
        argv=inside_argv("carry"),
        purpose="load",
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
    )
    answers: dict[str, Callable[[Any], Iterable[bytes]]] = {"cache": cache, "whole": lambda _: value(whole)}
    result = call(engine, request, payload={}, progress=progress, answers=answers)
    return int(result["environments"])


def _told(pieces: Iterator[bytes], what: str, part: Part, progress: Progress) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        done += len(piece)
        progress.update(f"loading {what}", done, part.size_bytes)
        yield piece
