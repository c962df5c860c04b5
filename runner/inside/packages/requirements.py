"""Reading requirement files statically: what uv is given is what we understood, and nothing of this machine.

A requirements file may include other files, name indexes and paths, and have variables of the environment expanded:
all of that is the repository's wish, so it is taken apart here. Pure, but for the Python that markers are read for: the
one that runs this, which is the training's. Standard library and `packaging`.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from runner.inside.packages.source_tree import SourceTree, of_line
from runner.inside.protocol import MISSING, PhaseError

_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"--hash[=\s]\s*(?P<hash>sha(?:256|384|512):[0-9a-f]+)")
_TRAILING_OPTION = re.compile(r"\s--(?:config-settings?|global-option|install-option)[=\s].*$")
_EGG = re.compile(r"#egg=(?P<name>[A-Za-z0-9._-]+)")
_NAME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")
_STAR = re.compile(r"(?P<bound>[<>]=?\s*[0-9][0-9.]*)\.\*")
_BUILD_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[A-Za-z0-9._, -]*\])?\s*(\(?\s*[<>=!~][A-Za-z0-9.*+!<>=~, ]*\)?)?\s*"
    r"(;[^@/\\\r\n]*)?"
)
_SHORT = {"-r": "--requirement", "-c": "--constraint", "-i": "--index-url", "-f": "--find-links"}
_ARCHIVE_NAME = re.compile(
    r"(?:^|[/\\])(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)-(?P<version>\d[\w.!]*)"
    r"(?:\+[\w.]+)?(?:-[\w.]+-[\w.]+-[\w.]+\.whl|\.tar\.(?:gz|bz2|xz)|\.zip)$"
)
_NAMED_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@\s*file:", re.IGNORECASE)
_OF_A_CONDA_BUILD = re.compile(
    r"/(?:croot|conda-bld|feedstock_root|abs_[a-z0-9]{4,}|tmp/build/[0-9a-f]{4,})/|_\d{10,13}/work(?:/|$)"
)
"""A place of a machine on which conda's packages are built: a package that is there came to its author from conda."""

OF_OTHER_SYSTEMS = frozenset(
    {
        "pypiwin32",
        "pyobjc-core",
        "pywin32",
        "pywin32-ctypes",
        "pywinpty",
        "tensorflow-intel",
        "tensorflow-macos",
        "twisted-iocpsupport",
        "windows-curses",
        "winloop",
        "wmi",
    }
)
"""Packages that no version of is for Linux; `pip freeze` on another system lists them without a marker."""

_MAX_FILES = 50
_TOLD = 6  # lines that an error names


@dataclass
class Requirements:
    """Requirements of a project, read.

    `lines` are requirements, `constraints` the same of `-c` files. `hashed` is true where every line has a hash: the
    file is a lock then. `trees` are folders and archives of the repository, and other repositories, that are asked for.
    `indexes` and `links` are https addresses. `notes` are sentences about what was left out.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    trees: list[SourceTree] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    prereleases: bool = False
    notes: list[str] = field(default_factory=list)
    root: str = "."
    replaced: frozenset[str] = frozenset()
    recorded: Mapping[str, str] = field(default_factory=dict)
    gone: list[tuple[str, str, str]] = field(default_factory=list)  # file, line, why it cannot be had again
    of_conda: dict[str, list[str]] = field(default_factory=dict)  # file: what an index has in place of its lines

    @property
    def hashed(self) -> bool:
        """Tell whether each requirement has a hash."""
        return bool(self.lines) and all("--hash" in line for line in self.lines)


def read_requirements(
    files: Mapping[str, str],
    main: str,
    *,
    replaced: frozenset[str] = frozenset(),
    recorded: Iterable[str] = (),
) -> Requirements:
    """Read a requirements file with all that it includes; lines of packages in `replaced` are left out.

    Paths begin at the folder of `main`, where `pip install -r` is called. A requirement of `recorded` comes in the
    place of a line that names a place which cannot be had again. Raises PhaseError (missing: environment) for all other
    such lines together: places that only the author's machine had, variables.
    """
    found = Requirements(
        root=posixpath.dirname(main) or ".",
        replaced=replaced,
        recorded={requirement_name(line) or "": line for line in recorded},
    )
    _read(files, main, found, constraint=False, seen=[])
    if found.gone:
        raise _gone(found.gone)
    found.notes += (_from_conda(path, lines) for path, lines in found.of_conda.items())
    return found


def _read(files: Mapping[str, str], path: str, found: Requirements, *, constraint: bool, seen: list[str]) -> None:
    if path not in files:
        raise _missing(f"{seen[-1] if seen else 'the plan'} names {path}, which the commit does not hold")
    if path in seen or len(seen) >= _MAX_FILES:
        return
    for line in logical_lines(files[path]):
        if _named(line) in found.replaced:
            continue
        if _VARIABLE.search(line):
            raise _missing(f"{path} takes a value from the environment, which no record holds: {line}")
        if line.startswith("-") and not line.startswith(("-e", "--editable")):
            _option(files, path, line, found, constraint=constraint, seen=[*seen, path])
        else:
            _requirement(path, line, found, constraint=constraint)


def logical_lines(text: str) -> list[str]:
    """Return the lines of a requirements file, continued lines joined, comments and empty lines gone."""
    joined = re.sub(r"\\\r?\n", " ", text.removeprefix("\ufeff"))
    lines = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _option(
    files: Mapping[str, str], path: str, line: str, found: Requirements, *, constraint: bool, seen: list[str]
) -> None:
    if line[:2] in _SHORT:
        option, value = _SHORT[line[:2]], line[2:].lstrip(" =")
    else:
        option, value = re.split(r"[\s=]+", f"{line} ", maxsplit=1)
    value = value.strip().strip("'\"")
    if option in {"--requirement", "--constraint"}:
        included = posixpath.normpath(posixpath.join(posixpath.dirname(path), value))
        if "://" in value or included.startswith(("/", "../")):
            raise _missing(f"{path} includes {value}, which lies outside the repository")
        _read(files, included, found, constraint=constraint or option == "--constraint", seen=seen)
    elif option in {"--index-url", "--extra-index-url", "--find-links"}:
        if value.startswith("https://"):
            (found.links if option == "--find-links" else found.indexes).append(value)
        else:
            found.notes.append(f"{path} names {option} {value}, which is not followed: only https is")
    elif option == "--pre":
        found.prereleases = True
    elif option not in {"--require-hashes", "--prefer-binary", "--only-binary", "--trusted-host"}:
        found.notes.append(f"{path} sets {option}, which is not followed")


def _requirement(path: str, line: str, found: Requirements, *, constraint: bool) -> None:
    line = _TRAILING_OPTION.sub("", line)
    if _named(line) in OF_OTHER_SYSTEMS and ";" not in line:
        found.notes.append(f"{path} lists {line.split(' --hash', 1)[0]}, which is for another system: left out")
        return
    try:
        place = of_line(line, found.root)
    except ValueError as error:
        recorded = found.recorded.get(_named(line) or "")
        if recorded is None and (instead := built_by_conda(line)) is not None:
            found.of_conda.setdefault(path, []).append(instead)
            (found.constraints if constraint else found.lines).append(instead)
        elif recorded is None:
            found.gone.append((path, line.removeprefix("-e").strip(), str(error)))
        elif not constraint:
            found.lines.append(recorded)
        return
    if place is None:
        (found.constraints if constraint else found.lines).append(_readable(path, line, found.notes))
    elif constraint:
        found.notes.append(f"{path} limits a package to {place[0].title}, which is not followed")
    elif _is_here(place[1]):
        found.trees.append(place[0])


def _readable(path: str, line: str, notes: list[str]) -> str:
    """Return a line that installers of today read, too. Raises PhaseError for one that none ever did."""
    bare, hashed, rest = line.partition(" --hash")
    if bare.startswith("https://"):
        return line
    for text in (bare, _STAR.sub(r"\g<bound>", bare)):
        with contextlib.suppress(InvalidRequirement):
            Requirement(text)
            if text != bare:
                notes.append(f"{path}: {bare} is read as {text}, as pip did before 24.1")
            return f"{text}{hashed}{rest}"
    raise PhaseError(
        MISSING,
        f"{path} at the commit has a line that is no requirement: {line[:100]}",
        "name another list with `environment:` in runner.yaml",
        fact="environment",
        looked_in=(path,),
    )


def _is_here(marker: str) -> bool:
    try:
        return not marker or Marker(marker).evaluate({"extra": ""})
    except InvalidMarker as error:
        raise _missing(f"the marker {marker} cannot be read") from error


def _missing(cause: str) -> PhaseError:
    remedy = "runner reproduce RUN --with NAME==VERSION    the package as an index has it"
    return PhaseError(MISSING, cause, remedy, fact="environment")


def _gone(lines: list[tuple[str, str, str]]) -> PhaseError:
    """Return the error for all lines whose places cannot be had again, with what an index has instead of each."""
    path, line, why = lines[0]
    more = "".join(f", {other}" for _, other, _ in lines[1:_TOLD]) + (", …" if len(lines) > _TOLD else "")
    others = f"; nor can {len(lines) - 1} more of its lines ({more.removeprefix(', ')})" if more else ""
    words = [f"--with {text}" for text in dict.fromkeys(_as_an_index_has_it(line) for _, line, _ in lines)]
    return PhaseError(
        MISSING,
        f"{path} installs {line}, which cannot be had again: {why}{others}",
        f"runner reproduce RUN {' '.join(words)}    as an index has {'it' if len(words) == 1 else 'them'}",
        fact="environment",
        looked_in=(path,),
    )


def built_by_conda(line: str) -> str | None:
    """Return the requirement for what conda had installed where `pip freeze` wrote the line, None for any other line.

    Such a line names the place at which conda's package was built, on a machine that nobody has: `pip` tells no more of
    a package that it did not install.
    """
    bare, marker, condition = line.partition(" ;")
    if _NAMED_FILE.match(bare) is None or _OF_A_CONDA_BUILD.search(bare.replace("\\", "/").strip()) is None:
        return None
    instead = _as_an_index_has_it(line)
    if requirement_name(instead) != requirement_name(line):
        instead = requirement_name(line) or instead  # the file of another package, built together with it
    return f"{instead}{marker}{condition}"


def _from_conda(path: str, lines: list[str]) -> str:
    more = f" and {len(lines) - _TOLD} more" if len(lines) > _TOLD else ""
    return (
        f"{path} names places where conda built packages: taken from the index, by the version where the place tells "
        f"it, else as of the run's day: {', '.join(lines[:_TOLD])}{more}"
    )


def _as_an_index_has_it(line: str) -> str:
    """Return the requirement for what a line installs from a place, with the version that its file name has."""
    archive = _ARCHIVE_NAME.search(line.partition(" ;")[0].partition("#")[0])
    if archive:
        return f"{re.sub(r'[-_.]+', '-', archive['name']).lower()}=={archive['version']}"
    return _named(line) or "NAME==VERSION"


def _named(line: str) -> str | None:
    # A line of a repository or a path names its package behind `#egg=`, or not at all.
    if egg := _EGG.search(line):
        return requirement_name(egg["name"])
    return None if line.startswith("-") else requirement_name(line)


def requirement_name(line: str) -> str | None:
    """Return the normalised name that a requirement line begins with, None if it begins with none."""
    match = _NAME.match(line)
    return None if match is None else re.sub(r"[-_.]+", "-", match["name"]).lower()


def hashes(line: str) -> set[str]:
    """Return the hashes (`sha256:…`) of a requirement line."""
    return {match["hash"] for match in _HASH.finditer(line)}


def pinned_here(lines: Iterable[str]) -> dict[str, str]:
    """Return the packages, by normalised names, that the lines fix to one version on this Python, with that version.

    What is fixed stays so whatever the day: it was chosen, and not found.
    """
    pinned: dict[str, str] = {}
    for line in lines:
        try:
            requirement = Requirement(_TRAILING_OPTION.sub("", line.split(" --hash", 1)[0]).strip())
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
            continue
        exact = [
            one for one in requirement.specifier if one.operator in {"==", "==="} and not one.version.endswith("*")
        ]
        if exact:
            pinned[re.sub(r"[-_.]+", "-", requirement.name).lower()] = exact[0].version
    return pinned


def plain_build_requirement(text: str) -> bool:
    """Tell whether a build requirement is a name with versions and markers: no address, path or option."""
    return len(text) < 500 and not text.startswith("-") and _BUILD_REQUIREMENT.fullmatch(text.strip()) is not None


def lock_text(output: str) -> str:
    """Return uv's lock in our form: a line a package, sorted, without comments and options."""
    lines = [re.sub(r"\s+", " ", line) for line in logical_lines(output)]
    kept = sorted(line for line in lines if not line.startswith("-"))
    return "".join(f"{line}\n" for line in kept)
