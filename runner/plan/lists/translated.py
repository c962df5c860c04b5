"""Lists in a notation of their own, translated into that of requirement files, which all else here reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runner.plan.lists.found import PackageList
from runner.plan.lists.requirements import addresses, listed, moving, read_files
from runner.schema.snapshot import RepositorySnapshot


def translated(
    snapshot: RepositorySnapshot,
    path: str,
    lines: Iterable[str],
    *,
    kind: str,
    files: Iterable[str] = (),
    install_project: bool = False,
    loosened: bool = False,
    source: str | None = None,
    notes: Iterable[str] = (),
) -> list[PackageList]:
    """Return what `lines`, which stand for the file at `path`, list with all that they include, if they list anything.

    `files` are more files that take part. `loosened` tells that the file bounds more than its lines can say.
    """
    lines = tuple(lines)
    texts: Mapping[str, str] = {**snapshot.texts, path: "\n".join(lines)}
    read = read_files(texts, path)
    if not (read.lists_packages or install_project):
        return []
    exact = read.pinned and read.lists_packages and not loosened
    paths = dict.fromkeys((path, *read.paths, *files))
    source = source or f"{path} at the commit"
    return [
        PackageList(
            kind=kind,
            main=path,
            files={name: snapshot.texts[name] for name in paths if name in snapshot.texts},
            exact=exact,
            complete=False,  # of these none says what its packages need in turn
            source=source if exact else f"{source} (not pinned)",
            requirements=tuple(listed(texts, read.paths)),
            lines=lines,
            install_project=read.installs_project or install_project,
            notes=(*notes, *moving(read.trees)),
            repositories=addresses(read.trees),
            lacking=read.lacking,
        )
    ]
