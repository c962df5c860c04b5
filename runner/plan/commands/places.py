"""In which folder a script was started, where its record does not say: the one in which its relative paths exist."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.lineage.notebook import is_notebook
from runner.lineage.script import Script
from runner.plan.commands.literal_paths import literal_paths
from runner.plan.commands.paths import ends_of, is_absolute, known_paths
from runner.schema.lineage import Considered
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

_SHOWN = 3
_CONSIDERED = "folders in which the script may have been started"
_STORE = re.compile(r"^(?P<folder>.*)/mlruns/[^/]+/[^/]+/artifacts/?$")


@dataclass(frozen=True)
class Place:
    """A folder to start in. `ties` are other folders for which as much speaks, and `evidence` says what does.

    `uncertain` says in a phrase that another folder has files of the same names, and nothing decides.
    """

    folder: str
    source: str
    considered: tuple[Considered, ...] = ()
    ties: tuple[str, ...] = ()
    evidence: Mapping[str, tuple[str, ...]] | None = None
    uncertain: tuple[str, ...] = ()


def candidate_folders(script: Script, snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return the folders in which the recorded name leads to the script, the likeliest first.

    A relative name leads there from one folder alone, one that climbs (`../src/train.py`) from any beside it. An
    absolute one says nothing: editors start in the folder that was opened, and `-m` leaves an absolute name too.
    """
    if is_notebook(script.path):  # a kernel starts in the notebook's own
        return (script.working_directory,)
    name = (script.name or script.path).replace("\\", "/")
    if not is_absolute(name):
        climbed = re.match(r"(?:\./)*((?:\.\./)+)", name)
        if climbed is None:
            return (script.working_directory,)
        base = script.working_directory
        folders = {posixpath.dirname(entry.path) for entry in snapshot.tree}
        depth = climbed[1].count("../")
        inner = [folder for folder in folders if folder and _depth_below(folder, base) == depth]
        return (base, *sorted(inner))
    own = posixpath.dirname(script.path)
    between = [own[:end] for end in range(len(own)) if own[end] == "/"]
    return tuple(dict.fromkeys((script.working_directory, ".", *between, own or ".")))


def choose_place(
    script: Script,
    record: RunRecord,
    snapshot: RepositorySnapshot,
    sources: Iterable[str],
    words: Sequence[str] = (),
) -> Place:
    """Return the folder in which the run's own store was made, else the one that what the script names speaks for.

    That are its own literals, its modules' and its arguments. One folder wins that has all that any has, and something
    that others lack. Where two have each something of their own, both are ties; where nothing speaks for any, it is the
    first candidate, and that is said.
    """
    candidates = candidate_folders(script, snapshot)
    first = candidates[0]
    if len(candidates) == 1:
        if first == ".":
            return Place(first, "default: the repository's root")
        return Place(first, f"{script.source}: the recorded path starts there")
    named: frozenset[str] = frozenset().union(*(literal_paths(text) for text in sources), _relative(words))
    known = known_paths(snapshot)
    found = _decisive({folder: {path for path in named if _in(folder, path) in known} for folder in candidates})
    store = _store_folder(script, record, sources)
    if store in found:  # what was seen of this run, before what its source lets one expect
        considered = tuple(
            Considered(
                source=_CONSIDERED, value=folder, reason=f"{_some(sorted(paths))} is there, and no store of the run"
            )
            for folder, paths in found.items()
            if folder != store and paths - found[store]
        )
        return Place(store, "inferred: the run's own store (mlruns) was made there", considered)
    if not any(found.values()):
        parents = {
            folder: {path for path in named if "/" in path and _in(folder, posixpath.dirname(path)) in known}
            for folder in candidates
        }
        found = _decisive(parents)
    if not any(found.values()):
        where = "the repository's root" if first == "." else first
        source = f"default: {where}, since no path that the script names is in one folder alone"
        return Place(first, source, uncertain=_open(first, candidates, named, snapshot))
    best = [folder for folder in candidates if found[folder] and all(found[folder] >= has for has in found.values())]
    evidence = {folder: tuple(sorted(paths)) for folder, paths in found.items() if paths}
    if not best:
        ties = [folder for folder in candidates if found[folder] and not _beaten(folder, found)]
        return Place(ties[0], "several folders", ties=tuple(ties[1:]), evidence=evidence)
    winner = best[0]
    considered = tuple(
        Considered(
            source=_CONSIDERED,
            value=folder,
            reason=f"it lacks {_some(evidence[winner])}",
        )
        for folder in candidates
        if folder != winner and found[folder] != found[winner]
    )
    return Place(winner, f"inferred: {_some(evidence[winner])} is there", considered, evidence=evidence)


def _decisive(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return what each folder has that some other lacks."""
    shared = set.intersection(*found.values())
    return {folder: paths - shared for folder, paths in found.items()}


def _open(
    first: str, candidates: Sequence[str], named: frozenset[str], snapshot: RepositorySnapshot
) -> tuple[str, ...]:
    """Return that another folder has other files of the names that the script may read here (VERDICTS rule 11)."""
    files = {entry.path for entry in snapshot.tree} | {out.path for out in snapshot.pointers}
    for folder in candidates:
        both = sorted(path for path in named if _in(first, path) in files and _in(folder, path) in files)
        if folder != first and both:
            return (f"working directory ({folder} has {_some(both)} too)",)
    return ()


def _beaten(folder: str, found: Mapping[str, set[str]]) -> bool:
    return any(found[folder] < has for has in found.values())


def _store_folder(script: Script, record: RunRecord, sources: Iterable[str]) -> str | None:
    """Return the folder in which the run's store was, as MLflow makes one in the current directory unasked."""
    match = _STORE.match(re.sub(r"^file:/*(?=[A-Za-z]:|/)", "", (record.artifact_root or "").replace("\\", "/")))
    name = (script.name or "").replace("\\", "/")
    if match is None or not is_absolute(name) or any("set_tracking_uri" in text for text in sources):
        return None
    bare = ["/".join(ends_of(text)[:1]) for text in (name, match["folder"])]
    root = bare[0].removesuffix(script.path).rstrip("/")
    if not bare[0].endswith("/" + script.path) or not (bare[1] == root or bare[1].startswith(root + "/")):
        return None
    return bare[1][len(root) :].strip("/") or "."


def _relative(words: Sequence[str]) -> frozenset[str]:
    values = [word.partition("=")[2] if word.startswith("-") else word for word in words]
    return frozenset(posixpath.normpath(word) for word in values if "/" in word and not is_absolute(word))


def _in(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _depth_below(folder: str, base: str) -> int:
    inner = posixpath.relpath(folder, base)
    return -1 if inner.startswith("..") else 0 if inner == "." else inner.count("/") + 1


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
