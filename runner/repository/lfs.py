"""Git LFS: which files of a commit point to bytes in another store, by `.gitattributes` and their own text. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping

from runner.schema.snapshot import LfsPointer, TreeEntry

ATTRIBUTES = ".gitattributes"
_LONGEST = 1024  # bytes, by Git LFS's own specification
_POINTER = re.compile(
    r"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:ext-\d[^\n]*\n)*"
    r"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>\d+)\n"
)


def find_pointers(
    tree: Iterable[TreeEntry], texts: Mapping[str, str], read: Callable[[list[str]], Mapping[str, bytes]]
) -> tuple[LfsPointer, ...]:
    """Return the files that git would fetch from LFS; `texts` has the attributes, `read` returns what files hold."""
    rules = list(_rules(texts))
    if not any(value == "lfs" for _, _, value in rules):
        return ()
    small = [entry.path for entry in tree if entry.kind == "file" and 0 < (entry.size_bytes or 0) <= _LONGEST]
    wanted = [path for path in small if _filter_of(path, rules) == "lfs"]
    found = []
    for path, content in sorted(read(wanted).items()):
        match = _POINTER.match(content.decode("utf-8", errors="replace"))
        if match is not None:
            found.append(LfsPointer(path=path, oid=match["oid"], size_bytes=int(match["size"])))
    return tuple(found)


def _rules(texts: Mapping[str, str]) -> Iterator[tuple[str, re.Pattern[str], str | None]]:
    """Yield folder, pattern and value of each line that sets or unsets `filter`, those of deeper folders last."""
    paths = [path for path in texts if posixpath.basename(path) == ATTRIBUTES]
    for path in sorted(paths, key=lambda path: path.count("/")):
        for line in texts[path].splitlines():
            pattern, attributes = _parts(line.strip())
            for attribute in attributes:
                name, _, value = attribute.partition("=")
                if name.lstrip("-!") == "filter":
                    yield posixpath.dirname(path), _compiled(pattern), value or None


def _parts(line: str) -> tuple[str, list[str]]:
    if line.startswith("#") or not line:
        return "", []
    try:
        words = shlex.split(line) if line.startswith('"') else line.split()
    except ValueError:
        return "", []
    return words[0], words[1:]


def _filter_of(path: str, rules: Iterable[tuple[str, re.Pattern[str], str | None]]) -> str | None:
    """Return the last value that a rule gives a path."""
    found = None
    for folder, pattern, value in rules:
        if (not folder or path.startswith(f"{folder}/")) and pattern.fullmatch(posixpath.relpath(path, folder or ".")):
            found = value
    return found


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of `.gitattributes` as a regular expression over paths from its own folder."""
    anchored = "/" in pattern
    text = "" if anchored else "(?:.*/)?"
    for part in re.findall(r"\*\*/|/\*\*$|\*+|\?|\[[^\]]+\]|\\.|.", pattern.removeprefix("/")):
        if part == "**/":
            text += "(?:.*/)?"
        elif part == "/**":
            text += "/.*"
        elif set(part) == {"*"}:
            text += "[^/]*"
        elif part == "?":
            text += "[^/]"
        elif part.startswith("[") and len(part) > 2:
            text += "[" + re.sub(r"^!", "^", part[1:-1].replace("\\", r"\\")) + "]"
        else:
            text += re.escape(part[-1])
    try:
        return re.compile(text)
    except re.error:
        return re.compile(re.escape(pattern))
