"""What the rest of the runner knows of a model registry: a reference in, a version out. Reads only.

A store answers a few small questions; which version a reference means, and what is said where it means none, is
decided here once for all stores.
"""

from __future__ import annotations

import difflib
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from runner.errors import RunNotFound
from runner.redact import HIDDEN, redact
from runner.schema.model_files import ModelFile
from runner.trackers.reference import MODEL_FORMS, AliasOf, LatestOf, RegisteredReference, VersionOf

STAGES = ("None", "Staging", "Production", "Archived")
GONE = "Deleted_Internal"
"""The stage of a version that was deleted."""

_LISTED = 8  # versions or aliases named in a message


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """What a registry says of a version. `source` is what was registered, `location` where its files are."""

    name: str
    version: int
    run_id: str | None
    source: str | None
    location: str | None
    model_id: str | None = None
    stage: str | None = None
    status: str = "READY"

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Registry(ABC):
    """A store of registered models that is only ever read.

    `uri` is its address without credentials, `flag` the option by which the user named it. All methods raise
    TrackerUnavailable where the store refuses or times out.
    """

    flag = "--registry-uri"

    def __init__(self, uri: str) -> None:
        self.uri = redact(uri)

    def find(self, reference: RegisteredReference) -> ModelVersion:
        """Return the version that is meant now. Raises RunNotFound with what is there instead."""
        if isinstance(reference, VersionOf):
            found = self.version(reference.name, reference.version)
            if found is None:
                raise self._no_version(reference)
            return found
        if isinstance(reference, AliasOf):
            return self._aliased(reference)
        return self._latest(reference)

    @abstractmethod
    def version(self, name: str, version: int) -> ModelVersion | None:
        """Return a version of a model; None where there is none, or it was deleted."""

    @abstractmethod
    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        """Return all files at an address, if it is the store's own. Raises UnreadableFiles."""

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of the registered models; for suggestions, so a few hundred do."""

    @abstractmethod
    def _versions(self, name: str) -> list[ModelVersion]:
        """Return all versions of a model; none where there is no such model."""

    @abstractmethod
    def _aliases(self, name: str) -> dict[str, int]:
        """Return the version that each alias of a model points at."""

    def _aliased(self, reference: AliasOf) -> ModelVersion:
        aliases = self._aliases(reference.name)
        number = aliases.get(reference.alias)
        if number is None:
            if not self._versions(reference.name):
                raise self._no_model(reference.name, str(reference))
            listed = [f"@{alias} (v{version})" for alias, version in sorted(aliases.items())[:_LISTED]]
            raise self._absent(
                f"model {reference.name!r} has no alias {reference.alias!r}",
                f"it has {', '.join(listed)}" if listed else "it has none",
                [str(AliasOf(reference.name, alias)) for alias in _close(reference.alias, aliases)],
            )
        found = self.version(reference.name, number)
        if found is None:
            raise self._absent(
                f"alias {reference.alias!r} of model {reference.name!r} points at v{number}, which is gone"
            )
        return found

    def _latest(self, reference: LatestOf) -> ModelVersion:
        stage = None
        if reference.stage is not None:
            stage = next((known for known in STAGES if known.lower() == reference.stage.lower()), None)
            if stage is None:
                raise RunNotFound(
                    redact(f"{reference.stage!r} of {str(reference)!r} is neither a version nor a stage"),
                    f"name the model by {MODEL_FORMS}; stages are {', '.join(STAGES)}",
                )
        versions = self._versions(reference.name)
        if not versions:
            raise self._no_model(reference.name, str(reference))
        there = [version for version in versions if stage in (None, version.stage or "None")]
        if not there:
            listed = ", ".join(f"v{version.version} {version.stage or 'None'}" for version in versions[-_LISTED:])
            raise self._absent(f"model {reference.name!r} has no version in stage {stage}", f"it has {listed}")
        return max(there, key=lambda version: version.version)

    def _no_version(self, reference: VersionOf) -> RunNotFound:
        numbers = sorted(version.version for version in self._versions(reference.name))
        if not numbers:
            return self._no_model(reference.name, str(reference))
        near = sorted(numbers, key=lambda number: (abs(number - reference.version), number))[:_LISTED]
        listed = ", ".join(f"v{number}" for number in sorted(near))
        return self._absent(
            f"model {reference.name!r} has no version {reference.version}",
            f"it has {listed}" + (f" and {len(numbers) - len(near)} more" if len(numbers) > len(near) else ""),
            [str(VersionOf(reference.name, near[0]))],
        )

    def _no_model(self, name: str, typed: str) -> RunNotFound:
        names = self._names()
        suffix = typed.removeprefix(f"models:/{name}")
        near = [f"models:/{other}{suffix}" for other in _close(name, names)]
        there = "" if names else "it holds no registered model"
        return self._absent(f"no registered model has the name {name!r}", there, near)

    def _absent(self, what: str, there: str = "", near: Iterable[str] = ()) -> RunNotFound:
        near = list(near)
        if near and not there:
            there = f"nearest: {', '.join(near)}"
        remedy = f"name the model by {MODEL_FORMS}; `{self.flag} URI` names another registry"
        if near and HIDDEN not in self.uri:
            remedy = f"runner plan {shlex.quote(near[0])} {self.flag} {shlex.quote(self.uri)}"
        return RunNotFound(redact(f"{what} in {self.uri}" + (f"; {there}" if there else "")), remedy)


def _close(wanted: str, names: Iterable[str]) -> list[str]:
    """Return up to three names that resemble the wanted one, letter case apart."""
    by_folded = {name.casefold(): name for name in names}
    return [by_folded[near] for near in difflib.get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.6)]
