"""Files of the commit in Git LFS: which of them the workspace gets, and which a training must not go without."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.errors import MissingFact, RepositoryUnavailable
from runner.lineage.remedy import command_again
from runner.plan.named import Names
from runner.schema.digest import DigestValue
from runner.schema.lineage import Lineage
from runner.schema.plan import SuppliedFile
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import LfsPointer, RepositorySnapshot
from runner.settings import Settings

DEFAULT_LIMIT = 2 << 30
"""As much as GitHub takes as one file without a paid plan; what is fetched counts against its owner's allowance."""

_DATA = re.compile(
    r"\.(?:csv|tsv|txt|jsonl?|xml|arff|parquet|feather|arrow|avro|orc|np[yz]|mat|xlsx?|dat|data|zip|gz)$"
)


def choose_lfs(
    record: RunRecord, snapshot: RepositorySnapshot, lineage: Lineage, settings: Settings, names: Names
) -> tuple[tuple[SuppliedFile, ...], tuple[str, ...]]:
    """Return the files whose bytes the workspace gets, and a note on those that stay pointers.

    All of the commit, as a clone has them; where those are more than the limit, what the command, its params or its
    scripts name. Which others the training opens is seen when it runs. Raises MissingFact where what is named is over
    the limit, or data that is named is in no store; RepositoryUnavailable where the store refused.
    """
    restored = {file.path for file in lineage.files}
    pointers = [pointer for pointer in snapshot.lfs if pointer.path not in restored]
    if not pointers:
        return (), ()
    named = [pointer for pointer in pointers if names.has_file(pointer.path)]
    refused = [pointer for pointer in named if pointer.refused is not None and _DATA.search(pointer.path)]
    if refused:
        raise _refused(refused, record, snapshot, settings)
    limit = settings.lfs_bytes or DEFAULT_LIMIT
    chosen = [pointer for pointer in pointers if pointer.refused is None]
    if total_bytes(chosen) > limit:
        everything, chosen = chosen, [pointer for pointer in named if pointer.refused is None]
        if total_bytes(chosen) > limit:
            raise _too_large(chosen, everything, limit, record, snapshot, settings)
    kept = {pointer.path for pointer in chosen}
    left = [pointer for pointer in pointers if pointer.path not in kept]
    notes: tuple[str, ...] = ()
    if left:
        why = left[0].refused or f"together more than {in_bytes(limit)} (--lfs-limit)"
        files = "1 file" if len(left) == 1 else f"{len(left)} files"
        notes = (f"data: {files} in Git LFS stayed pointers, such as {left[0].path}: {why}",)
    source = f"Git LFS, commit {snapshot.commit[:12]}"
    supplied = tuple(
        SuppliedFile(
            kind="lfs",
            path=pointer.path,
            digest=DigestValue("sha256", pointer.oid),
            size_bytes=pointer.size_bytes,
            source=source,
        )
        for pointer in chosen
    )
    return supplied, notes


def total_bytes(pointers: Iterable[LfsPointer]) -> int:
    """Return how much is to be fetched: an object once, however many files have it."""
    return sum({pointer.oid: pointer.size_bytes for pointer in pointers}.values())


def limit_for(pointers: Iterable[LfsPointer]) -> str:
    """Return a limit in docker's notation under which these can be fetched."""
    mebibytes = -(-total_bytes(pointers) // (1 << 20)) or 1
    return f"{mebibytes}m" if mebibytes < 1024 else f"{-(-mebibytes // 1024)}g"


def in_bytes(count: int) -> str:
    """Return a size for people."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.3g} {unit}"
    return f"{count} bytes"


def in_words(pointer: LfsPointer) -> str:
    """Return where the bytes of a file are, to go on after `is`."""
    why = "not fetched" if pointer.refused is None else f"cannot be had: {pointer.refused}"
    return f"in Git LFS (sha256 {pointer.oid}, {pointer.size_bytes} bytes) and {why}"


def _refused(
    pointers: list[LfsPointer], record: RunRecord, snapshot: RepositorySnapshot, settings: Settings
) -> MissingFact | RepositoryUnavailable:
    first = pointers[0]
    more = f" (and {len(pointers) - 1} more)" if len(pointers) > 1 else ""
    cause = f"{first.path} is {in_words(first)}{more}"
    remedy = command_again(record, settings, "--repo PATH") + "    a clone in which `git lfs fetch --all` brought it"
    if first.passing:
        return RepositoryUnavailable(cause, remedy)
    return MissingFact(
        cause,
        remedy,
        fact="data",
        looked_in=(f"Git LFS of {snapshot.url}", f"commit {snapshot.commit[:12]}, which holds the pointer alone"),
        nearest=tuple(f"{pointer.path} is {in_words(pointer)}" for pointer in pointers[1:]),
    )


def _too_large(
    needed: list[LfsPointer],
    everything: list[LfsPointer],
    limit: int,
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
) -> MissingFact:
    largest = max(needed, key=lambda pointer: pointer.size_bytes)
    files = largest.path if len(needed) == 1 else f"{len(needed)} files such as {largest.path}"
    return MissingFact(
        f"{files} in Git LFS: {in_bytes(total_bytes(needed))} that the run's code names, more than the limit of "
        f"{in_bytes(limit)}",
        command_again(record, settings, f"--lfs-limit {limit_for(needed)}"),
        fact="data",
        looked_in=(f"Git LFS of {snapshot.url}: {len(everything)} files, {in_bytes(total_bytes(everything))}",),
    )
