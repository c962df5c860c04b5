"""Which Python a run was made with: given, configured, recorded, else what its files admit."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from runner.lineage.recorded import like
from runner.plan.toml_text import load_toml, table
from runner.redact import redact
from runner.schema.lineage import Considered
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

DEFAULT = "3.11"
MAKEABLE = ("3.11", "3.13", "3.9", "3.14")
"""Minor versions for which a base image can be made without a registry, the preferred first."""

_OTHERS = ("3.12", "3.10", "3.8", "3.7", "3.6")
_RECORDED_UNDER = frozenset({"python_version", "python", "sys_version", "env_python_version", "env_python"})
_VERSION = re.compile(r"(?:cpython|python)?[-@=\s]*v?(?P<minor>3\.\d{1,2})(?P<patch>\.\d+)?\b")


@dataclass(frozen=True)
class PythonChoice:
    """A minor version, where it comes from, and, where nothing records it, the sentence that says so."""

    minor: str
    source: str
    considered: tuple[Considered, ...] = ()
    note: str | None = None


def choose_python(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts, folders: Iterable[str]
) -> PythonChoice:
    """Return the Python of a run.

    Order: `--python` or `runner.yaml`, `runner.yaml` at the commit, `.python-version` in one of `folders`, the logged
    model's `python_env.yaml` or `conda.yaml`, bounds in `uv.lock` and `pyproject.toml`, a tag such as
    `python_version`, else 3.11. A version that bounds merely admit, and the default, carry a note.
    """
    folders = tuple(dict.fromkeys(folders))
    hits: list[tuple[str, str]] = []
    if settings.python:
        hits.append((settings.python, settings.source("python")))
    if facts.python:
        hits.append((facts.python, f"python in {FILE_NAME} at the commit"))
    for folder in folders:
        path = posixpath.normpath(posixpath.join(folder, ".python-version"))
        for line in snapshot.texts.get(path, "").splitlines():
            hits += _hit(line, f"{path} at the commit")
    for file in record.environment_files:
        name = posixpath.basename(file.path)
        pattern = {"python_env.yaml": r"^\s*python:\s*(.+)$", "conda.yaml": r"^\s*-\s*python\s*=+\s*(\S+)"}.get(name)
        if pattern:
            for text in re.findall(pattern, file.text, re.MULTILINE)[:1]:
                hits += _hit(text.strip("\"' "), f"{file.path} of the run")
    tags = [hit for found in like(record, _RECORDED_UNDER.__contains__) for hit in _hit(found.value, found.source)]
    bounds = _bounds(snapshot, folders)
    exact = [hit for hit in (_only(text, source) for text, source in bounds) if hit]
    hits += exact
    if not hits and bounds and not tags:
        text, source = bounds[0]
        minor = _admitted(text, settings.base_python)
        if minor:
            return PythonChoice(
                minor,
                f"{source} ({text})",
                note=f"Python {minor}: {source} only says {text}; the run does not record its Python",
            )
    hits += tags
    if not hits and settings.base_python:
        source = f"the base image {settings.base_image}"
        note = f"Python {settings.base_python}: what {source} has, since no record names the run's"
        return PythonChoice(settings.base_python, source, note=note)
    if not hits:
        return PythonChoice(
            DEFAULT,
            "default: no record names a Python",
            note=f"Python {DEFAULT}: a default, since no record names the run's",
        )
    (minor, source), *rest = hits
    considered = [
        Considered(
            source=other_source,
            value=redact(other),
            reason=f"says the same as {source}" if other == minor else f"{source} comes first",
        )
        for other, other_source in rest
    ]
    considered += [
        Considered(source=other_source, value=text, reason="a bound, not a record")
        for text, other_source in bounds
        if not _only(text, other_source)
    ]
    return PythonChoice(minor, source, tuple(considered))


def _hit(text: str, source: str) -> list[tuple[str, str]]:
    match = _VERSION.match(text.strip().lower())
    if match is None:
        return []
    patch = match["patch"]
    return [(match["minor"], f"{source} ({match['minor']}{patch})" if patch else source)]


def _bounds(snapshot: RepositorySnapshot, folders: Iterable[str]) -> list[tuple[str, str]]:
    bounds: list[tuple[str, str]] = []
    for folder in folders:
        for name, path in (("uv.lock", ()), ("pyproject.toml", ("project",))):
            full = posixpath.normpath(posixpath.join(folder, name))
            text = table(load_toml(snapshot.texts.get(full)), *path).get("requires-python")
            if isinstance(text, str) and text.strip():
                bounds.append((text.strip(), f"requires-python of {full}"))
    return bounds


def _only(text: str, source: str) -> tuple[str, str] | None:
    """Return the one minor version that a bound such as `==3.10.*` or `>=3.10,<3.11` admits, None for several."""
    admitted = _all_admitted(text)
    return (admitted[0], f"{source} ({text})") if len(admitted) == 1 else None


def _admitted(text: str, preferred: str | None) -> str | None:
    admitted = _all_admitted(text)
    return next((minor for minor in (preferred, *MAKEABLE, *_OTHERS) if minor in admitted), None)


def _all_admitted(text: str) -> list[str]:
    try:
        specifiers = SpecifierSet(text)
    except InvalidSpecifier:
        return []
    minors = [f"3.{number}" for number in range(6, 20)]
    # A minor counts where any of its patches does: `>=3.9.1` admits 3.9.
    return [minor for minor in minors if any(specifiers.contains(Version(f"{minor}.{patch}")) for patch in range(30))]
