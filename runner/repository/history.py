"""A repository as seen from one commit, as plain values: tree, texts, pointers then and ever, remotes then and today.

A handful of git processes whatever the history's length: one listing of the tree, one log over all refs, and objects in
batches.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Literal

from runner.lineage.pipeline import working_directories
from runner.pointers.document import PointerSyntaxError
from runner.pointers.read import LockContents, lock_parts, read_lock, read_pointer, read_wdirs
from runner.pointers.remotes import read_remotes
from runner.redact import redact
from runner.repository.lfs import ATTRIBUTES, find_pointers
from runner.repository.mirror import Mirror
from runner.repository.process import run_git
from runner.schema.digest import DigestValue
from runner.schema.script import has_code
from runner.schema.snapshot import (
    DvcRemote,
    HistoricPointer,
    LaterChange,
    LfsPointer,
    OutsideLink,
    PointerOut,
    PointerProblem,
    RepositorySnapshot,
    TreeEntry,
)

LONGEST_TEXT = 1 << 20  # bytes
_LONGEST_LOCK = 16 << 20
_LONGEST_LINK = 4096
_LONGEST_NOTEBOOK = 16 << 20  # most of it pictures

_NAMES = (
    ATTRIBUTES,
    "*.dvc",
    "dvc.lock",
    "dvc.yaml",
    "requirements*.txt",
    "*requirements.txt",
    "constraints*.txt",
    "*.in",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "pylock.toml",
    ".python-version",
    ".tool-versions",
    "runtime.txt",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
    "Pipfile",
    "Pipfile.lock",
    "Dockerfile",
    "setup.py",
    "setup.cfg",
    "runner.yaml",
    "[Mm][Ll][Pp]roject",
    "params.yaml",
    "conda*.y*ml",
    "environment*.y*ml",
    "env.y*ml",
    "python_env.yaml",
)
_LOCKS = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"})
_WORKFLOWS = ".github/workflows/"
_KINDS: dict[str, Literal["file", "symlink", "submodule"]] = {"120000": "symlink", "160000": "submodule"}
_LOG = ("log", "-z", "--raw", "--no-abbrev", "--no-renames", "--full-history", "-c", "--format=%x01%H %ct")
_MOST_COMMITS = 200  # of those that are made in an hour
_REGULAR = ("100644", "100755", "100664")


def read_snapshot(
    mirror: Mirror,
    commit: str,
    *,
    wanted_paths: Iterable[str] = (),
    wanted_texts: Iterable[str] = (),
    changes_in: tuple[datetime, datetime] | None = None,
) -> RepositorySnapshot:
    """Return what the mirror's repository is at `commit`, a full id.

    `wanted_texts` are read beside the files that lineage and plan always read, where the commit has them as regular
    files of at most 1 MiB. For `wanted_paths` that the commit lacks, `first_commit_with` tells which has them first.
    `later_changes` are what other commits than this one and those before it changed, of those made in `changes_in`.
    Raises MissingFact where the mirror lacks the commit, DiskFull.
    """
    commit = mirror.resolve_commit(commit)
    tree, blobs = _tree(mirror, commit)
    wanted = {_clean(path) for path in wanted_texts}
    chosen = {entry.path: blobs[entry.path] for entry in tree if entry.path in blobs and _is_read(entry, wanted)}
    contents = _contents(mirror, {commit, *chosen.values()})
    problems = [
        PointerProblem(pointer=entry.path, problem=f"is longer than {LONGEST_TEXT} bytes")
        for entry in tree
        if entry.path in blobs and entry.path not in chosen and _is_pointer(entry.path)
    ]
    texts: dict[str, str] = {}
    for path, blob in chosen.items():
        try:
            texts[path] = _decoded(contents[blob], strict=_is_pointer(path))
        except UnicodeDecodeError:
            problems.append(PointerProblem(pointer=path, problem="is not UTF-8"))
    pointers, locked, more_problems = _pointers(texts)
    roots = tuple(sorted(posixpath.dirname(posixpath.dirname(path)) or "." for path in texts if _is_config(path)))
    remotes_today = _remotes_at(mirror, mirror.default_tip(), roots)
    return RepositorySnapshot(
        url=mirror.url,
        location=mirror.url,
        commit=commit,
        commit_time=_commit_time(contents[commit]),
        tree=tree,
        texts=texts,
        pointers=pointers,
        problems=(*problems, *more_problems),
        locked=locked,
        history=_history(mirror, commit),
        first_commit_with={
            **_first_commits(mirror, commit, tree, wanted_paths),
            **_first_with_code(mirror, commit, {path: texts[path] for path in wanted & texts.keys()}),
        },
        later_changes=() if changes_in is None else _later_changes(mirror, commit, *changes_in),
        remotes=tuple(
            remote for root in roots for remote in read_remotes(texts[posixpath.normpath(f"{root}/.dvc/config")], root)
        ),
        remotes_today=remotes_today,
        dvc_roots=roots,
        outside_links=_outside_links(mirror, commit, tree),
        lfs=find_pointers(tree, texts, lambda paths: _contents_at(mirror, {path: blobs[path] for path in paths})),
    )


def lfs_pointers_at(mirror: Mirror, commit: str) -> tuple[LfsPointer, ...]:
    """Return the files of a commit whose bytes are in Git LFS."""
    tree, blobs = _tree(mirror, commit)
    attributes = [entry.path for entry in tree if entry.path in blobs and posixpath.basename(entry.path) == ATTRIBUTES]
    texts = read_texts(mirror, commit, attributes)
    return find_pointers(tree, texts, lambda paths: _contents_at(mirror, {path: blobs[path] for path in paths}))


def _outside_links(mirror: Mirror, commit: str, tree: Iterable[TreeEntry]) -> tuple[OutsideLink, ...]:
    """Return the symbolic links of a commit that lead out of the repository."""
    links = [entry.path for entry in tree if entry.kind == "symlink"]
    found = []
    for path, content in read_contents(mirror, commit, links, _LONGEST_LINK).items():
        target = _text(content)
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or place == ".." or place.startswith("../"):
            found.append(OutsideLink(path=path, target=target))
    return tuple(found)


def _contents_at(mirror: Mirror, blobs: Mapping[str, str]) -> dict[str, bytes]:
    contents = _contents(mirror, set(blobs.values()))
    return {path: contents[blob] for path, blob in blobs.items() if blob in contents}


def _tree(mirror: Mirror, commit: str) -> tuple[tuple[TreeEntry, ...], dict[str, str]]:
    """Return the tree's entries, and the ids of its regular files by path."""
    entries: list[TreeEntry] = []
    blobs: dict[str, str] = {}
    for record in run_git(mirror.path, "ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0"):
        if not record:
            continue
        fields, _, raw_path = record.partition(b"\t")
        mode, _, blob, size = fields.decode().split()
        path = _text(raw_path)
        kind = _KINDS.get(mode, "file")
        entries.append(
            TreeEntry(path=path, kind=kind, size_bytes=None if size == "-" else int(size), executable=mode == "100755")
        )
        if kind == "file":
            blobs[path] = blob
    return tuple(entries), blobs


def _is_read(entry: TreeEntry, wanted: set[str]) -> bool:
    name = posixpath.basename(entry.path)
    longest = _LONGEST_LOCK if name in _LOCKS else _LONGEST_NOTEBOOK if name.endswith(".ipynb") else LONGEST_TEXT
    if (entry.size_bytes or 0) > longest:
        return False
    return (
        entry.path in wanted
        or entry.path.startswith(_WORKFLOWS)
        or _is_config(entry.path)
        or any(fnmatchcase(name, pattern) for pattern in _NAMES)
    )


def _is_config(path: str) -> bool:
    return path == ".dvc/config" or path.endswith("/.dvc/config")


def _is_pointer(path: str) -> bool:
    name = posixpath.basename(path)
    return (name.endswith(".dvc") and name != ".dvc") or name == "dvc.lock"


def _is_lock(path: str) -> bool:
    return posixpath.basename(path) == "dvc.lock"


def _clean(path: str) -> str:
    return posixpath.normpath(path) if path else path


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def first_commit_where(mirror: Mirror, commit: str, path: str, holds: Callable[[str], bool]) -> str | None:
    """Return the first commit that brought a version of a file which `holds`; one after `commit` before one it had."""
    arguments = ("--literal-pathspecs", *_LOG, "--all", commit, "--", path)
    changes = [change for change in _log(mirror, *arguments) if change.path == path and change.mode in _REGULAR]
    contents = _contents(mirror, _ids(mirror, {change.blob for change in changes}).values())
    good = [
        (change.time, change.commit)
        for change in changes
        if change.blob in contents and holds(_decoded(contents[change.blob]))
    ]
    if not good:
        return None
    before = set(run_git(mirror.path, "rev-list", commit).decode().split())
    later = [each for each in good if each[1] not in before]
    return min(later)[1] if later else max(good)[1]


def first_commit_with(mirror: Mirror, snapshot: RepositorySnapshot, path: str) -> str | None:
    """Return the first commit of all history that has a file or folder which the snapshot's commit lacks."""
    return _first_commits(mirror, snapshot.commit, snapshot.tree, (path,)).get(path)


def _first_with_code(mirror: Mirror, commit: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Return, for each script that is empty at the commit, the first commit in which it is not."""
    empty = [path for path, text in texts.items() if path.endswith(".py") and not has_code(text)]
    found = {path: first_commit_where(mirror, commit, path, has_code) for path in empty}
    return {path: sha for path, sha in found.items() if sha is not None}


def _decoded(content: bytes, *, strict: bool = False) -> str:
    """Return the text of a file: UTF-16 as Windows writes it, else UTF-8, else Latin-1, which any bytes are."""
    if not strict and (codec := _utf_16(content)) is not None:
        return content.decode(codec, errors="replace").removeprefix("\ufeff")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        if strict:
            raise
        return content.decode("latin-1")
    return text if strict else text.removeprefix("\ufeff")


def _utf_16(content: bytes) -> str | None:
    """Return the UTF-16 that a file is in, by its byte order mark, or by zeros in every other place."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = content[:200]
    if len(start) < 2 or len(start) % 2 or b"\0" not in start:
        return None
    ascii_first, ascii_second = (
        start[place::2].count(0) == 0 and set(start[1 - place :: 2]) == {0} for place in (0, 1)
    )
    return "utf-16-le" if ascii_first else ("utf-16-be" if ascii_second else None)


def _pointers(
    texts: dict[str, str],
) -> tuple[tuple[PointerOut, ...], tuple[PointerOut, ...], list[PointerProblem]]:
    """Return the outs of all pointers, the deps of locks, and what cannot be read."""
    outs: list[PointerOut] = []
    deps: list[PointerOut] = []
    problems: list[PointerProblem] = []
    for path, text in texts.items():
        if not _is_pointer(path):
            continue
        found = _read(path, text, working_directories(posixpath.join(posixpath.dirname(path), "dvc.yaml"), texts))
        outs += found.outs
        deps += found.deps
        problems += found.problems
    return tuple(outs), tuple(deps), problems


def _read(path: str, text: str, wdirs: Mapping[str, str]) -> LockContents:
    try:
        return read_lock(path, text, wdirs) if _is_lock(path) else LockContents(read_pointer(path, text))
    except PointerSyntaxError as error:
        return LockContents(problems=(PointerProblem(pointer=path, problem=redact(str(error))),))


def _commit_time(content: bytes) -> datetime:
    match = re.search(rb"^committer .* (-?[0-9]+) [-+][0-9]+$", content.partition(b"\n\n")[0], re.MULTILINE)
    return _time(int(match[1]) if match else 0)


def _time(seconds: int) -> datetime:
    # git takes times that no calendar has
    return datetime.fromtimestamp(min(max(seconds, 0), 253_402_300_799), timezone.utc)


def _remotes_at(mirror: Mirror, commit: str | None, roots: tuple[str, ...]) -> tuple[DvcRemote, ...]:
    if commit is None:
        return ()
    found: list[DvcRemote] = []
    places = dict.fromkeys((".", *roots))
    names = {root: f"{commit}:{posixpath.normpath(f'{root}/.dvc/config')}" for root in places}
    ids = _ids(mirror, names.values())
    contents = _contents(mirror, ids.values())
    for root, name in names.items():
        if name in ids and ids[name] in contents:
            found += read_remotes(_decoded(contents[ids[name]]), root)
    return tuple(found)


def read_contents(mirror: Mirror, commit: str, paths: Iterable[str], longest: int) -> dict[str, bytes]:
    """Return the bytes of files at a commit by path, less those of more than `longest` bytes."""
    ids = _ids(mirror, (f"{commit}:{path}" for path in paths), longest)
    contents = _contents(mirror, ids.values())
    return {name.partition(":")[2]: contents[blob] for name, blob in ids.items()}


def read_texts(mirror: Mirror, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the texts of files at a commit by path, less those that are too long for one."""
    return {path: _decoded(data) for path, data in read_contents(mirror, commit, paths, LONGEST_TEXT).items()}


def _ids(mirror: Mirror, names: Iterable[str], longest: int = LONGEST_TEXT) -> dict[str, str]:
    """Return the ids of blobs by name (an id, or `COMMIT:PATH`); those over `longest` bytes are left out."""
    asked = [name for name in dict.fromkeys(names) if "\n" not in name]
    if not asked:
        return {}
    printed = run_git(mirror.path, "cat-file", "--batch-check", stdin="\n".join([*asked, ""]).encode())
    found = {}
    for name, line in zip(asked, printed.decode(errors="replace").splitlines(), strict=True):
        parts = line.rsplit(" ", 2)
        if len(parts) == 3 and parts[1] == "blob" and int(parts[2]) <= longest:
            found[name] = parts[0]
    return found


def _contents(mirror: Mirror, ids: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of objects by id."""
    asked = list(dict.fromkeys(ids))
    if not asked:
        return {}
    printed = run_git(mirror.path, "cat-file", "--batch", "--buffer", stdin="\n".join([*asked, ""]).encode())
    found: dict[str, bytes] = {}
    place = 0
    while place < len(printed):
        end = printed.index(b"\n", place)
        name, _, size = printed[place:end].decode().rpartition(" ")
        start = end + 1
        place = start + int(size) + 1
        found[name.partition(" ")[0]] = printed[start : place - 1]
    return found


@dataclass
class _Seen:
    """The newest commit that brought a version of a pointer, and the newest among the ancestors of the run's commit."""

    newest: tuple[int, str]
    ancestor: tuple[int, str] | None = None


@dataclass
class _Change:
    commit: str
    time: int
    path: str
    mode: str
    blob: str


def _log(mirror: Mirror, *arguments: str) -> Iterator[_Change]:
    """Yield what each commit of a log wrote; a merge counts where it differs from all of its parents."""
    sha, seconds = "", 0
    tokens = iter(run_git(mirror.path, *arguments).split(b"\0"))
    for raw in tokens:
        token = raw.lstrip(b"\n")
        if token.startswith(b"\x01"):
            name, _, time = token[1:].decode().partition(" ")
            sha, seconds = name, int(time)
        elif token.startswith(b":"):
            parts = token.decode().split(" ")
            parents = len(parts[0]) - len(parts[0].lstrip(":"))
            mode, blob = parts[parents], parts[-2]
            yield _Change(sha, seconds, _text(next(tokens)), mode, blob)


def _history(mirror: Mirror, commit: str) -> tuple[HistoricPointer, ...]:
    """Return every digest that a pointer has ever named, newest first."""
    ancestors = set(run_git(mirror.path, "rev-list", commit).decode().split())
    seen: dict[tuple[str, str], _Seen] = {}
    for change in _log(mirror, *_LOG, "--all", commit, "--", "*.dvc", "dvc.lock", "*/dvc.lock"):
        if change.mode not in _REGULAR or not _is_pointer(change.path):
            continue
        when = (change.time, change.commit)
        version = seen.setdefault((change.path, change.blob), _Seen(when))
        version.newest = max(version.newest, when)
        if change.commit in ancestors:
            version.ancestor = max(version.ancestor or when, when)
    readable = _ids(mirror, {blob for _, blob in seen})
    yamls = _ids(
        mirror,
        {_beside(path, version.newest[1]) for (path, _), version in seen.items() if _is_lock(path)},
    )
    contents = _contents(mirror, {*readable.values(), *yamls.values()})
    versions = _Versions()
    best: dict[tuple[str, str, DigestValue], tuple[bool, int, str]] = {}
    for (path, blob), version in seen.items():
        if blob not in readable:
            continue
        dvc_yaml = contents.get(yamls.get(_beside(path, version.newest[1]), ""), b"")
        time, sha = version.ancestor or version.newest
        entry = (version.ancestor is not None, time, sha)
        text = contents[blob].decode(errors="replace")
        for out in versions.outs(path, text, dvc_yaml.decode(errors="replace")):
            if out.digest is not None:
                key = (path, out.path, out.digest)
                best[key] = max(best.get(key, entry), entry)
    found = [
        HistoricPointer(pointer=pointer, path=path, digest=digest, commit=sha, time=_time(time), ancestor=ancestor)
        for (pointer, path, digest), (ancestor, time, sha) in best.items()
    ]
    return tuple(sorted(found, key=lambda item: item.time, reverse=True))


class _Versions:
    """Reads many versions of the same pointers; of locks, what two versions have in common is read once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str, str], tuple[PointerOut, ...]] = {}

    def outs(self, path: str, text: str, dvc_yaml: str) -> list[PointerOut]:
        """Return the outs of one version, none where it cannot be read."""
        if "wdir" not in dvc_yaml:
            dvc_yaml = ""
        try:
            return [out for part in lock_parts(text) for out in self._part(path, part, dvc_yaml)]
        except PointerSyntaxError:
            return list(_read(path, text, read_wdirs(dvc_yaml)).outs)

    def _part(self, path: str, part: str, dvc_yaml: str) -> tuple[PointerOut, ...]:
        key = (path, part, dvc_yaml)
        if key not in self._parts:
            if _is_lock(path):
                self._parts[key] = read_lock(path, part, read_wdirs(dvc_yaml)).outs
            else:
                self._parts[key] = read_pointer(path, part)
        return self._parts[key]


def _beside(lock: str, commit: str) -> str:
    return f"{commit}:{posixpath.join(posixpath.dirname(lock), 'dvc.yaml')}"


_WILD = re.compile(r"[][*?\\]")


def _first_commits(mirror: Mirror, commit: str, tree: tuple[TreeEntry, ...], wanted: Iterable[str]) -> dict[str, str]:
    """Return, for each wanted path that the tree lacks, the first commit of all history that adds it.

    Where no commit has any of them, they are looked for beneath folders, and the paths are those that were found.
    """
    there = {entry.path for entry in tree}
    for path in tuple(there):
        while path := posixpath.dirname(path):
            there.add(path)
    lacking = [
        path
        for path in dict.fromkeys(map(_clean, wanted))
        if path not in there and path and not path.startswith(("/", "..")) and "\0" not in path and path != "."
    ]
    if not lacking:
        return {}
    first: dict[str, tuple[int, str]] = {}
    changes = _log(mirror, "--literal-pathspecs", *_LOG, "--diff-filter=A", "--all", commit, "--", *lacking)
    for change in changes:
        for path in lacking:
            if change.path == path or change.path.startswith(f"{path}/"):
                when = (change.time, change.commit)
                first[path] = min(first.get(path, when), when)
    if not first:  # recorded from another directory: `train.py` may be `src/train.py`
        beneath = [":(glob)**/" + _WILD.sub(r"\\\g<0>", path) for path in lacking]
        for change in _log(mirror, *_LOG, "--diff-filter=A", "--all", commit, "--", *beneath):
            if change.path not in there and any(change.path.endswith(f"/{path}") for path in lacking):
                when = (change.time, change.commit)
                first[change.path] = min(first.get(change.path, when), when)
    return {path: sha for path, (_, sha) in first.items()}


def _later_changes(mirror: Mirror, commit: str, first: datetime, last: datetime) -> tuple[LaterChange, ...]:
    """Return what commits made between two moments changed, oldest first, but for `commit` and those before it.

    A commit was made when it was first written or when it was last rewritten: a rebase keeps the one, an amendment too.
    """
    start, end = int(first.timestamp()), int(last.timestamp())
    printed = run_git(mirror.path, "log", "--format=%H %ct %at", f"--since={start}", "--all", f"^{commit}").decode()
    made: dict[str, int] = {}
    for line in printed.splitlines():
        sha, *times = line.split(" ")
        inside = [time for time in map(int, times) if start <= time <= end]
        if inside:
            made[sha] = min(inside)
    oldest = sorted(made, key=lambda sha: made[sha])[:_MOST_COMMITS]
    if not oldest:
        return ()
    changes = {(change.commit, change.path) for change in _log(mirror, *_LOG, "--no-walk=unsorted", *oldest)}
    return tuple(
        LaterChange(commit=sha, path=path, time=_time(made[sha]))
        for sha, path in sorted(changes, key=lambda change: (oldest.index(change[0]), change[1]))
    )
