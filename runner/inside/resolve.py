"""Phase 2a, first half: from the files at the commit to one exact lock with a hash for every package.

No code of the repository or of a package runs. Standard library and uv.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.inside.environment import normalised
from runner.inside.protocol import MISSING, PhaseError
from runner.inside.requirements import hashes, lock_text, requirement_name
from runner.inside.uv import Unsatisfiable, Uv, WheelsNeeded, compile_arguments, install_arguments
from runner.inside.wanted import Specification, Wanted

# What `ensurepip` and pip's virtual environments put beside the packages before Python 3.12: nobody listed it, many
# import it (`pkg_resources`; mlflow 2.2 does without declaring it).
_SETUPTOOLS = "setuptools==65.5.1"
_SETUPTOOLS_UNTIL = (3, 12)
_GIVEN_UP_ALONE = 5  # recorded versions that are tried without, one at a time, where they fit no others
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
    project: Built | None = None,
) -> str:
    """Return the lock: sorted lines `NAME==VERSION [; marker] --hash=sha256:…`, one a package.

    `built` are wheels for what indexes have only as source, `project` is that of the repository itself. Raises
    WheelsNeeded where one more must be built, PhaseError for all else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if wanted.lock is not None and not specification.overrides:
        text = _with_built(wanted.lock, built)
        _write(folder / "index.txt", _without(text, built))
        # Says which packages have no wheel here, before anything is fetched.
        uv.run(["venv", "--quiet", "--python", python, "--no-project", str(folder / "empty")])
        empty = str(folder / "empty" / "bin" / "python")
        try:
            uv.run(install_arguments(str(folder / "index.txt"), python=empty, dry_run=True))
        except Unsatisfiable as error:
            raise _no_such_build(error, text.splitlines()) or error from error
        return text
    lines = list(wanted.lines)
    if wanted.lock is not None:
        kept = (line for line in wanted.lock.splitlines() if requirement_name(line) not in specification.replaced)
        lines = [line.split(" --hash", 1)[0] for line in kept]
    if project is not None and specification.kind != "uv.lock":
        lines.append(f"{project.name}{wanted.project or ''} @ file://{project.path}")
    overrides = [_override(text) for text in specification.overrides]
    _write(folder / "requirements.in", "\n".join([*lines, *overrides]) + "\n")
    _write(folder / "overrides.txt", "\n".join(overrides) + "\n")

    def compiled(recorded: Sequence[str]) -> str:
        constraints = [*wanted.constraints, *recorded]
        _write(folder / "constraints.txt", "\n".join(constraints) + "\n")
        return uv.run(
            compile_arguments(
                [str(folder / "requirements.in")],
                python=python,
                exclude_newer=specification.as_of,
                constraints=[str(folder / "constraints.txt")] if constraints else [],
                overrides=[str(folder / "overrides.txt")] if overrides else [],
                find_links=[str(built[0].path.parent)] if built else [],
                prereleases=wanted.prereleases,
            )
        )

    try:
        output = compiled(specification.constraints)
    except Unsatisfiable as error:
        missing = _no_such_build(error, [*lines, *overrides])
        raise missing or _contradicted(error, specification, compiled) from error
    text = lock_text(output)
    named = {requirement_name(line) for line in text.splitlines()}
    if wanted.with_setuptools and sys.version_info < _SETUPTOOLS_UNTIL and "setuptools" not in named:
        text = lock_text(text + _setuptools(uv, folder, python, wanted.notes))
    return text


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


def _contradicted(
    error: Unsatisfiable, specification: Specification, compiled: Callable[[Sequence[str]], str]
) -> PhaseError:
    """Return what to say where no packages fit: which recorded versions are in the way, and others that fit."""
    recorded = specification.constraints
    named = [line for line in recorded if line.partition("==")[0] in error.packages]
    for given_up in [*([line] for line in named[:_GIVEN_UP_ALONE]), named, list(recorded)]:
        if not given_up:
            continue
        try:
            found = pins(compiled([line for line in recorded if line not in given_up]))
        except (Unsatisfiable, WheelsNeeded):
            continue
        changed = [line for line in given_up if found.get(line.partition("==")[0]) != line.partition("==")[2]]
        names = [line.partition("==")[0] for line in changed]
        others = [f"{name}=={found[name]}" for name in names if name in found]
        if others:
            return PhaseError(
                MISSING,
                f"{', '.join(changed)} as the run recorded cannot be had with the rest: {error.sentence}",
                " ".join(["runner reproduce RUN", *(f"--with {text}" for text in (*specification.overrides, *others))]),
                fact="environment",
            )
    return error


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
