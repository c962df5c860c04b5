"""A repository with its submodules, and what each has in Git LFS: what a commit records beside its own objects."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runner.inside.data.line_endings import write_mended
from runner.progress import Progress
from runner.repository.bundle import cached_bundle
from runner.repository.history import lfs_pointers_at, read_contents
from runner.repository.lfs_objects import LfsObjects, open_objects
from runner.repository.mirror import Mirror
from runner.repository.process import GitFailed, run_git
from runner.repository.submodules import Place, open_submodule, place_of, read_gitlinks
from runner.schema.plan import Plan
from runner.schema.snapshot import LfsPointer, RepositorySnapshot

_MOST_SUBMODULES = 64
_DEEPEST = 4
_LONGEST_MENDED = 64 << 20


@dataclass(frozen=True)
class Part:
    """The repository itself (`path` is empty), or one of its submodules, at the commit that the run had."""

    path: str
    commit: str
    mirror: Mirror
    objects: LfsObjects
    pointers: tuple[LfsPointer, ...]

    def inside(self, path: str) -> str | None:
        """Return a path of the whole as one of this part, None where it lies elsewhere."""
        if not self.path:
            return path
        return path.removeprefix(self.path + "/") if path.startswith(self.path + "/") else None


@dataclass(frozen=True)
class Parts:
    """All parts, outer ones before those in them."""

    there: tuple[Part, ...]

    def bundles(self, plan: Plan) -> dict[str, Path]:
        """Return a bundle of each submodule of a plan, by its path."""
        wanted = {each.path for each in plan.submodules}
        return {part.path: cached_bundle(part.mirror, part.commit) for part in self.there if part.path in wanted}

    def fetch(self, plan: Plan, progress: Progress) -> dict[str, Path]:
        """Return where this host has the bytes of a plan's files in Git LFS, by their paths, after fetching them.

        Raises MissingFact, RepositoryUnavailable, DiskFull.
        """
        wanted = {file.path for file in plan.supplied if file.kind == "lfs"}
        found: dict[str, Path] = {}
        for part in self.there:
            pointers = [pointer for pointer in part.pointers if pointer.path in wanted]
            places = part.objects.fetch(pointers, progress) if pointers else {}
            found |= {pointer.path: places[pointer.oid] for pointer in pointers}
        return found

    def mended(self, plan: Plan, folder: Path) -> dict[str, Path]:
        """Return where files of the commit lie with the line endings that a plan gives them: in `folder`."""
        found: dict[str, Path] = {}
        for number, file in enumerate(plan.supplied):
            if file.kind == "git":
                held, found[file.path] = folder / f"{number}.held", folder / f"{number}.mended"
                held.write_bytes(self.contents([file.path], file.size_bytes or _LONGEST_MENDED)[file.path])
                write_mended(str(held), str(found[file.path]), file.digest.algorithm, file.digest.hexdigest)
        return found

    def contents(self, paths: Iterable[str], longest: int) -> dict[str, bytes]:
        """Return the bytes of files as the workspace has them, less those of more than `longest` bytes."""
        found: dict[str, bytes] = {}
        left = list(paths)
        for part in reversed(self.there):  # inner ones first: a path is that of the innermost
            own = {inner: path for path in left if (inner := part.inside(path)) is not None}
            left = [path for path in left if path not in own.values()]
            kept = {pointer.path: pointer for pointer in part.pointers}
            found |= {
                own[inner]: content
                for inner, content in read_contents(part.mirror, part.commit, own, longest).items()
                if own[inner] not in kept
            }
            for path in own.values():
                pointer = kept.get(path)
                place = None if pointer is None else part.objects.found.get(pointer.oid)
                if pointer is not None and place is not None and pointer.size_bytes <= longest:
                    found[path] = place.read_bytes()
        return found


def look_at_parts(
    mirror: Mirror,
    snapshot: RepositorySnapshot,
    location: str,
    mirrors: Path,
    *,
    recorded: bool,
    offline: bool,
    progress: Progress,
) -> tuple[Parts, RepositorySnapshot]:
    """Fetch the submodules, ask where files in Git LFS can be had, and return both with what the snapshot then says.

    Whatever cannot be had is told by the snapshot and not raised: the run may not have needed it. Raises DiskFull.
    """
    place = place_of(location, mirror, recorded=recorded)
    main = _part("", snapshot.commit, mirror, place, snapshot.lfs, offline)
    parts, links = [main], []
    waiting = [(main, place, 0)]
    while waiting:
        outer, outer_place, depth = waiting.pop(0)
        for link, url in read_gitlinks(outer.mirror, outer.commit, outer.path):
            if len(parts) > _MOST_SUBMODULES or depth >= _DEEPEST:
                why = f"more than {_MOST_SUBMODULES} submodules, or {_DEEPEST} in each other, are not followed"
                links.append(link.model_copy(update={"refused": why}))
                continue
            progress.update(f"fetching the submodule {link.path}")
            found, inner, inner_place = open_submodule(link, url, outer_place, mirrors, offline=offline)
            links.append(found)
            if inner is None or inner_place is None:
                continue
            pointers = tuple(
                pointer.model_copy(update={"path": posixpath.join(link.path, pointer.path)})
                for pointer in lfs_pointers_at(inner, link.commit)
            )
            part = _part(link.path, link.commit, inner, inner_place, pointers, offline)
            parts.append(part)
            waiting.append((part, inner_place, depth + 1))
    if any(part.pointers for part in parts):
        progress.update("asking for files in Git LFS")
    states = [state for part in parts for state in _looked_for(part)]
    return Parts(tuple(parts)), snapshot.model_copy(update={"lfs": tuple(states), "submodules": tuple(links)})


def _part(
    path: str, commit: str, mirror: Mirror, place: Place, pointers: tuple[LfsPointer, ...], offline: bool
) -> Part:
    named = _lfs_url(mirror, commit) if pointers else None
    return Part(path, commit, mirror, open_objects(mirror, place, named, offline=offline), pointers)


def _looked_for(part: Part) -> Iterable[LfsPointer]:
    part.objects.look_for(part.pointers)
    for pointer in part.pointers:
        refusal = part.objects.refused.get(pointer.oid)
        if refusal is None:
            yield pointer
        else:
            yield pointer.model_copy(update={"refused": refusal.why, "passing": refusal.passing})


def _lfs_url(mirror: Mirror, commit: str) -> str | None:
    """Return `lfs.url` of the commit's `.lfsconfig`; nothing else of that file counts."""
    try:
        found = run_git(mirror.path, "config", "--blob", f"{commit}:.lfsconfig", "--no-includes", "--get", "lfs.url")
    except GitFailed:
        return None
    return found.decode(errors="replace").strip() or None
