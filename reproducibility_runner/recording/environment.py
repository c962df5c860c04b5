"""The packages that a Python has, as one digest: names and versions, without what only installs or records."""

from __future__ import annotations

import hashlib
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "pkg-resources", "distribute"})
_FOLDER = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-[^-]+)*\.(?:dist|egg)-info")


def packages_of(paths: Iterable[str]) -> dict[str, str]:
    """Return the packages in folders of a search path, by normalised name; the first that is found is the one used.

    From the names of their folders: to read what is in them would take ten times as long. What a package brings within
    its own folder, as setuptools puts on the path, is none of the environment's.
    """
    found = {}  # type: dict[str, str]
    paths = [os.path.abspath(path or ".") for path in paths]
    installed = tuple(os.path.join(path, "") for path in paths if path.endswith(("site-packages", "dist-packages")))
    for path in paths:
        if path.startswith(installed):
            continue
        try:
            names = os.listdir(path)
        except OSError:
            continue
        for name in sorted(names):
            match = _FOLDER.fullmatch(name)
            if match is not None:
                found.setdefault(normalised(match["name"]), match["version"])
    return found


def packages_digest(packages: Any) -> str:
    """Return the digest of packages, by name: SHA-256 over lines `name==version` in their order."""
    lines = sorted(
        f"{normalised(name)}=={version}\n"
        for name, version in packages.items()
        if normalised(name) not in TOOLS and not normalised(name).startswith("reproducibility-runner")
    )
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def normalised(name: str) -> str:
    """Return a name as indexes have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def tags() -> dict[str, str]:
    """Return what is recorded of this Python."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return {"runner.python": version, "runner.environment": packages_digest(packages_of(sys.path))}
