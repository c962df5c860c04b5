"""Phase 2a, first half: from the files at the commit to one exact lock with a hash for every package.

No code of the repository or of a package runs. Standard library and uv.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from runner.inside.packages import out_of_reach
from runner.inside.packages.chosen import Chosen
from runner.inside.packages.diagnosis import explained
from runner.inside.packages.environment import normalised
from runner.inside.packages.imported import packages_of
from runner.inside.packages.out_of_reach import OutOfReach, OutOfReachFound
from runner.inside.packages.requirements import (
    hashes,
    lock_text,
    pinned_here,
    plain_build_requirement,
    requirement_name,
)
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.stand_ins import StandIns
from runner.inside.packages.uv import (
    Shadowed,
    UnknownPackage,
    Unsatisfiable,
    Uv,
    WheelsNeeded,
    compile_arguments,
    install_arguments,
    undated_index,
    undated_links,
)
from runner.inside.packages.wanted import Recorded, Specification, Wanted, without
from runner.inside.protocol import MISSING, PhaseError

# What `ensurepip` and pip's virtual environments put beside the packages before Python 3.12: nobody listed it, many
# import it (`pkg_resources`; mlflow 2.2 does without declaring it).
_SETUPTOOLS = "setuptools==65.5.1"
_SETUPTOOLS_UNTIL = (3, 12)
REDATE = "runner reproduce RUN --allow redate    to take the packages of the first later day that has them"
_NO_NAMES_OF_AN_INDEX = {"conda": "which the list of conda's names", "imports": "inferred from an import"}
_UNKNOWN_TOLD = 30  # packages that no index knows, and that one error names
_GIVEN_UP_ALONE = 5  # recorded versions that are tried without, one at a time, where they fit no others
_EXTRAS = re.compile(r"\[[^\]]*\]")
_OTHER_BUILD = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[[^\]]*\])?\s*={2,3}\s*(?P<version>[^\s;+]+\+(?P<build>cu\d+|cpu|rocm[\d.]+|xpu))"
)
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*===?\s*(?P<version>[^\s;,\\]+)")


@dataclass(frozen=True)
class Built:
    """A wheel that phase 2b built for this repository and commit."""

    name: str
    version: str
    path: Path

    @property
    def sha256(self) -> str:
        """The digest of the wheel's bytes."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def resolve(
    specification: Specification,
    wanted: Wanted,
    uv: Uv,
    *,
    folder: Path,
    python: str,
    built: Sequence[Built] = (),
    trees: Sequence[tuple[SourceTree, Built]] = (),
    before: Chosen | None = None,
) -> str:
    """Return the lock: sorted lines `NAME==VERSION [; marker] --hash=sha256:…`, one a package.

    `built` are wheels for what indexes have only as source, `trees` those of places of no index; `before` is what was
    chosen before some of them were there. What cannot be had is left out, and noted, where nothing imports it and names
    are not the author's own for an index: of a list of conda's, which names libraries too, and of imports; so is what
    is for another system alone. Raises WheelsNeeded where one more must be built, PhaseError for all else.
    """
    left_out: dict[str, OutOfReach] = {}
    while True:
        try:
            text = _resolve(
                specification, wanted, uv, folder=folder, python=python, built=built, trees=trees, before=before
            )
        except OutOfReachFound as found:
            left_out |= found.packages
            wanted.without(found.packages)
            continue
        except UnknownPackage as unknown:
            others = [line for line in wanted.lines if requirement_name(line) != unknown.name]
            said_by = _NO_NAMES_OF_AN_INDEX.get(specification.kind)
            if not others or len(others) == len(wanted.lines) or unknown.name in _imported(specification):
                raise
            if said_by is None:
                without_it = replace(wanted, lines=others, with_setuptools=False)
                again = partial(_resolve, specification, uv=uv, folder=folder, python=python, built=built, trees=trees)
                raise _all_unknown(unknown, wanted, without_it, again) from unknown
            wanted.lines = others
            wanted.notes.append(f"{unknown.name}, {said_by}, is on no package index: left out")
            continue
        wanted.notes += out_of_reach.sentences(left_out, specification, pins(text))
        wanted.notes += (
            f"{why}; nothing that is imported needs it: left out" for why in specification.given_up.values()
        )
        return text


def closure(
    specification: Specification, wanted: Wanted, uv: Uv, *, folder: Path, python: str
) -> frozenset[str] | None:
    """Return the packages that the imports of the training need, by normalised names, with all that these need.

    None where that is not known: nothing is known of imports, or no versions fit.
    """
    if not specification.imports or wanted.lock is not None:
        return None
    imported = {*packages_of(specification.imports), "mlflow"}
    lines = [line for line in wanted.lines if requirement_name(line) in imported]
    named = {requirement_name(line) for line in lines}
    lines += [
        text for module in specification.imports for text in module.distributions if requirement_name(text) not in named
    ]
    bounds = [_EXTRAS.sub("", line) for line in wanted.lines if requirement_name(line) not in imported]
    constraints = [*wanted.constraints, *filter(plain_build_requirement, bounds)]
    inner = replace(wanted, lines=lines, constraints=constraints, with_setuptools=False, trees=[], notes=[])
    try:
        return frozenset(pins(resolve(specification, inner, uv, folder=folder, python=python)))
    except WheelsNeeded as needed:
        return None if needed.chosen is None else frozenset(needed.chosen.versions)
    except PhaseError:
        return None


def _imported(specification: Specification) -> Mapping[str, str]:
    """Return the packages of a list of conda's that are the author's own: those that the training imports."""
    return packages_of(specification.imports) if specification.kind == "conda" else {}


def _all_unknown(
    first: UnknownPackage, wanted: Wanted, without_it: Wanted, again: Callable[[Wanted], str]
) -> PhaseError:
    """Return the error for every line whose package no index knows: a list of a whole system has many."""
    names = [first.name]
    while len(names) < _UNKNOWN_TOLD:
        try:
            again(without_it)
        except UnknownPackage as unknown:
            others = [line for line in without_it.lines if requirement_name(line) != unknown.name]
            if len(others) == len(without_it.lines):
                break
            names.append(unknown.name)
            without_it.lines = others
        except (PhaseError, WheelsNeeded):
            break
        else:
            break
    if len(names) == 1:
        return first
    lines = [line.split(" --hash", 1)[0] for line in wanted.lines if requirement_name(line) in names]
    return PhaseError(
        MISSING,
        f"no package index knows the packages {', '.join(lines)}",
        "set UV_INDEX where a private index has them; what a system's own package manager installed is on none: then "
        "name a list without them with `environment:` in runner.yaml",
        fact="environment",
    )


def _resolve(
    specification: Specification,
    wanted: Wanted,
    uv: Uv,
    *,
    folder: Path,
    python: str,
    built: Sequence[Built],
    trees: Sequence[tuple[SourceTree, Built]],
    before: Chosen | None = None,
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    if wanted.lock is not None and not specification.overrides and not specification.recorded_overrides:
        text = _with_built(wanted.lock, built)
        _write(folder / "index.txt", _without(text, built))
        # Says which packages have no wheel here, before anything is fetched.
        uv.run(["venv", "--quiet", "--python", python, "--no-project", str(folder / "empty")])
        empty = str(folder / "empty" / "bin" / "python")
        try:
            uv.run(install_arguments(str(folder / "index.txt"), python=empty, dry_run=True), by_hash=True)
        except Unsatisfiable as error:
            raise (_no_such_build(error, text.splitlines()) or _told(error, uv, specification)) from error
        return _seeded(text, wanted, uv, folder, python)
    lines = list(wanted.lines)
    if wanted.lock is not None:
        kept = (line for line in wanted.lock.splitlines() if requirement_name(line) not in specification.replaced)
        lines = [line.split(" --hash", 1)[0] for line in kept]
    if not wanted.closed:
        lines += [f"{wheel.name}{tree.extras} @ file://{wheel.path}" for tree, wheel in trees]
    lines = [line for line in lines if requirement_name(line) not in specification.given_up]
    overrides = tuple(_override(text) for text in specification.overrides)
    # Whoever asks for it goes without: an override whose marker is never true asks for nothing.
    overrides += tuple(f"{name} ; python_version < '0'" for name in sorted(specification.given_up))
    compiled = _Compilation(uv, folder, python, (*lines, *overrides), overrides, wanted, tuple(built))
    own = without(lines, specification.recorded_overrides)
    try:
        output = compiled(specification.recorded, as_of=specification.as_of, before=before)
    except UnknownPackage:
        if specification.from_conda:
            out_of_reach.look(specification, own, uv.settings, ())
        raise
    except Unsatisfiable as error:
        if wanted.lock is None:
            out_of_reach.look(specification, own, uv.settings, error.required)
        raise (_no_such_build(error, [*lines, *overrides]) or _why_not(error, specification, compiled)) from error
    text = lock_text(output)
    return _seeded(text, wanted, uv, folder, python)


@dataclass(frozen=True)
class _Compilation:
    """Chooses versions for requirements, with these or those that were recorded, as of this or that day."""

    uv: Uv
    folder: Path
    python: str
    lines: tuple[str, ...]
    overrides: tuple[str, ...]
    wanted: Wanted
    built: tuple[Built, ...]

    def __call__(self, recorded: Recorded, *, as_of: str | None, before: Chosen | None = None) -> str:
        """Return uv's lock. Raises WheelsNeeded for a version of it that must be built first.

        What was chosen `before` those were built is not looked for again where it still fits.
        """
        lines, constraints = self._with_recorded(recorded)
        # What no line asks for, the repository's own wheel does: that can only be overridden, whoever asks for it.
        overrides = (*self.overrides, *without(recorded.overrides, (*self.lines, *self.wanted.constraints)))
        pinned = pinned_here([*lines, *self.wanted.declared, *constraints, *overrides])
        stand_ins = StandIns(
            Path(tempfile.mkdtemp(dir=self.folder)),
            self.uv.settings,
            as_of=as_of,
            pinned=pinned,
            prereleases=self.wanted.prereleases,
            built={(wheel.name, wheel.version) for wheel in self.built},
            without_any=before.without_sources if before else (),
        )
        if before is not None:
            stand_ins.add(before.with_sources)
        compile_these = partial(
            compile_arguments,
            [self._file("requirements.in", lines)],
            python=self.python,
            exclude_newer=as_of,
            pinned=pinned,
            constraints=[self._file("constraints.txt", constraints)] if constraints else [],
            overrides=[self._file("overrides.txt", overrides)] if overrides else [],
            find_links=[str(path) for path in (stand_ins.folder, *(wheel.path.parent for wheel in self.built[:1]))],
            prereleases=self.wanted.prereleases,
        )
        preferences = None if before is None else self._file("preferences.txt", before.lines)
        arguments = compile_these(preferences=preferences)
        while True:
            try:
                output = self.uv.run(arguments)
            except WheelsNeeded:
                if not stand_ins.add(self.uv.tried):
                    raise
                continue
            found = pins(output)
            if preferences is not None and not (before and before.holds_in(found)):
                # What was built asks for other versions: they are chosen as if it had been there from the first.
                preferences, arguments = None, compile_these()
                continue
            # What was looked for again, or is not there in the end, was refused: perhaps for its lack of a wheel alone.
            refused = [name for name, times in self.uv.tried.items() if times > 1 or name not in found]
            if not stand_ins.add(refused):
                break
        if as_of is not None and (linked := set(undated_links(output, self.uv.settings.links)) - pinned.keys()):
            raise undated_index(f"{min(linked)} {found[min(linked)]}, which comes by a link,")
        if chosen := stand_ins.chosen(found):
            name, version = chosen[0]
            raise WheelsNeeded(
                name,
                version,
                f"{name} {version} has only a source archive",
                also=chosen[1:],
                chosen=Chosen(found, *stand_ins.looked_at),
            )
        return output

    def _with_recorded(self, recorded: Recorded) -> tuple[list[str], list[str]]:
        """Return the requirements and constraints with recorded versions in the place of others.

        What other packages ask for still holds: versions that do not fit are to be told, and not to be installed.
        """
        asked = {requirement_name(line) for line in self.lines}
        lines = without(self.lines, recorded.overrides)
        lines += [line for line in recorded.overrides if requirement_name(line) in asked]
        constraints = [*without(self.wanted.constraints, recorded.overrides), *recorded.constraints]
        constraints += [f"{requirement_name(line)}=={line.partition('==')[2]}" for line in recorded.overrides]
        return lines, constraints

    def _file(self, name: str, lines: Sequence[str]) -> str:
        _write(self.folder / name, "\n".join(lines) + "\n")
        return str(self.folder / name)


def _no_such_build(error: Unsatisfiable, lines: Sequence[str]) -> PhaseError | None:
    """Return what to say where a build of PyTorch's own indexes was asked for, and none of those was."""
    for line in lines:
        build = _OTHER_BUILD.match(line)
        if build is not None and requirement_name(line) in error.packages:
            index = f"https://download.pytorch.org/whl/{build['build']}"
            instead = "" if build["build"] == "cpu" else ", or `--allow cpu-torch` for the build without a GPU"
            return PhaseError(
                MISSING,
                f"none of the package indexes that were asked has {build['name']} {build['version']}: {error.sentence}",
                f"UV_INDEX={index} before the same command, where PyTorch keeps such builds{instead}",
                fact="environment",
            )
    return None


def _why_not(error: Unsatisfiable, specification: Specification, compiled: _Compilation) -> PhaseError:
    """Return what to say where no packages fit: what is in the way, and what would fit."""
    if isinstance(error, Shadowed):
        return error
    found = _contradicted(error, specification, compiled)
    if found is not None:
        return found
    if specification.as_of is not None:
        try:
            compiled(specification.recorded, as_of=None)
        except Unsatisfiable as whenever:
            error = whenever
        except WheelsNeeded:
            return not_by_then(specification.as_of, error.sentence)
        else:
            return not_by_then(specification.as_of, error.sentence)
    return _told(error, compiled.uv, specification)


def _told(error: Unsatisfiable, uv: Uv, specification: Specification) -> PhaseError:
    return explained(error, uv.settings, day=specification.day, pythons=specification.pythons)


def not_by_then(as_of: str, why: str) -> PhaseError:
    """Return the error for what the day of the run lacks, and a later one has."""
    return PhaseError(
        MISSING,
        f"the packages of {as_of[:10]} cannot be had together: {why}",
        REDATE,
        fact="environment",
        later=True,
    )


def _contradicted(error: Unsatisfiable, specification: Specification, compiled: _Compilation) -> PhaseError | None:
    """Return which recorded versions are in the way, and others that fit; None where they are not the cause."""
    recorded = specification.recorded
    every = [*recorded.overrides, *recorded.constraints]
    named = [line for line in every if requirement_name(line) in error.packages]
    for given_up in [*([line] for line in named[:_GIVEN_UP_ALONE]), named, list(recorded.overrides), every]:
        if not given_up:
            continue
        try:
            found = pins(compiled(recorded.without(given_up), as_of=specification.as_of))
        except (Unsatisfiable, WheelsNeeded):
            continue
        changed = [line for line in given_up if found.get(requirement_name(line) or "") != line.partition("==")[2]]
        names = [requirement_name(line) or "" for line in changed]
        others = [f"{name}=={found[name]}" for name in names if name in found]
        if others:
            return PhaseError(
                MISSING,
                f"{', '.join(changed)} as the run recorded cannot be had with the rest: {error.sentence}"
                f"{_asked_otherwise(specification, compiled, changed)}",
                " ".join(["runner reproduce RUN", *(f"--with {text}" for text in (*specification.overrides, *others))]),
                fact="environment",
            )
    return None


def _asked_otherwise(specification: Specification, compiled: _Compilation, changed: Sequence[str]) -> str:
    """Return what the commit's list asks for in the place of recorded versions, to go on after a sentence."""
    names = {requirement_name(line) for line in changed if line in specification.recorded_overrides}
    asked = (*compiled.wanted.constraints, *compiled.lines, *compiled.wanted.declared)
    lines = dict.fromkeys(line for line in asked if requirement_name(line) in names)
    return f"; {specification.main} asks for {', '.join(lines)}" if lines else ""


def _seeded(text: str, wanted: Wanted, uv: Uv, folder: Path, python: str) -> str:
    """Return the lock with what virtual environments had beside the packages, where it lacks it."""
    named = {requirement_name(line) for line in text.splitlines()}
    if not wanted.with_setuptools or sys.version_info >= _SETUPTOOLS_UNTIL or "setuptools" in named:
        return text
    return lock_text(text + _setuptools(uv, folder, python, wanted.notes))


def _setuptools(uv: Uv, folder: Path, python: str, notes: list[str]) -> str:
    _write(folder / "setuptools.in", f"{_SETUPTOOLS}\n")
    try:
        line = uv.run(compile_arguments([str(folder / "setuptools.in")], python=python, exclude_newer=None))
    except (PhaseError, WheelsNeeded):
        notes.append("setuptools is not there: virtual environments had it before Python 3.12, and no index has it")
        return ""
    notes.append(f"{_SETUPTOOLS} added: virtual environments had it unasked before Python 3.12")
    return line


def pins(lock: str) -> dict[str, str]:
    """Return the exact versions of a lock or requirements text, by normalised name."""
    found = (_PINNED.match(line) for line in lock.splitlines())
    return {normalised(match["name"]): match["version"] for match in found if match}


def split_built(lock: str, wheels: Sequence[Built]) -> tuple[str, list[Built]]:
    """Return the lines of the lock that an index serves, and the wheels of ours that stand for the others."""
    digests = {f"sha256:{wheel.sha256}": wheel for wheel in wheels}
    index, used = [], []
    for line in lock.splitlines():
        ours = next((digests[digest] for digest in hashes(line) if digest in digests), None)
        if ours is None:
            index.append(line)
        else:
            used.append(ours)
    return "".join(f"{line}\n" for line in index), used


def _with_built(lock: str, built: Sequence[Built]) -> str:
    """Put our wheels' hashes in the place of those of the source archives that they were built from."""
    ours = {wheel.name: wheel for wheel in built}
    lines = []
    for line in lock.splitlines():
        wheel = ours.get(requirement_name(line) or "")
        if wheel is not None and pins(line).get(wheel.name) == wheel.version:
            lines.append(f"{line.split(' --hash', 1)[0]} --hash=sha256:{wheel.sha256}")
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _without(lock: str, built: Sequence[Built]) -> str:
    return split_built(lock, built)[0]


def _override(text: str) -> str:
    if requirement_name(text) is None or "@" in text or "/" in text:
        raise PhaseError(MISSING, f"{text} is no requirement", "--with NAME==VERSION", fact="environment")
    return text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
