"""The cache on its way to another machine: its ready parts as a tar archive, and such an archive put in place.

What goes: wheels, ready environments, locks, and what foreign code built, under the key of its repository and commit as
before. What does not: data, workspaces, and whatever is not finished. Files that are one by hard links stay one.

Packing is run by path and writes the archive to standard output; unpacking is a phase like others. Standard library
only.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runner.inside import layout, uses
from runner.inside.packages import environment
from runner.inside.protocol import UNAVAILABLE, PhaseError, ask, ask_for_stream, progress

_BUFFER = 1 << 20
_UNFINISHED = (".lock", ".tmp")
_TOPS = frozenset(
    os.path.relpath(path, layout.CACHE) for path in (layout.UV_CACHE, layout.BUILT, layout.ENVIRONMENTS, layout.LOCKS)
)


def handle(_request: dict[str, Any]) -> dict[str, Any]:
    """Take in what another machine packed: all of it, or nothing.

    Asks for: the `cache`, a tar archive; then whether all of it was `whole`. Result: {environments: how many are new}.
    """
    with uses.with_others():
        staging = Path(layout.INCOMING) / secrets.token_hex(8)
        try:
            unpack(ask_for_stream("cache"), staging)
            if not ask("whole"):
                raise PhaseError(UNAVAILABLE, "the file changed while it was read; nothing of it was taken")
            environment.flush(staging)
            return {"environments": put_in_place(staging)}
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def pack(stream: BinaryIO) -> None:
    """Write the finished parts of the cache to a stream."""
    root = Path(layout.CACHE)
    with tarfile.open(fileobj=stream, mode="w|", bufsize=_BUFFER, format=tarfile.GNU_FORMAT) as tar:
        for part in _finished():
            for path in _walk(part):
                tar.add(path, arcname=str(path.relative_to(root)), recursive=False)


def _finished() -> Iterator[Path]:
    """Yield what may go, wheels first: what is a hard link to an earlier file costs nothing."""
    yield Path(layout.UV_CACHE)
    for folder in sorted(Path(layout.BUILT).glob("*")):
        yield from (folder / name for name in ("uv", "wheels", "project") if (folder / name).is_dir())
    yield from (record.parent for record in sorted(Path(layout.ENVIRONMENTS).glob("*/.ready")))
    yield from sorted(Path(layout.LOCKS).glob("*.json"))


def _walk(part: Path) -> Iterator[Path]:
    """Yield a tree from its top down. A folder's link is yielded and not entered, nor is what begins with `.tmp`."""
    yield part
    if part.is_symlink() or not part.is_dir():
        return
    for path in sorted(part.iterdir()):
        if not path.name.endswith(_UNFINISHED) and not path.name.startswith(".tmp"):
            yield from _walk(path)


def unpack(stream: BinaryIO, target: Path) -> None:
    """Unpack an archive below a folder, and nowhere else. Raises PhaseError for what `pack` never writes."""
    target.mkdir(parents=True)
    links: set[str] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as tar:
            for number, member in enumerate(tar):
                if number % 5000 == 0:
                    progress("unpacking", number)
                _take(tar, member, target, links)
    except (tarfile.TarError, FileExistsError, NotADirectoryError) as error:
        raise _refused(f"what cannot be unpacked ({error})") from error


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, links: set[str]) -> None:
    name = _checked(member.name, links)
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        # Leads wherever it likes, as that of an environment to its Python does; nothing is written through it.
        os.symlink(member.linkname, path)
        links.add(name)
    elif member.islnk() and member.linkname not in links:
        os.link(target / _checked(member.linkname, links), path, follow_symlinks=False)
    elif member.isreg() and (content := tar.extractfile(member)) is not None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(content, file, _BUFFER)
        path.chmod(member.mode & 0o755)
        os.utime(path, (member.mtime, member.mtime))  # compiled modules name it
    else:
        raise _refused(f"{member.name}, which is no file")


def _checked(name: str, links: set[str]) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in _TOPS or ".." in parts or name.startswith("/") or "\0" in name:
        raise _refused(repr(name))
    for depth in range(1, len(parts)):
        if "/".join(parts[:depth]) in links:
            raise _refused(f"{name!r} behind a link")
    return "/".join(parts)


def _refused(what: str) -> PhaseError:
    return PhaseError(
        UNAVAILABLE, f"the file holds {what}, which no cache of ours has; nothing of it was taken",
        "save it again on the other machine: runner setup --save FILE",
    )  # fmt: skip


def put_in_place(staging: Path) -> int:
    """Move what was unpacked to its final place, wheels first and locks last; what is there already stays.

    Return how many environments are new. Each is moved as a whole, so that it is ready or not there.
    """
    for part in _tops(staging, layout.UV_CACHE), *_tops(staging, layout.BUILT).glob("*"):
        if part.is_dir():
            _merge(part, Path(layout.CACHE) / part.relative_to(staging))
    new = 0
    for record in _tops(staging, layout.ENVIRONMENTS).glob("*/.ready"):
        key = record.parent.name
        with environment.locked(key):
            if environment.read_ready(key) is None:
                environment.remove(key)
                os.utime(record)
                os.rename(record.parent, environment.environment_path(key))
                new += 1
    _merge(_tops(staging, layout.LOCKS), Path(layout.LOCKS))
    return new


def _tops(staging: Path, place: str) -> Path:
    return staging / os.path.relpath(place, layout.CACHE)


def _merge(source: Path, target: Path) -> None:
    """Move what `target` lacks; an unpacked wheel as a whole."""
    if not target.is_symlink() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
    elif source.is_dir() and not source.is_symlink() and not source.parent.name.startswith("archive-v"):
        for path in _wheels_first(source.iterdir()):
            _merge(path, target / path.name)


def _wheels_first(paths: Iterable[Path]) -> list[Path]:
    # Whoever finds uv's entry of a wheel finds the wheel.
    return sorted(paths, key=lambda path: (not path.name.startswith("archive-v"), path.name))


def main() -> int:
    """Write the archive to standard output."""
    with uses.with_others():
        pack(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
