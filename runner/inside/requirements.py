"""Reading requirement files statically: what uv is given is what we understood, and nothing of this machine.

A requirements file may include other files, name indexes and paths, and have variables of the environment expanded:
all of that is the repository's wish, so it is taken apart here. Pure, but for the Python that markers are read for: the
one that runs this, which is the training's. Standard library and `packaging`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from runner.inside.protocol import MISSING, PhaseError

_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"--hash[=\s]\s*(?P<hash>sha(?:256|384|512):[0-9a-f]+)")
_TRAILING_OPTION = re.compile(r"\s--(?:config-settings?|global-option|install-option)[=\s].*$")
_PROJECT = re.compile(r"(?:file:)?\.?/?\s*(?P<extras>\[[A-Za-z0-9_., -]+\])?")
_EGG = re.compile(r"#egg=(?P<name>[A-Za-z0-9._-]+)")
_NAME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")
_BUILD_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[A-Za-z0-9._, -]*\])?\s*(\(?\s*[<>=!~][A-Za-z0-9.*+!<>=~, ]*\)?)?\s*"
    r"(;[^@/\\\r\n]*)?"
)
_SHORT = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-i": "--index-url", "-f": "--find-links"}
_MAX_FILES = 50


@dataclass
class Requirements:
    """Requirements of a project, read.

    `lines` are requirements, `constraints` the same of `-c` files. `hashed` is true where every line has a hash: the
    file is a lock then. `project` holds the extras (`[a,b]` or empty) of a line that asks for the repository itself;
    `editable` tells whether it was asked for with `-e`. `indexes` and `links` are https addresses. `notes` are
    sentences about what was left out.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    project: str | None = None
    editable: bool = False
    indexes: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    prereleases: bool = False
    notes: list[str] = field(default_factory=list)
    replaced: frozenset[str] = frozenset()

    @property
    def hashed(self) -> bool:
        """Tell whether each requirement has a hash."""
        return bool(self.lines) and all("--hash" in line for line in self.lines)


def read_requirements(files: Mapping[str, str], main: str, *, replaced: frozenset[str] = frozenset()) -> Requirements:
    """Read a requirements file with all that it includes; lines of packages in `replaced` are left out.

    Raises PhaseError (missing: environment) for what cannot be had again: local paths, git addresses, variables.
    """
    found = Requirements(replaced=replaced)
    _read(files, main, found, constraint=False, seen=[])
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
        if line.startswith("-"):
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
    elif option == "--editable":
        if not (match := _PROJECT.fullmatch(value)):
            raise _missing(f"{path} installs {value}, which is no package of an index")
        found.project, found.editable = match["extras"] or "", True
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
    if match := _PROJECT.fullmatch(line):
        found.project = match["extras"] or ""
        return
    bare = line.split(" --hash", 1)[0].split(" ;", 1)[0].strip()
    address = bare.split("@", 1)[1].strip() if re.match(r"[\w.\[\], -]+@", bare) else bare
    if re.match(r"(git|hg|svn|bzr)(\+|:)", address):
        raise _missing(f"{path} installs {bare} from a repository, and not from an index")
    if "://" in address or address.startswith("file:"):
        if not address.startswith("https://"):
            raise _missing(f"{path} installs {bare} from a place that only its author's machine had")
    elif address.startswith((".", "/", "~")) or ("/" in address and address is bare):
        raise _missing(f"{path} installs {bare}, which is a path and no package of an index")
    (found.constraints if constraint else found.lines).append(line)


def _missing(cause: str) -> PhaseError:
    remedy = "runner reproduce RUN --with NAME==VERSION    the package as an index has it"
    return PhaseError(MISSING, cause, remedy, fact="environment")


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
