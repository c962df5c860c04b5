"""Debian packages that an auditor gave for the training, and those that files of the commit install for its author.

What the commit names is offered and never used unasked: the audited party does not choose what runs as root.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator

from runner.redact import redact
from runner.schema.lineage import Considered, Provenance
from runner.schema.notation import parse_system_package
from runner.schema.plan import OfferedPackages, SystemPackages
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_BINDER = ("binder", ".binder")
_LISTS = ("apt.txt", "packages.txt", "Aptfile")
_DOCKERFILE = "Dockerfile"
_OF_BASE = frozenset({"git", "ca-certificates", "python3", "python3-venv", "python3-pip"})
"""What the images have anyway, or pip's that a training's environment replaces."""

_INSTALL = re.compile(r"\b(?:apt-get|apt|aptitude)\b(?P<before>[^&|;]*?)\binstall\b(?P<words>[^&|;>]*)")
_TAKES_VALUE = frozenset({"-o", "-t", "-c", "--option", "--target-release", "--default-release", "--config-file"})


def choose_system_packages(
    snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts, folders: Iterable[str]
) -> SystemPackages:
    """Return the auditor's packages, and what files in `folders` of the commit install, each file once."""
    offered = [
        OfferedPackages(source=f"{path} at the commit", names=names) for path, names in _lists(snapshot, folders)
    ]
    if facts.system_packages:
        source = f"system_packages in {FILE_NAME} at the commit"
        offered.insert(0, OfferedPackages(source=source, names=facts.system_packages))
    names = settings.system_packages
    return SystemPackages(
        names=names, source=settings.source("system_packages") if names else None, offered=tuple(offered)
    )


def about_system_packages(packages: SystemPackages) -> tuple[Provenance, ...]:
    """Return where the packages come from, and what was offered; nothing where there is neither."""
    if not packages.names and not packages.offered:
        return ()
    considered = tuple(
        Considered(
            source=each.source, value=redact(" ".join(each.names)), reason="used only where --system-packages asks"
        )
        for each in packages.offered
    )
    value = " ".join(packages.names) or "none"
    return (
        Provenance(fact="system packages", value=value, source=packages.source or "default", considered=considered),
    )


def list_paths(folders: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which a commit may list Debian packages: at its root, for Binder, and in `folders`."""
    places = dict.fromkeys((".", *folders))
    paths = [posixpath.normpath(posixpath.join(place, name)) for place in places for name in (*_LISTS, _DOCKERFILE)]
    return tuple(dict.fromkeys((*paths, *(f"{place}/apt.txt" for place in _BINDER))))


def _lists(snapshot: RepositorySnapshot, folders: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in list_paths(folders):
        text = snapshot.texts.get(path)
        if text is None:
            continue
        read = _of_dockerfile if posixpath.basename(path) == _DOCKERFILE else _of_list
        names = tuple(dict.fromkeys(name for name in read(text) if name not in _OF_BASE))
        if names:
            yield path, names


def _of_list(text: str) -> list[str]:
    """Return the names of a list with one or several a line; none where a line is of another kind of list."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    # An Aptfile also names repositories, and packages by their address.
    names = [_name(word) for line in lines if not line.startswith(":") and "://" not in line for word in line.split()]
    return [name for name in names if name] if all(names) else []


def _of_dockerfile(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    script = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    names: list[str] = []
    for match in _INSTALL.finditer(script):
        words = iter(_words(match["words"].partition("\n")[0]))
        for word in words:
            if word in _TAKES_VALUE:
                next(words, None)
            elif not word.startswith("-") and (name := _name(word)):
                names.append(name)
    return names


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _name(word: str) -> str | None:
    # A version is that of the author's release of Debian, which is hardly ours.
    name, equals, version = word.partition("=")
    if equals and (not version or version.startswith("=")):
        return None  # `PACKAGE==1.0` is pip's
    try:
        return parse_system_package(name)
    except ValueError:
        return None
