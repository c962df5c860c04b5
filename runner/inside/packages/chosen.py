"""What one round of resolving chose, for the next, when wheels that were lacking are built. Pure; standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chosen:
    """The versions of all packages, and which packages have versions that only a source archive has, or none.

    The versions are those of an environment in which what was to be built asked for nothing: once it is built, it adds
    to them, or changes them, and then they are chosen anew.
    """

    versions: Mapping[str, str]
    with_sources: frozenset[str]
    without_sources: frozenset[str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Chosen:
        """Read it from a request."""
        return cls(
            dict(document["versions"]), frozenset(document["with_sources"]), frozenset(document["without_sources"])
        )

    def document(self) -> dict[str, Any]:
        """Return it as the host is told."""
        return {
            "versions": dict(self.versions),
            "with_sources": sorted(self.with_sources),
            "without_sources": sorted(self.without_sources),
        }

    @property
    def lines(self) -> list[str]:
        """Return it as a requirement file."""
        return [f"{name}=={version}" for name, version in sorted(self.versions.items())]

    def holds_in(self, versions: Mapping[str, str]) -> bool:
        """Tell whether other versions are these, perhaps with more packages besides."""
        return all(versions.get(name) == version for name, version in self.versions.items())
