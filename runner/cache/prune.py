"""`runner setup --prune`: what is kept between reruns, with sizes, and taking away what nobody used for long.

Images and caches of other names are the engine's matter; what lies in the cache volume is listed and removed in a
container, since an engine may be elsewhere, and beside reruns that go on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.engine.interface import ContainerRequest, VolumeMount
from runner.inside import layout
from runner.progress import NoProgress, Progress
from runner.rerun.exchange import call, inside_argv

if TYPE_CHECKING:
    from runner.engine.docker import DockerEngine
    from runner.engine.images import Family
    from runner.engine.prune import Holding

_WAIT_S = 120.0  # for reruns that restore or install to have done so


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed and what stays, with sizes."""

    removed: tuple[Holding, ...]
    kept: tuple[Holding, ...]


def prune(
    engine: DockerEngine,
    *,
    everything: bool = False,
    older_than_s: float | None = None,
    keep_bytes: int | None = None,
    dry_run: bool = False,
    package_sources: Path | None = None,
    progress: Progress | None = None,
) -> Pruned:
    """Remove outdated images, caches of other names, and what broke off half-way in the cache.

    `older_than_s` also removes what nobody used for so long, the images of a Python included; `keep_bytes` what of the
    cache was unused the longest, until no more is left; `everything` the current images and the cache as a whole. What
    lies in the folder `package_sources` of this host goes by its age alone.
    Only what carries our labels, and nothing that a container or a rerun uses. `dry_run` removes nothing. Raises
    InfrastructureError where reruns did not let us have the cache alone in two minutes.
    """
    from runner.engine import labels
    from runner.engine import prune as holdings
    from runner.engine.docker import remove_volume
    from runner.engine.images import families_in_use
    from runner.engine.sweep import Swept, clear_work, sweep

    families = families_in_use(engine)
    there = [family for family in families if engine.image_digest(family.tools) is not None]
    swept = Swept() if dry_run else sweep(engine)
    if there and swept.anything:
        clear_work(engine, swept, image=there[0].tools)
        swept = sweep(engine)
    removed: tuple[Holding, ...] = ()
    kept: tuple[Holding, ...] = ()
    volume = labels.cache_volume()
    if there and not everything and engine.has_volume(volume):
        result = prune_volume(
            engine,
            image=there[0].tools,
            volume=volume,
            older_than_s=older_than_s,
            keep_bytes=keep_bytes,
            dry_run=dry_run,
            progress=progress,
        )
        removed, kept = _holdings(result["removed"]), _holdings(result["kept"])
        if older_than_s is not None:
            families = [one for one in families if _unused_s(engine, one, result["images"]) < older_than_s]
    references = {reference for family in families for reference in family.references}
    others_removed, others_kept = holdings.prune(engine, everything=everything, current=references, dry_run=dry_run)
    if kept:  # what is in the cache was listed
        others_kept = tuple(one for one in others_kept if one.name != volume)
    if everything and not dry_run:
        # Without a cache there is no workspace left to clear.
        for session in swept.sessions:
            remove_volume(engine.client, labels.session_volume(session))
    sources = Pruned(removed=(), kept=())
    if package_sources is not None:
        sources = prune_package_sources(
            package_sources, older_than_s=0.0 if everything else older_than_s, dry_run=dry_run
        )
    return Pruned(removed=(*removed, *others_removed, *sources.removed), kept=(*kept, *others_kept, *sources.kept))


def prune_package_sources(folder: Path, *, older_than_s: float | None, dry_run: bool) -> Pruned:
    """Remove mirrors of repositories that lists of packages name which nobody used for so long; none for None."""
    from runner.engine.prune import Holding
    from runner.repository.mirror import remove_mirror

    removed, kept = [], []
    for mirror in sorted(folder.glob("*.git")):
        unused_s = max(0.0, time.time() - mirror.stat().st_mtime)
        parts = [path for path in (mirror, mirror.with_suffix(".archives")) if path.is_dir()]
        size = sum(file.lstat().st_size for part in parts for file in part.rglob("*") if file.is_file())
        one = Holding(kind="package source", name=mirror.stem, size_bytes=size, current=True, unused_s=unused_s)
        if older_than_s is None or unused_s < older_than_s:
            kept.append(one)
            continue
        if not dry_run:
            remove_mirror(mirror)
        removed.append(one)
    return Pruned(removed=tuple(removed), kept=tuple(kept))


def prune_volume(
    engine: DockerEngine,
    *,
    image: str,
    volume: str,
    older_than_s: float | None = None,
    keep_bytes: int | None = None,
    dry_run: bool = False,
    wait_s: float = _WAIT_S,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Prune one cache volume, and return what `runner.inside.prune` tells of it."""
    request = ContainerRequest(
        image=image,
        argv=inside_argv("prune"),
        purpose="prune",
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
    )
    payload = {"older_than_s": older_than_s, "keep_bytes": keep_bytes, "dry_run": dry_run, "wait_s": wait_s}
    result: dict[str, Any] = call(engine, request, payload=payload, progress=progress or NoProgress())
    return result


def _unused_s(engine: DockerEngine, family: Family, unused: dict[str, float]) -> float:
    """Return how long no rerun used a family of images; one that none ever used is as old as it is."""
    from runner.engine.images import created

    times = [when for reference in family.references if (when := created(engine, reference)) is not None]
    made = min((datetime.now(timezone.utc) - when).total_seconds() for when in times)
    return min(made, unused.get(family.base, made))


def _holdings(lines: list[dict[str, Any]]) -> tuple[Holding, ...]:
    from runner.engine.prune import Holding

    return tuple(
        Holding(
            kind=line["kind"],
            name=line["name"],
            size_bytes=line["size_bytes"],
            current=True,
            in_use=line["in_use"],
            count=line["count"],
            unused_s=line["unused_s"],
        )
        for line in lines
    )
