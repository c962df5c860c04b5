"""Objects of Git LFS on this host: those of the repository that was named, and those that its server gave.

An object is used once its bytes have the pointer's SHA-256 and size. What a server gave stays beside the mirror, and so
belongs to that repository alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import DiskFull, MissingFact, RepositoryUnavailable
from runner.progress import Progress
from runner.repository.lfs_server import LfsServer, Offer, Refusal
from runner.repository.mirror import Mirror, locked
from runner.repository.submodules import Place
from runner.schema.snapshot import LfsPointer

_CHUNK = 1 << 20


@dataclass
class LfsObjects:
    """The objects that a repository's files may point to. Lives as long as a plan is made and carried out."""

    cache: Path
    stores: tuple[Path, ...]
    server: LfsServer | None
    refused: dict[str, Refusal] = field(default_factory=dict)
    found: dict[str, Path] = field(default_factory=dict)

    def look_for(self, pointers: Iterable[LfsPointer]) -> None:
        """Find out which objects can be had: those that cannot are in `refused` then. Fetches none."""
        absent = [pointer for pointer in pointers if not self._is_here(pointer)]
        if self.server is None:
            where = "and the repository has no address to ask" if not self.stores else f"and not in {self.stores[0]}"
            self.refused |= {each.oid: Refusal(f"not on this machine, {where}", passing=False) for each in absent}
            return
        for oid, answer in (self.server.offers(absent) if absent else {}).items():
            if isinstance(answer, Refusal):
                self.refused[oid] = answer

    def fetch(self, pointers: Iterable[LfsPointer], progress: Progress) -> Mapping[str, Path]:
        """Return where the objects lie on this host, by their ids, after fetching those that are not there.

        Raises MissingFact, RepositoryUnavailable, DiskFull.
        """
        wanted = {pointer.oid: pointer for pointer in pointers}
        absent = [pointer for pointer in wanted.values() if not self._is_here(pointer)]
        offers = self.server.offers(absent) if self.server is not None and absent else {}
        for number, pointer in enumerate(absent):
            progress.update("fetching from Git LFS", number, len(absent))
            offer = offers.get(pointer.oid, Refusal("no server of Git LFS is known", passing=False))
            refusal = offer if isinstance(offer, Refusal) else self._bring(pointer, offer)
            if refusal is not None:
                raise refused(pointer, refusal)
        return {oid: self.found[oid] for oid in wanted}

    def _bring(self, pointer: LfsPointer, offer: Offer) -> Refusal | None:
        assert self.server is not None  # noqa: S101  # it made the offer
        target = self._kept(pointer.oid)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.cache / "lock"):
                making = self.cache / "making"
                making.unlink(missing_ok=True)  # of a process that was killed: we hold the lock
                refusal = self.server.fetch(pointer, offer, making)
                if refusal is None:
                    making.chmod(0o444)
                    making.replace(target)
                    self.found[pointer.oid] = target
        except OSError as error:
            raise DiskFull(
                f"{pointer.path} ({pointer.size_bytes} bytes) cannot be kept in {self.cache}: {error.strerror}",
                "runner setup --prune, or REPRO_CACHE_DIR=FOLDER",
            ) from error
        return refusal

    def _is_here(self, pointer: LfsPointer) -> bool:
        if pointer.oid in self.found:
            return True
        oid = pointer.oid
        for place in (self._kept(oid), *(store / oid[:2] / oid[2:4] / oid for store in self.stores)):
            if _has_bytes(place, pointer):
                self.found[oid] = place
                return True
        return False

    def _kept(self, oid: str) -> Path:
        return self.cache / oid[:2] / oid


def open_objects(mirror: Mirror, place: Place, lfs_url: str | None, *, offline: bool) -> LfsObjects:
    """Return the objects of the repository at `place`, of which `lfs_url` is what the commit's `.lfsconfig` says.

    A clone's own store counts, and the server of its origin; of its configuration nothing else does.
    """
    stores = () if place.clone is None else (place.clone.common_dir / "lfs" / "objects",)
    ask = place.address is not None and place.address.path is None and not offline
    server = LfsServer(place.address, mirror.path, lfs_url) if ask and place.address is not None else None
    return LfsObjects(mirror.path.with_suffix(".lfs"), stores, server)


def refused(pointer: LfsPointer, refusal: Refusal) -> Exception:
    """Return the error of an object that is needed and cannot be had."""
    what = f"{pointer.path} is in Git LFS (sha256 {pointer.oid}, {pointer.size_bytes} bytes): {refusal.why}"
    if refusal.passing:
        return RepositoryUnavailable(what, "git lfs fetch in a clone of yours, then --repo PATH of it; or try it again")
    return MissingFact(
        what,
        "runner reproduce RUN --repo PATH    of a clone in which `git lfs fetch --all` brought it",
        fact="data",
    )


def _has_bytes(place: Path, pointer: LfsPointer) -> bool:
    """Tell whether a file has the bytes that a pointer names; a link or a pipe is none."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != pointer.size_bytes:
            return False
        hashing = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            hashing.update(chunk)
    return hashing.hexdigest() == pointer.oid
