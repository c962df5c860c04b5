"""`uv.lock`: an exact list of everything."""

from __future__ import annotations

import posixpath

from runner.plan.lists.found import PackageList, join
from runner.plan.lists.pyproject import is_package
from runner.schema.snapshot import RepositorySnapshot


def read_uv_lock(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the lock at `path`, if the commit has it and the project that it locks."""
    project = join(posixpath.dirname(path), "pyproject.toml")
    if path not in snapshot.texts or project not in snapshot.texts:
        return []
    files = {name: snapshot.texts[name] for name in (path, project)}
    return [
        PackageList(
            kind="uv.lock",
            main=path,
            files=files,
            exact=True,
            complete=True,
            source=f"{path} at the commit",
            install_project=is_package(snapshot, project),
        )
    ]
