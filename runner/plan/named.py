"""What the command, the run's params and its code name: a file that none of them names is likely not read."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from runner.plan.command import Command
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

_WRITES = re.compile(r"\bto_\w+\(|savefig|\bdumps?\b|\bsave\w*\(|\.write|\bwriter\b|log_artifact|[\"']w[b+]?[\"']")
_WORD = re.compile(r"[\w.-]+")


class Names:
    """All that is named, in one reading: lines of code that write are left out."""

    def __init__(self, record: RunRecord, snapshot: RepositorySnapshot, command: Command) -> None:
        self._text = "\n".join(_lines(record, snapshot, command))
        self._words = frozenset(_WORD.findall(self._text))

    def has_file(self, path: str) -> bool:
        """Tell whether the name of a file occurs, as a word of its own."""
        name = posixpath.basename(path)
        return name in self._words if _WORD.fullmatch(name) else name in self._text

    def has_folder(self, path: str) -> bool:
        """Tell whether a folder is named as a part of a path, as a text of its own or as a module to import."""
        name = re.escape(posixpath.basename(path))
        return (
            re.search(rf"(?<![\w.-]){name}[/\\]|[\"'/\\]{name}[\"']|^\s*(?:from|import)\s+{name}\b", self._text, re.M)
            is not None
        )


def _lines(record: RunRecord, snapshot: RepositorySnapshot, command: Command) -> Iterator[str]:
    yield command.line
    yield from record.params.values()
    for path, text in snapshot.texts.items():
        if path.endswith(".py"):
            yield from (line for line in text.splitlines() if not _WRITES.search(line))
