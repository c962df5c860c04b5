"""What OpenSSH's configuration files on this host say of a server: text in, options out; nothing is run.

The first value of an option counts, as in `ssh_config(5)`. `Match` blocks other than `Match all` may run commands and
are passed over.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"\s*(?P<key>[A-Za-z0-9]+)(?:\s*=\s*|\s+)(?P<value>.*\S)\s*")
_INCLUDED_DEEP = 8
_MANY = frozenset({"identityfile"})
Reader = Callable[[Path], "str | None"]


@dataclass(frozen=True)
class ServerOptions:
    """Options for one server, by their names in lower case; of those that may be repeated, all values in order."""

    values: Mapping[str, tuple[str, ...]]

    def one(self, name: str) -> str | None:
        """Return an option's value, None where nothing sets it."""
        found = self.values.get(name)
        return found[0] if found else None


def read_server_options(alias: str, environ: Mapping[str, str], read: Reader) -> ServerOptions:
    """Return what the user's file, then the system's, say of a server by the name that somebody typed."""
    home = Path(environ.get("HOME") or Path.home())
    values: dict[str, tuple[str, ...]] = {}
    for path in (home / ".ssh" / "config", Path("/etc/ssh/ssh_config")):
        for key, value in _entries(path, alias, read, 0, [True]):
            if key in _MANY:
                values[key] = (*values.get(key, ()), value)
            else:
                values.setdefault(key, (value,))
    return ServerOptions(values)


def _entries(path: Path, alias: str, read: Reader, depth: int, applies: list[bool]) -> Iterator[tuple[str, str]]:
    """Yield the options that apply, of a file and of those that it includes. `applies` is the state of a block."""
    for line in (read(path) or "").splitlines():
        match = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
        if match is None:
            continue
        key = match["key"].lower()
        try:
            words = shlex.split(match["value"], comments=True)
        except ValueError:
            continue
        if key == "host":
            applies[0] = _is_meant(alias, words)
        elif key == "match":
            applies[0] = [word.lower() for word in words] == ["all"]
        elif not applies[0] or not words:
            continue
        elif key == "include":
            if depth < _INCLUDED_DEEP:
                for each in (file for word in words for file in _included(word, path)):
                    yield from _entries(each, alias, read, depth + 1, [True])
        else:
            yield key, " ".join(words)


def _is_meant(alias: str, patterns: list[str]) -> bool:
    """Tell whether a `Host` line is about a server: a pattern after `!` that matches excludes it."""
    met = False
    for pattern in patterns:
        if fnmatch.fnmatchcase(alias.lower(), pattern.lstrip("!").lower()):
            if pattern.startswith("!"):
                return False
            met = True
    return met


def _included(word: str, path: Path) -> list[Path]:
    folder = path.parent if path.parent.name == ".ssh" else Path("/etc/ssh")
    named = folder / Path(word).expanduser() if not word.startswith("~/") else folder.parent / word[2:]
    return [Path(each) for each in sorted(glob.glob(os.fspath(named)))] if glob.has_magic(word) else [named]
