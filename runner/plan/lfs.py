"""Inputs in Git LFS, which nothing here fetches: a training that reads one would be given the text of its pointer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.plan.command import Command
from runner.schema.lineage import Lineage
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import LfsPointer, RepositorySnapshot
from runner.settings import Settings

_DATA = re.compile(
    r"\.(?:csv|tsv|txt|jsonl?|xml|arff|parquet|feather|arrow|avro|orc|np[yz]|mat|xlsx?|dat|data|zip|gz)$"
)
_WRITES = re.compile(r"\bto_\w+\(|savefig|\bdumps?\b|\bsave\w*\(|\.write|\bwriter\b|log_artifact|[\"']w[b+]?[\"']")


def check_lfs(
    record: RunRecord, snapshot: RepositorySnapshot, lineage: Lineage, settings: Settings, command: Command
) -> None:
    """Raise MissingFact where the command, its params or its scripts name data of the commit that are in Git LFS.

    What DVC restores is there all the same. Which other files the training opens is seen when it runs.
    """
    restored = {file.path for file in lineage.files}
    named = [pointer for pointer in snapshot.lfs if pointer.path not in restored and _DATA.search(pointer.path)]
    lines = list(_lines(record, snapshot, command)) if named else []
    found = [pointer for pointer in named if any(_named(pointer).search(line) for line in lines)]
    if not found:
        return
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise MissingFact(
        f"{first.path} is {in_words(first)}{more}",
        command_again(record, settings, f"--pointer 'md5:DIGEST={first.path}'")
        + "    once a DVC remote holds its bytes",
        fact="data",
        looked_in=(f"commit {snapshot.commit[:12]}, which holds the pointer of Git LFS alone",),
        nearest=tuple(f"{pointer.path} is {in_words(pointer)}" for pointer in found[1:]),
    )


def in_words(pointer: LfsPointer) -> str:
    """Return where the bytes of a file are, to go on after `is`."""
    return f"in Git LFS (sha256 {pointer.oid}, {pointer.size_bytes} bytes) and not fetched"


def _named(pointer: LfsPointer) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){re.escape(posixpath.basename(pointer.path))}(?![\w.-])")


def _lines(record: RunRecord, snapshot: RepositorySnapshot, command: Command) -> Iterator[str]:
    """Yield what may name an input: the command, what the run was given, and what its code does not write."""
    yield command.line
    yield from record.params.values()
    for path, text in snapshot.texts.items():
        if path.endswith(".py"):
            yield from (line for line in text.splitlines() if not _WRITES.search(line))
