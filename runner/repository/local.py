"""A repository on this host, as git may see it without ever reading its configuration.

A repository that somebody else made can name commands in its configuration (`core.fsmonitor`, `core.sshCommand`,
`uploadpack.packObjectsHook`, a promisor's remote), and git refuses one of another owner. So git never opens it: we lay
out a repository of our own beside the mirror, which has copies of its refs and looks up objects in its object folder.
Nothing is written to the original, not even a lock.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.errors import DiskFull, MissingFact
from runner.redact import redact
from runner.repository.process import GitFailed, run_git


@dataclass(frozen=True)
class LocalRepository:
    """The folders of a repository: `git_dir` is a work tree's own (HEAD), `common_dir` that of refs and objects.

    `work_tree` is None for a bare one.
    """

    git_dir: Path
    common_dir: Path
    work_tree: Path | None

    @property
    def objects(self) -> Path:
        """Where its objects lie."""
        return self.common_dir / "objects"

    @property
    def shallow(self) -> bool:
        """Tell whether its history is cut."""
        try:
            return bool((self.common_dir / "shallow").stat().st_size)
        except OSError:
            return False

    @property
    def partial(self) -> bool:
        """Tell whether it may lack objects that its origin has."""
        return any((self.objects / "pack").glob("*.promisor"))


def find_repository(place: Path) -> LocalRepository | None:
    """Return the repository that `place` is or lies in, None where there is none. Writes nothing, runs nothing."""
    start = place.resolve() if place.is_dir() else place.resolve().parent
    for folder in (start, *start.parents):
        with contextlib.suppress(PermissionError):
            found = _repository_at(folder)
            if found is not None:
                return found
    return None


def _repository_at(folder: Path) -> LocalRepository | None:
    dot_git = folder / ".git"
    if dot_git.is_dir() and _is_git_dir(dot_git):
        return LocalRepository(dot_git, _common_dir(dot_git), folder)
    # of a linked work tree or a submodule
    target = _first_line(dot_git).removeprefix("gitdir:").strip()
    git_dir = (folder / target).resolve()
    if target and _is_git_dir(git_dir):
        return LocalRepository(git_dir, _common_dir(git_dir), folder)
    if _is_git_dir(folder):
        return LocalRepository(folder, _common_dir(folder), None)
    return None


def lay_out(git_dir: Path, *, config: str = "", alternates: tuple[Path, ...] = ()) -> None:
    """Make an empty bare repository at `git_dir` whose objects may also lie in `alternates`.

    By hand, since `git init` copies templates with hooks.
    """
    for folder in ("objects/info", "objects/pack", "refs/heads"):
        (git_dir / folder).mkdir(parents=True, exist_ok=True)
    _write(git_dir / "config", f"[core]\n\trepositoryformatversion = 0\n\tbare = true\n{config}")
    if alternates:
        _write(git_dir / "objects/info/alternates", "".join(f"{_quoted(path)}\n" for path in alternates))
    _write(git_dir / "HEAD", "ref: refs/heads/none\n")


def lay_out_double(original: LocalRepository, git_dir: Path, *, more_objects: tuple[Path, ...] = ()) -> None:
    """Lay out at `git_dir` a repository with the refs of `original` that looks up its objects.

    `more_objects` are folders of objects that the original lacks. Raises MissingFact for what our git cannot read,
    DiskFull.
    """
    config_text = _read(original.common_dir / "config")
    if re.search(r"(?im)^\s*objectformat\s*=\s*\"?sha256", config_text):
        raise MissingFact(
            f"the repository {original.common_dir} has object names by SHA-256, which mirrors cannot hold yet",
            "name a repository with SHA-1 names: --repo URL_OR_PATH",
            fact="repository",
        )
    reftable = re.search(r"(?im)^\s*refstorage\s*=\s*\"?reftable", config_text) is not None
    extensions = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefstorage = reftable\n" if reftable else ""
    try:
        lay_out(
            git_dir,
            config="[uploadpack]\n\tallowAnySHA1InWant = true\n" + extensions,
            alternates=(original.objects, *more_objects),
        )
        if reftable:
            shutil.copytree(original.common_dir / "reftable", git_dir / "reftable")
        # loose before packed, as git reads them: a ref that is packed meanwhile is seen twice and not never
        for ref in sorted((original.common_dir / "refs").rglob("*")):
            if ref.is_file() and not ref.is_symlink() and not ref.name.endswith(".lock"):
                _write(git_dir / "refs" / ref.relative_to(original.common_dir / "refs"), _first_line(ref) + "\n")
        _write(git_dir / "packed-refs", _read(original.common_dir / "packed-refs"))
        _write(git_dir / "HEAD", _first_line(original.git_dir / "HEAD") + "\n")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space is left beside the mirror {git_dir.parent}", "runner setup --prune") from error
        raise MissingFact(
            f"the repository {original.common_dir} cannot be read: {redact(str(error.strerror))}",
            "name a repository that you may read: --repo URL_OR_PATH",
            fact="repository",
        ) from error


def origin_of(original: LocalRepository, git_dir: Path) -> str | None:
    """Return the address of the original's remote `origin`, from its configuration as text; `git_dir` is ours."""
    config = original.common_dir / "config"
    try:
        found = run_git(git_dir, "config", "--file", str(config), "--no-includes", "--get", "remote.origin.url")
    except GitFailed:
        return None
    return found.decode(errors="replace").strip() or None


def _is_git_dir(folder: Path) -> bool:
    common = _common_dir(folder)
    return (folder / "HEAD").exists() and (common / "objects").is_dir() and (common / "refs").is_dir()


def _common_dir(git_dir: Path) -> Path:
    target = _first_line(git_dir / "commondir")
    return (git_dir / target).resolve() if target else git_dir


def _first_line(path: Path) -> str:
    return (_read(path).splitlines() or [""])[0].strip()


def _read(path: Path) -> str:
    if not path.is_file():  # a pipe would never end
        return ""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _quoted(path: Path) -> str:
    """Return a path as git's list of alternates has it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
