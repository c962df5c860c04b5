"""Lock files of Poetry, PDM, Pipenv and PEP 751: exact lists of everything, if they are those of their manifests."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from runner.inside.packages.locked.formats import FORMATS, LockFormat
from runner.plan.lists.found import PackageList, join
from runner.plan.lists.pyproject import is_package
from runner.plan.toml_text import load_toml
from runner.schema.snapshot import RepositorySnapshot

Reader = Callable[[RepositorySnapshot, str], list[PackageList]]


def readers() -> dict[str, Reader]:
    """Return a reader for each format by the name of its file, in the order in which they count."""
    return {name: _reader(name, form) for name, form in FORMATS.items()}


def locked_names(kind: str, text: str | None) -> frozenset[str]:
    """Return the packages of a lock's text, by normalised names; none where it cannot be read."""
    try:
        return FORMATS[kind].names(FORMATS[kind].parse(text or ""))
    except ValueError:
        return frozenset()


def _reader(name: str, form: LockFormat) -> Reader:
    def read(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
        manifest = None if form.manifest is None else join(posixpath.dirname(path), form.manifest)
        paths = [path] if manifest is None else [path, manifest]
        if any(each not in snapshot.texts for each in paths):
            return []
        files = {each: snapshot.texts[each] for each in paths}
        looked = _look(form, path, manifest, files)
        return [
            PackageList(
                kind=name,
                main=path,
                files=files,
                exact=True,
                complete=True,
                source=f"{path} at the commit",
                install_project=form.manifest == "pyproject.toml" and is_package(snapshot, manifest or ""),
                **looked,
            )
        ]

    return read


def _look(form: LockFormat, path: str, manifest: str | None, files: Mapping[str, str]) -> dict[str, Any]:
    """Return why a lock cannot be used, what is wrong where it is another manifest's, and what is to be said of it."""
    problem = form.problem(files[path], "" if manifest is None else files[manifest])
    if problem is not None:
        return {"problem": problem}
    lock, made_from = form.parse(files[path]), {} if manifest is None else load_toml(files[manifest])
    left_out = form.left_out(lock, made_from)
    return {
        "mismatch": form.mismatch(lock, made_from),
        "notes": (f"environment: {', '.join(left_out)} of {path} left out",) if left_out else (),
        "repositories": tuple(sorted(form.repositories(lock))),
    }
