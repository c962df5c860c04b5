"""What we keep in an engine, with sizes, and removing it. Only what carries our labels is ever touched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from runner.engine import labels
from runner.engine.docker import DockerEngine, remove_volume
from runner.engine.faults import engine_faults
from runner.engine.images import remove_build_images


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One thing of ours in an engine, or several of a kind. `kind` is `image`, `cache`, or what lies in the cache.

    `size_bytes` is what it takes for itself, None where the engine cannot say; `unused_s` how long nobody used it, None
    where that is not known. `current` is true for what the next command would use: it goes with `--all` only.
    """

    kind: str
    name: str
    size_bytes: int | None
    current: bool
    in_use: bool = False
    count: int = 1
    unused_s: float | None = None


def holdings(engine: DockerEngine, *, current: Iterable[str] = ()) -> tuple[Holding, ...]:
    """Return all images and caches of ours; `current` are the references that are in use by this installation."""
    wanted = set(current) | {labels.cache_volume()}
    found: list[Holding] = []
    with engine_faults("listing images and caches"):
        usage = engine.client.df()
        taken = {labels.plain_id(image["Id"]): image for image in usage.get("Images") or ()}
        for image in engine.client.images():  # podman's usage names no labels, and of names the tag alone
            tags = image.get("Labels") or {}
            names = [labels.plain_name(name) for name in image.get("RepoTags") or () if name != "<none>:<none>"]
            ours = [name for name in names if name.startswith(f"{labels.NAME_PREFIX}/")]
            if tags.get(labels.LABEL) not in labels.KEPT and not ours:
                continue
            use = taken.get(labels.plain_id(image["Id"]), {})
            size, shared = use.get("Size"), use.get("SharedSize")
            own = size - shared if size is not None and shared is not None and shared >= 0 else size
            # An image of the user's that was built on ours inherits its labels; a name of another kind is theirs.
            if names and not ours:
                continue
            found.append(
                Holding(
                    kind="image",
                    name=ours[0] if ours else str(image["Id"]),
                    size_bytes=own,
                    current=bool(set(ours) & wanted),
                    in_use=(use.get("Containers") or 0) > 0,
                )
            )
        for volume in usage.get("Volumes") or ():
            if (volume.get("Labels") or {}).get(labels.LABEL) != labels.CACHE:
                continue
            data = volume.get("UsageData") or {}
            size = data.get("Size", -1)
            found.append(
                Holding(
                    kind="cache",
                    name=str(volume["Name"]),
                    size_bytes=size if size >= 0 else None,
                    current=volume["Name"] in wanted,
                    in_use=data.get("RefCount", 0) > 0,
                )
            )
    return tuple(sorted(found, key=lambda one: (one.kind, one.name)))


def prune(
    engine: DockerEngine, *, everything: bool = False, current: Iterable[str] = (), dry_run: bool = False
) -> tuple[tuple[Holding, ...], tuple[Holding, ...]]:
    """Remove images that nothing needs any more and caches of other names; `everything` removes what is current too.

    What a container uses stays. Return what was removed and what stays; `dry_run` removes nothing.
    """
    import docker.errors

    if not dry_run:
        remove_build_images(engine)
    removed: list[Holding] = []
    kept: list[Holding] = []
    # Images that were built on others go first: environment and tools before base, whatever has no name last.
    order = sorted(
        holdings(engine, current=current), key=lambda one: (one.name.startswith("sha256:"), _depth(one.name))
    )
    for holding in order:
        if holding.in_use or (holding.current and not everything):
            kept.append(holding)
            continue
        if dry_run:
            removed.append(holding)
            continue
        gone = False
        with engine_faults(f"removing {holding.name}"), contextlib.suppress(docker.errors.APIError):
            if holding.kind == "cache":
                remove_volume(engine.client, holding.name)
            else:
                engine.client.remove_image(holding.name, force=False)
            gone = True
        (removed if gone else kept).append(holding)
    return tuple(removed), tuple(kept)


def _depth(name: str) -> int:
    order = ("tools", "packages", "environment", "base", "empty")
    return next((number for number, part in enumerate(order) if f"/{part}:" in name), len(order))
