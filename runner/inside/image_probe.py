"""What a foreign image has: printed by a script that its own Pythons run, and read as hostile input. Pure.

The script is for any Python from 3.4 on, and stands alone: nothing of ours is in the image.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

SHELL = """
for name in python python3; do
  if command -v "$name" >/dev/null 2>&1; then "$name" -c "$1" "$2"; fi
done
command -v bash >/dev/null 2>&1 && echo "$2 bash"
exit 0
"""
SCRIPT = """
import json, os, site, sys, sysconfig
places = list(getattr(site, "getsitepackages", list)()) + [sysconfig.get_paths()["purelib"]]
place = ([path for path in places if path in sys.path] or places)[0]
packages = {}
for folder in reversed(sys.path):
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        stem, dot, suffix = name.rpartition(".")
        parts = stem.split("-")
        if dot and suffix in ("dist-info", "egg-info") and len(parts) > 1:
            packages[parts[0]] = parts[1]
print(sys.argv[1] + " " + json.dumps([list(sys.version_info[:3]), place, packages]))
"""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,200}")
_VERSION = re.compile(r"[\w.!+*-]{1,100}")
_PLACE = re.compile(r"(?:/[\w.@+ -]+)+")
_MOST_PACKAGES = 10_000


@dataclass(frozen=True)
class FoundPython:
    """A Python of an image: its full version, the folder of its packages, and these by normalised name."""

    version: str
    site_packages: str
    packages: dict[str, str]


@dataclass(frozen=True)
class Probe:
    """What an image has: its Pythons, `python` before `python3`, and whether it has bash, by which commands run."""

    pythons: tuple[FoundPython, ...]
    bash: bool


def read_probe(output: str, mark: str) -> Probe:
    """Read what the script printed; lines without the mark are the image's own. What is odd counts as not there."""
    lines = [line[len(mark) + 1 :] for line in output.splitlines() if line.startswith(f"{mark} ")]
    found = [python for python in map(_python, lines) if python is not None]
    return Probe(tuple(_unique(found)), "bash" in lines)


def _unique(pythons: list[FoundPython]) -> list[FoundPython]:
    places: dict[str, FoundPython] = {}
    for python in pythons:
        places.setdefault(python.site_packages, python)
    return list(places.values())


def _python(line: str) -> FoundPython | None:
    try:
        version, place, packages = json.loads(line)
        numbers = [int(number) for number in version]
        items = list(packages.items())[:_MOST_PACKAGES]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    if len(numbers) != 3 or not _is_place(place):
        return None
    named = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in items
        if isinstance(version, str) and _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    }
    return FoundPython(".".join(map(str, numbers)), place, dict(sorted(named.items())))


def _is_place(place: Any) -> bool:
    return isinstance(place, str) and bool(_PLACE.fullmatch(place)) and ".." not in place.split("/")
