"""Looking up what a run recorded: tags before params, under the names that people use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runner.schema.run_record import RunRecord


@dataclass(frozen=True)
class Recorded:
    """A value of the record; `source` names it as its user would (`tag git_commit`)."""

    name: str
    value: str
    source: str


def normalised(name: str) -> str:
    """Return a name in small letters with every other sign made `_`: `dvc.data-MD5` is `dvc_data_md5`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def named(record: RunRecord, names: Iterable[str]) -> list[Recorded]:
    """Return what is recorded under exactly these names, in their order, each as a tag before as a param."""
    found = []
    for name in names:
        for word, values in (("tag", record.tags), ("param", record.params)):
            if values.get(name, "").strip():
                found.append(Recorded(name, values[name].strip(), f"{word} {name}"))
    return found


def like(record: RunRecord, test: Callable[[str], bool]) -> list[Recorded]:
    """Return what is recorded under names of which the normalised form passes `test`: tags, then params, by name."""
    return [
        Recorded(name, values[name].strip(), f"{word} {name}")
        for word, values in (("tag", record.tags), ("param", record.params))
        for name in sorted(values)
        if values[name].strip() and test(normalised(name))
    ]


def says_yes(text: str) -> bool:
    """Tell whether a recorded text means yes."""
    return text.strip().lower() in ("true", "1", "yes", "y", "dirty")
