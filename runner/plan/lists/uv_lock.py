"""`uv.lock`: an exact list of everything."""

from __future__ import annotations

import posixpath

from runner.inside.packages import toml
from runner.inside.packages.locked.package import git_addresses, table, tables
from runner.plan.lists.found import PackageList, join
from runner.plan.lists.pyproject import is_package
from runner.schema.snapshot import RepositorySnapshot

_IN_THE_REPOSITORY = ("editable", "virtual", "directory")


def read_uv_lock(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the lock at `path`, if the commit has it and the project that it locks, with those of all its folders."""
    root = posixpath.dirname(path)
    project = join(root, "pyproject.toml")
    if path not in snapshot.texts or project not in snapshot.texts:
        return []
    files, problem, repositories = [path, project], None, frozenset[str]()
    try:
        document = toml.loads(snapshot.texts[path])
        if document.get("version", 1) != 1:
            problem = f"has the format {document.get('version')}, which is not read"
        sources = [table(package, "source") for package in tables(document, "package")]
        folders = [str(source[kind]) for source in sources for kind in _IN_THE_REPOSITORY if kind in source]
        files += [join(join(root, folder), "pyproject.toml") for folder in folders]
        repositories = git_addresses(source["git"] for source in sources if "git" in source)
        toml.loads(snapshot.texts[project])
    except ValueError as error:
        problem = f"or {project} beside it cannot be read: {error}"
    return [
        PackageList(
            kind="uv.lock",
            main=path,
            files={name: snapshot.texts[name] for name in dict.fromkeys(files) if name in snapshot.texts},
            exact=True,
            complete=True,
            source=f"{path} at the commit",
            install_project=is_package(snapshot, project),
            repositories=tuple(sorted(repositories)),
            problem=problem,
        )
    ]
