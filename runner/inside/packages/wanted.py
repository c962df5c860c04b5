"""What is to be resolved: the specification as the host sent it, and what its files ask for, read statically."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.inside.packages.imported import Imported
from runner.inside.packages.requirements import requirement_name
from runner.inside.packages.source_tree import SourceTree
from runner.inside.protocol import MISSING, PhaseError


@dataclass(frozen=True)
class Recorded:
    """Versions that the tracker recorded, for what the files leave open, and in the place of what they ask for."""

    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def without(self, given_up: Collection[str]) -> Recorded:
        """Return the others."""
        return Recorded(
            tuple(line for line in self.constraints if line not in given_up),
            tuple(line for line in self.overrides if line not in given_up),
        )


@dataclass(frozen=True)
class Specification:
    """What is to be resolved: the plan's specification as the host sent it.

    `lines` stand for `main` where it is no list in pip's notation. `constraints` are versions that the tracker
    recorded, for what the files leave open, `recorded_overrides` those in the place of what they ask for; `left_out`
    are packages that the files list and nobody wants, `indexes` are asked beside those that the files name. `as_of` is
    None where they leave nothing open; `day` is that of the run all the same, where it is known.
    `pythons` are others that can be had in the place of this one, the best first. `imports` is what the training
    imports; what the environment lacks of it is added where `adds_imports` says so. `from_conda` are packages of
    conda's own part of a list. Of what has no wheel and nothing imports, `spares` tells that a build which fails does
    not stop the rerun; `given_up` are packages of which one did, with the reason.
    """

    kind: str
    root: str
    main: str | None
    files: Mapping[str, str]
    as_of: str | None
    overrides: tuple[str, ...]
    install_project: bool
    constraints: tuple[str, ...] = ()
    recorded_overrides: tuple[str, ...] = ()
    day: str | None = None
    lines: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    imports: tuple[Imported, ...] = ()
    adds_imports: bool = False
    from_conda: tuple[str, ...] = ()
    spares: bool = False
    given_up: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Specification:
        """Read it from the request."""
        return cls(
            kind=request["kind"],
            root=request["root"],
            main=request["main"],
            files=request["files"],
            as_of=request["as_of"],
            overrides=tuple(request["overrides"]),
            install_project=request["install_project"],
            constraints=tuple(request["constraints"]),
            recorded_overrides=tuple(request.get("recorded_overrides", ())),
            day=request["build_as_of"],
            lines=tuple(request["lines"]),
            left_out=tuple(request.get("left_out", ())),
            indexes=tuple(request.get("indexes", ())),
            pythons=tuple(request.get("pythons", ())),
            imports=tuple(map(Imported.of, request.get("imports", ()))),
            adds_imports=bool(request.get("adds_imports")),
            from_conda=tuple(request.get("from_conda", ())),
            spares=bool(request.get("spares")),
            given_up=dict(request.get("given_up", {})),
        )

    def text(self, path: str) -> str:
        """Return the text of a file that takes part. Raises PhaseError where the plan lacks it."""
        path = posixpath.normpath(path)
        if path not in self.files:
            raise PhaseError(
                MISSING,
                f"the commit holds no {path}",
                "name the file that lists the packages with `environment:` in runner.yaml",
                fact="environment",
                looked_in=(path,),
            )
        return self.files[path]

    @property
    def replaced(self) -> frozenset[str]:
        """The packages, by normalised names, whose version the auditor gave."""
        return frozenset(requirement_name(text) or "" for text in self.overrides)

    @property
    def recorded(self) -> Recorded:
        """The versions that the tracker recorded."""
        return Recorded(self.constraints, self.recorded_overrides)


def not_listed(modules: Sequence[Imported], specification: Specification) -> PhaseError:
    """Return the error for what starting the training imports and its lock does not have."""
    words = ", ".join(f"{module.name} (import in {module.path})" for module in modules)
    more = dict.fromkeys(text for module in modules for text in module.distributions[:1])
    given = " ".join(f"--with {text}" for text in (*specification.overrides, *more))
    return PhaseError(
        MISSING,
        f"{specification.main} lists all packages, and none that has what the training imports: {words}",
        f"runner reproduce RUN {given}    as of the run's day",
        fact="environment",
        looked_in=(specification.main or "",),
    )


def without(lines: Iterable[str], others: Sequence[str]) -> list[str]:
    """Return the requirements whose packages no requirement of `others` names."""
    names = {requirement_name(line) for line in others}
    return [line for line in lines if requirement_name(line) not in names]


@dataclass
class Wanted:
    """What the files ask for, read statically.

    Either `lock` is the text of an exact hashed lock, or `lines` are requirements to be resolved with `constraints`.
    `trees` are places of no index that packages are built from and installed besides: the repository itself, a folder
    of it, another repository. `closed` tells that the list holds what all of its packages need, those too. `indexes`
    and `links` are what the repository names. `declared` are requirements of the repository's own package, which its
    wheel brings.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    lock: str | None = None
    trees: list[SourceTree] = field(default_factory=list)
    closed: bool = False
    indexes: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    prereleases: bool = False
    with_setuptools: bool = False
    notes: list[str] = field(default_factory=list)

    def without(self, names: Collection[str]) -> None:
        """Leave out packages, by their normalised names."""
        self.lines = [line for line in self.lines if requirement_name(line) not in names]
        self.constraints = [line for line in self.constraints if requirement_name(line) not in names]
        if self.lock is not None:
            kept = (line for line in self.lock.splitlines() if requirement_name(line) not in names)
            self.lock = "".join(f"{line}\n" for line in kept)
