"""Versions that the tracker recorded: which of them hold where the commit's own list pins none, or stand alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from runner.inside.packages.requirements import OF_OTHER_SYSTEMS
from runner.lineage.packages import PYTHON, Pin, RecordedPackages, exact_version, is_for, normalise
from runner.redact import redact

_TOLD = 4  # entries that a note names


@dataclass(frozen=True)
class RecordedVersions:
    """Recorded versions that a package index can serve here, the phrase for their source, and notes on the rest.

    `unpinned` are recorded requirements without an exact version. `whole` is true where nothing was left out.
    """

    pins: dict[str, Pin]
    unpinned: tuple[str, ...]
    source: str
    notes: tuple[str, ...]
    whole: bool

    @property
    def list(self) -> str:
        """The requirements as a file of their own, for a commit that has no list."""
        pinned = (f"{name}{_extras(pin)}=={pin.version}" for name, pin in sorted(self.pins.items()))
        return "".join(f"{line}\n" for line in (*pinned, *self.unpinned))


def usable(recorded: RecordedPackages) -> RecordedVersions:
    """Return those of the recorded versions that can be had from a package index for Linux.

    Of a local version (`2.1.0+cu118`) that is the public one: PyPI allows no others.
    """
    pins: dict[str, Pin] = {}
    left_out = list(recorded.left_out)
    builds: list[str] = []
    for name, pin in recorded.pins.items():
        if name == PYTHON:
            continue
        reason = _unusable(name, pin.version)
        if reason is None:
            public = Version(pin.version).public if "+" in pin.version else pin.version
            pins[name] = replace(pin, version=public)
            if public != pin.version:
                builds.append(f"{name} {pin.version}")
        else:
            left_out.append(f"{name}=={pin.version} ({reason})")
    notes = [f"environment: {sentence}" for sentence in recorded.disagreements]
    if left_out:
        more = f" and {len(left_out) - _TOLD} more" if len(left_out) > _TOLD else ""
        notes.append(f"environment: recorded and left out: {', '.join(left_out[:_TOLD])}{more}")
    if builds:
        notes.append(f"environment: recorded as a build of its own, the plain version here: {', '.join(builds)}")
    paths = list(dict.fromkeys(pin.path for pin in pins.values()))
    unpinned = tuple(text for name, text in recorded.unpinned.items() if name not in OF_OTHER_SYSTEMS)
    return RecordedVersions(
        pins=pins,
        unpinned=unpinned,
        source=_source(paths),
        notes=tuple(redact(note) for note in notes),
        whole=not left_out and not builds and not recorded.disagreements,
    )


@dataclass(frozen=True)
class Reconciled:
    """What recorded versions mean for a list of the commit, as `NAME==VERSION`.

    `constraints` are for what it leaves open, `overrides` for what it excludes. `notes` say where both disagree.
    """

    constraints: tuple[str, ...]
    overrides: tuple[str, ...]
    notes: tuple[str, ...]


def reconcile(
    recorded: RecordedVersions,
    own: Iterable[str],
    markers: Mapping[str, str],
    *,
    main: str,
    replaced: Sequence[str],
    list_first: bool,
) -> Reconciled:
    """Return which recorded versions hold beside the list `own` of the commit, and where it says otherwise.

    Where a pin or bound of the list excludes the recorded version, the record is followed: it was seen, and the list
    only asks for something. With `list_first` the list is, and so is an address that can be had again, of which a
    version says nothing.
    Packages in `replaced` (requirements of `--with`) are decided already.
    """
    open_pins = {name: pin for name, pin in recorded.pins.items() if name not in _names(replaced)}
    overrides = []
    notes = []
    for requirement in _requirements(own, markers):
        name = normalise(requirement.name)
        pin = open_pins.get(name)
        if pin is None:
            continue
        if requirement.url is not None or not _admits(requirement, pin.version):
            gone = (requirement.url or "").startswith(("file:///", "http:"))
            place = "a place that only its author's machine had" if gone else "an address"
            asked = place if requirement.url is not None else str(requirement.specifier)
            followed = main
            if (requirement.url is None and not list_first) or gone:
                extras = tuple(sorted({*requirement.extras, *pin.extras}))
                overrides.append(f"{name}{_extras(replace(pin, extras=extras))}=={pin.version}")
                followed = "the record"
            notes.append(f"environment: {name} {pin.version} recorded, {main} asks for {asked}: {followed} is followed")
        elif exact_version(requirement) is None:
            continue
        del open_pins[name]
    return Reconciled(
        constraints=tuple(f"{name}=={pin.version}" for name, pin in sorted(open_pins.items())),
        overrides=tuple(sorted(overrides)),
        notes=tuple(notes),
    )


def _admits(requirement: Requirement, version: str) -> bool:
    """Tell whether a requirement allows a recorded version, of which the label of its build was left out."""
    exact = exact_version(requirement) or ""
    if "+" in exact and _unusable(requirement.name, exact) is None:
        return Version(exact).public == Version(version).public
    return requirement.specifier.contains(version, prereleases=True)


def _unusable(name: str, version: str) -> str | None:
    if name in OF_OTHER_SYSTEMS:
        return "for another system"
    try:
        Version(version)
    except InvalidVersion:
        return "no version of a package index"
    return None


def _requirements(lines: Iterable[str], markers: Mapping[str, str]) -> list[Requirement]:
    """Return the lines that are requirements for here; what cannot be read is left to the resolver."""
    found = []
    for line in lines:
        try:
            requirement = Requirement(line)
            if is_for(requirement, markers):
                found.append(requirement)
        except (InvalidRequirement, ValueError):
            continue
    return found


def _names(requirements: Iterable[str]) -> set[str]:
    return {normalise(requirement.name) for requirement in _requirements(requirements, {})}


def _extras(pin: Pin) -> str:
    return f"[{','.join(pin.extras)}]" if pin.extras else ""


def _source(paths: Sequence[str]) -> str:
    if len(paths) > 2:
        return f"{paths[0]} and {len(paths) - 1} more files of the run"
    return f"{' and '.join(paths)} of the run"
