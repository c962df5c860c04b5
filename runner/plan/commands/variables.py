"""Environment variables that the training reads: set where the run or its own command says their values. Pure.

What only a Makefile, a workflow, a Dockerfile or a committed `.env` sets is shown and not set: nobody can tell whether
the run was made through it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.lineage.recorded import like, normalised
from runner.plan.commands.offered import set_elsewhere
from runner.redact import redact
from runner.schema.lineage import Provenance
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

_LONGEST = 256
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")
_SECRET = re.compile(r"(?:^|_)(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIALS?)(?:$|_)", re.IGNORECASE)


@dataclass(frozen=True)
class Variables:
    """Variables to be set, with where each value was found; `uncertain` names in phrases those that nothing pins."""

    values: dict[str, str]
    found: tuple[Provenance, ...]
    uncertain: tuple[str, ...]


def find_variables(
    names: Sequence[str],
    record: RunRecord,
    snapshot: RepositorySnapshot,
    line: str,
    given: Iterable[tuple[str, str, str]] = (),
) -> Variables:
    """Return what is known of the variables that a script reads.

    `given` are (name, value, source) of the command's own source; they are set whether the script reads them or not.
    A tag of a variable's own name is its value; a param of that name is what the script made of it, so that it is set
    and stays uncertain. What `line` assigns itself needs nothing.
    """
    values: dict[str, str] = {}
    found: list[Provenance] = []
    uncertain: list[str] = []

    def put(name: str, value: str, source: str) -> None:
        values[name] = value
        found.append(Provenance(fact=f"variable {name}", value=redact(f"{name}={value}"), source=source))

    for name, value, source in given:
        if _is_fit(name, value):
            put(name, value, source)
    for name in names:
        if name in values or re.search(rf"(?:^|\s){re.escape(name)}=", line):
            continue
        recorded = _recorded(name, record)
        if recorded is not None:
            put(name, *recorded)
            if recorded[1].startswith("param "):
                uncertain.append(f"environment variable {name} (its value is taken from {recorded[1]})")
            continue
        others = set_elsewhere(name, snapshot)
        offered = "".join(f"; {path} sets {name}={shlex.quote(value)}" for value, path in others[:2])
        uncertain.append(f"environment variable {name}{f' ({offered[2:]})' if offered else ''}")
    return Variables(values, tuple(found), tuple(uncertain))


def variables_of_file(path: str, snapshot: RepositorySnapshot) -> tuple[tuple[str, str, str], ...]:
    """Return (name, value, source) of a file of variables at the commit, as tools read them."""
    found = []
    for line in snapshot.texts.get(path, "").splitlines():
        match = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
        if match is not None:
            value = match[2].strip()
            quoted = re.fullmatch(r"(['\"])(.*)\1", value)
            found.append((match[1], quoted[2] if quoted else value.partition(" #")[0].strip(), f"{path} at the commit"))
    return tuple(found)


def _recorded(name: str, record: RunRecord) -> tuple[str, str] | None:
    names = {normalised(name), f"env_{normalised(name)}"}
    for hit in like(record, names.__contains__):
        cut = hit.source.startswith("param ") and hit.name in record.params_truncated
        if not cut and _is_fit(name, hit.value) and hit.value != "None":
            return hit.value, hit.source
    return None


def _is_fit(name: str, value: str) -> bool:
    """Tell whether a value may be handed on: secrets never are."""
    whole = f"{name}={value}"
    return len(value) <= _LONGEST and value.isprintable() and not _SECRET.search(name) and redact(whole) == whole
