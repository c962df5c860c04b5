"""The training's workspace: a clone at the commit, pointers as recorded, data linked in, outputs absent."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

from runner.inside import layout
from runner.inside.data.objects import ObjectId
from runner.inside.protocol import INTERNAL, MISSING, PhaseError

_GIT = (
    "git",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    "-c",
    "protocol.file.allow=always",
    "-c",
    "advice.detachedHead=false",
)
_LONGEST_PATH = 4096 - 256 - 2  # Linux's, less a name
_MOST_LINKS = 40  # Linux's own
_UNLISTED = ("/.git", "/__pycache__", "/.dvc/cache", "/.dvc/tmp")


def clone(bundle: str, target: str, *, commit: str, branch: str | None, url: str) -> None:
    """Clone the bundle at the commit, with `url` as its origin. Hooks and filters of nobody run."""
    # Times of change are ours, not an author's: see `settle`.
    _git(None, "clone", "--quiet", "--no-checkout", "--config", "core.trustctime=false", bundle, target)
    place = ("-B", branch, commit) if branch else ("--detach", commit)
    _git(target, "checkout", "--quiet", "--force", *place)
    _git(target, "remote", "set-url", "origin", url)


def move_head(root: str, commit: str) -> None:
    """Have HEAD be a commit, and leave files as they are: what differs then is a change that none holds."""
    _git(root, "reset", "--quiet", "--soft", commit)


def _git(directory: str | None, *arguments: str, stdin: str | None = None, accept: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        [*_GIT, *arguments],
        cwd=directory,
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        env={"PATH": os.environ.get("PATH", ""), "HOME": _home(), "GIT_CONFIG_NOSYSTEM": "1"},
    )
    if done.returncode not in accept:
        if "No space left" in done.stderr:
            raise OSError(28, done.stderr.strip())
        raise PhaseError(INTERNAL, f"git {arguments[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


@functools.cache
def _home() -> str:
    """Return a folder with git's settings: before 2.35, as in Debian bullseye, it takes this one from a file alone."""
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, ".gitconfig"), "w", encoding="utf-8") as file:
        file.write("[safe]\n\tdirectory = *\n")  # the workspace is the training user's
    return folder


def inside(root: str, path: str) -> str:
    """Return `root/path`, once none of its parents is a link that could lead out of the workspace.

    Raises PhaseError(missing) for a path that leaves it: the commit is input, and may hold such links.
    """
    parts = path.split("/")
    here = root
    if path.startswith("/") or not all(part and part not in (".", "..") for part in parts) or ".git" in parts:
        raise _leaves(path)
    for part in parts[:-1]:
        here = os.path.join(here, part)
        if os.path.islink(here):
            raise _leaves(path)
    return os.path.join(root, path)


def _leaves(path: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"the path {path} leads out of the repository",
        "runner reproduce RUN --pointer DIGEST=PATH    with a path inside the repository",
        fact="data",
    )


def own(root: str) -> None:
    """Hand the whole clone to the training's user; call before data is linked in, which stays root's."""
    for directory, names, files in os.walk(root):
        os.chown(directory, layout.TRAINER_UID, layout.TRAINER_GID)
        for name in (*files, *(name for name in names if os.path.islink(os.path.join(directory, name)))):
            os.lchown(os.path.join(directory, name), layout.TRAINER_UID, layout.TRAINER_GID)


def make_parents(root: str, path: str) -> None:
    """Make the folder of a path, the training's own: a clone lacks an output's folder, and scripts do not make it."""
    full = inside(root, path)
    missing = []
    parent = os.path.dirname(full)
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for each in reversed(missing):
        os.mkdir(each)
        os.chown(each, layout.TRAINER_UID, layout.TRAINER_GID)


def make_room(root: str, path: str) -> None:
    """Make the folder of a path where that can be done: what else versions name may be a file or a link here."""
    with contextlib.suppress(OSError, PhaseError):
        make_parents(root, path)


def remove(path: str) -> bool:
    """Remove a file or folder; tell whether there was one. A link is removed, not followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
        return True
    if os.path.lexists(path):
        os.unlink(path)
        return True
    return False


def edit_pointers(root: str, edits: Iterable[dict[str, Any]]) -> None:
    """Write the pointers as the plan has them, and keep git from calling the tree dirty for a rewritten one.

    A created one stays an untracked file: hidden from git it would be ignored by git, and DVC refuses to write a
    pointer that is, as a training that runs `dvc add` asks it to.
    """
    rewritten: list[str] = []
    for edit in edits:
        path = inside(root, edit["path"])
        make_parents(root, edit["path"])
        remove(path)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(edit["text"])
        os.chown(path, layout.TRAINER_UID, layout.TRAINER_GID)
        if not edit["created"]:
            rewritten.append(edit["path"])
    mark_unchanged(root, rewritten)


def mark_unchanged(root: str, paths: Iterable[str]) -> None:
    """Tell git's index that these tracked files are as committed, whatever lies there."""
    listed = "".join(f"{path}\0" for path in paths)
    if listed:
        _git(root, "update-index", "--skip-worktree", "-z", "--stdin", stdin=listed)


def by_repository(root: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the tracked ones of these files by the work tree that tracks each: the clone's, or a submodule's."""
    found: dict[str, list[str]] = {}
    for path in paths:
        folder = root
        for end in (place for place, letter in enumerate(path) if letter == "/"):
            if os.path.isdir(os.path.join(root, path[:end], ".git")):
                folder = os.path.join(root, path[:end])
        found.setdefault(folder, []).append(os.path.relpath(os.path.join(root, path), folder))
    kept = {folder: set(tracked(folder)) for folder in found}
    return {folder: [path for path in inner if path in kept[folder]] for folder, inner in found.items()}


def tracked(root: str, path: str | None = None) -> list[str]:
    """Return the tracked files, all or those at or below a path."""
    within = () if path is None else (f":(literal){path}",)
    return [name for name in _git(root, "ls-files", "-z", "--", *within).split("\0") if name]


def settle(root: str) -> None:
    """Leave the commit's files so that their access times tell who reads them; call when all is laid out.

    Git notes them as unchanged, so that a training which asks it for the tree's state does not make it read them all.
    They are older than the training by a minute, and were last read before they last changed: also `relatime` then
    notes the first reading.
    """
    files = [os.path.join(root, path) for path in tracked(root)]
    before = time.time_ns() - 60 * 10**9
    _set_times(files, before)
    _git(root, "update-index", "-q", "--refresh", accept=(0, 1))  # 1 where pointers differ from the commit's
    _set_times(files, before)  # which git has just read


def age(root: str, paths: Iterable[str]) -> None:
    """Have files that came after `settle` be as old as the commit's, so that whoever reads them first shows."""
    _set_times((os.path.join(root, path) for path in paths), time.time_ns() - 60 * 10**9)


def _set_times(files: Iterable[str], time_ns: int) -> None:
    for path in files:
        with contextlib.suppress(OSError):  # removed, since the training is to write it
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:  # never the cache's own
                os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def exclude(root: str, paths: Iterable[str]) -> None:
    """Have git ignore untracked paths, in the clone's own list, which belongs to no commit."""
    lines = []
    for path in paths:
        escaped = "".join(f"\\{letter}" if letter in "\\*?[]!# " else letter for letter in path)
        lines.append(f"/{escaped}\n")
    if lines:
        with open(f"{root}/.git/info/exclude", "a", encoding="utf-8") as file:
            file.writelines(lines)


def lay(
    root: str, path: str, object_id: ObjectId, entries: list[tuple[str, ObjectId]] | None, *, writable: bool
) -> None:
    """Link an object, or each file of a directory object, to its path: no bytes are copied, unless `writable`.

    The folders are the training's, linked files root's and read-only: a training may replace them and not change them.
    Of what it may want to overwrite it gets a copy.
    """
    put = _copy if writable else link
    full = inside(root, path)
    make_parents(root, path)
    remove(full)
    if entries is None:
        put(object_id.path, full)
        return
    os.mkdir(full)
    os.chown(full, layout.TRAINER_UID, layout.TRAINER_GID)
    made = {full}
    for relative, entry in entries:
        target = os.path.join(full, relative)
        parent = os.path.dirname(target)
        if parent not in made:
            make_parents(root, f"{path}/{relative}")
            made.add(parent)
        put(entry.path, target)


def link(source: str, target: str) -> None:
    """Link a file; copy it where its file system has no more links to it, as to an empty file in a large folder."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        shutil.copyfile(source, target)
        os.chmod(target, 0o444)


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    os.chown(target, layout.TRAINER_UID, layout.TRAINER_GID)


def private_cache(root: str, dvc_roots: Iterable[str]) -> None:
    """Give each DVC project of the clone a cache of its own inside it: trainings that call `dvc add` need to write."""
    for dvc_root in dvc_roots:
        folder = f"{dvc_root}/.dvc" if dvc_root not in ("", ".") else ".dvc"
        path = inside(root, f"{folder}/config.local")  # `.dvc` itself may be a link
        remove(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write("[core]\n    analytics = false\n    check_update = false\n[cache]\n    dir = cache\n")
        os.chown(path, layout.TRAINER_UID, layout.TRAINER_GID)
        exclude(root, [os.path.relpath(path, root)])


def behind_link(root: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, place) of the file, or of each file of the folder, that a link at `path` leads to.

    The training saw `root` at another place, and made the link: it is followed by hand, to nothing but regular files
    of its own sandbox. Nothing is yielded for a path that is no link and has none for a parent.
    """
    place = _followed(root, path)
    if place is None or place == os.path.join(root, path):
        return
    if os.path.isdir(place):
        for name, _ in files(place):
            yield f"{path}/{name}", os.path.join(place, name)
    elif os.path.isfile(place):
        yield path, place


def _followed(root: str, path: str) -> str | None:
    """Return where links lead, None for a place outside the sandbox or for links in a circle."""
    sandbox = os.path.dirname(root)
    here: list[str] = []
    rest = [os.path.basename(root), *path.split("/")]
    links = 0
    while rest:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return None
            here.pop()
            continue
        place = os.path.join(sandbox, *here, part)
        if not os.path.islink(place):
            here.append(part)
            continue
        target = os.readlink(place)
        links += 1
        if links > _MOST_LINKS:
            return None
        if target.startswith("/"):
            if not target.startswith(layout.SANDBOX_TARGET + "/"):
                return None
            here, target = [], target.removeprefix(layout.SANDBOX_TARGET + "/")
        rest = [*target.split("/"), *rest]
    return os.path.join(sandbox, *here)


def files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative path, status) of every regular file that is the project's: no git, caches of DVC or bytecode."""
    stack = [""]
    while stack:
        directory = stack.pop()
        full = os.path.join(root, directory)
        if len(os.fsencode(full)) > _LONGEST_PATH:  # a training may nest folders deeper than any path can name
            continue
        with os.scandir(full) as entries:
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if f"/{path}".endswith(_UNLISTED):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    stack.append(path)
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield path, status
