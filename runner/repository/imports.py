"""What `dvc import` brought from another repository: read from there by our own fetch, at the revision of the pointer.

DVC keeps no copy of it in a remote, and would clone whatever address the pointer names. We ask by https alone, without
anybody's credentials, and not on private networks; the bytes count if they have the pointer's digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import MissingFact, RepositoryUnavailable
from runner.inside.hashing import directory_digest
from runner.repository.history import read_contents
from runner.repository.mirror import Mirror, is_commit_id, open_mirror
from runner.repository.package_source import public_address
from runner.repository.process import run_git
from runner.schema.digest import DigestValue
from runner.schema.lineage import Lineage
from runner.schema.plan import Remote
from runner.schema.snapshot import ImportSource, RepositorySnapshot

_LONGEST = 256 << 20
_MOST_FILES = 10_000


@dataclass
class Imported:
    """What was found: folders with objects, as remotes that restore asks; `paths` that they hold; `notes` on others."""

    remotes: tuple[Remote, ...] = ()
    paths: frozenset[str] = field(default_factory=frozenset)
    notes: tuple[str, ...] = ()


def fetch_imports(lineage: Lineage, snapshot: RepositorySnapshot, folder: Path, *, offline: bool) -> Imported:
    """Fetch the files that the run needs and that were imported from other repositories, into folders below `folder`.

    What cannot be had is told in a sentence, and looked for in remotes all the same. Raises DiskFull.
    """
    needed = {file.path for file in lineage.files if file.role != "output" and file.use != "nothing"}
    remotes: dict[str, Remote] = {}
    paths: set[str] = set()
    notes: list[str] = []
    for out in snapshot.pointers:
        source = out.source
        if source is None or source.kind != "import" or out.path not in needed or out.digest is None:
            continue
        try:
            remote = _fetched(source, out.digest, folder, offline=offline)
        except (MissingFact, RepositoryUnavailable) as error:
            notes.append(f"{out.path} came by {source}, which could not be read: {error.cause}")
            continue
        remotes.setdefault(remote.url, remote)
        paths.add(out.path)
    return Imported(tuple(remotes.values()), frozenset(paths), tuple(notes))


def _fetched(source: ImportSource, digest: DigestValue, folder: Path, *, offline: bool) -> Remote:
    if source.revision is None or not is_commit_id(source.revision) or source.path is None:
        raise MissingFact("the pointer names no commit of it", "", fact="data")
    if "://" not in source.url and "@" not in source.url:
        raise MissingFact(
            "it is a folder of the author's machine, which no audited repository has read", "", fact="data"
        )
    address = public_address(source.url)
    mirror = open_mirror(address, folder / "mirrors", commit=source.revision, offline=offline, public=True)
    commit = mirror.resolve_commit(source.revision)
    store = folder / "objects" / commit
    if not _object_path(store, digest).exists():
        _write(store, digest, _objects(mirror, commit, source.path, digest))
    return Remote(
        name=f"import-{commit[:12]}", url=str(store), source=f"dvc import: git repository {mirror.url} at {commit[:12]}"
    )


def _objects(mirror: Mirror, commit: str, path: str, digest: DigestValue) -> dict[DigestValue, bytes]:
    """Return the objects that a path is in DVC's terms. Raises MissingFact where it has other bytes, or none."""
    files = dict(_files(mirror, commit, path))
    if len(files) > _MOST_FILES:
        raise MissingFact(f"{path} there has more than {_MOST_FILES} files", "", fact="data")
    contents = read_contents(mirror, commit, files, _LONGEST)
    if not files or contents.keys() != files.keys():
        raise MissingFact(f"git holds no {path} there: DVC tracks it, or it is too large", "", fact="data")
    objects = {_digest_of(content, digest.algorithm): content for content in contents.values()}
    if digest.directory:
        listing = {name: _digest_of(contents[full], digest.algorithm).hexdigest for full, name in files.items()}
        found = DigestValue(digest.algorithm, directory_digest(listing.items()), directory=True)
        objects[found] = _listing(listing)
    if digest not in objects:
        raise MissingFact(f"{path} there has other bytes than the pointer's {digest}", "", fact="data")
    return objects


def _files(mirror: Mirror, commit: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield each regular file at or below a path, with its name below it."""
    arguments = ("--literal-pathspecs", "ls-tree", "-r", "-z", commit, "--", path.strip("/"))
    for line in run_git(mirror.path, *arguments).split(b"\0"):
        if line.startswith((b"100644", b"100755")):
            full = line.partition(b"\t")[2].decode(errors="backslashreplace")
            yield full, full[len(path.strip("/")) + 1 :]


def _digest_of(content: bytes, algorithm: str) -> DigestValue:
    if algorithm == "md5-dos2unix" and b"\0" not in content[:512]:
        content = content.replace(b"\r\n", b"\n")
    return DigestValue(algorithm, hashlib.md5(content, usedforsecurity=False).hexdigest())


def _listing(entries: Mapping[str, str]) -> bytes:
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(entries.items())], sort_keys=True).encode()


def _object_path(store: Path, digest: DigestValue) -> Path:
    place = Path(digest.dvc[:2]) / digest.dvc[2:]
    return store / place if digest.algorithm == "md5-dos2unix" else store / "files" / "md5" / place


def _write(store: Path, last: DigestValue, objects: Mapping[DigestValue, bytes]) -> None:
    """Write objects whole or not at all; the one that tells that all are there comes last."""
    ordered: Iterable[DigestValue] = sorted(objects, key=lambda digest: digest == last)
    for digest in ordered:
        path = _object_path(store, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(objects[digest])
        os.replace(temporary, path)
