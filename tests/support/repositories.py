"""Real git repositories with DVC pointers, for everybody's tests. Needs git and no DVC.

    repository = Repository(tmp_path / "project")
    store = Store(tmp_path / "store")
    data = store.put(b"a,b\\n1,2\\n")
    repository.commit({".dvc/config": dvc_config(store.path), "data.csv.dvc": pointer_text("data.csv", data)}, "data")

Nothing of the machine shows: HOME and git's configuration are the builder's own, and dates are fixed, so that the same
calls give the same commits everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.schema.digest import DigestValue

FIRST_DATE = 1_700_000_000  # 2023-11-14 22:13:20 UTC; each commit without a date is an hour after the one before


@dataclass(frozen=True)
class Stored:
    """Bytes that a store holds, as a pointer names them. `file_count` is None for a file."""

    digest: DigestValue
    size_bytes: int
    file_count: int | None = None


class Store:
    """A DVC remote that is a folder: objects lie at `files/md5/XX/YYY…`, as DVC 3 has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> Stored:
        """Store a file."""
        digest = md5(content)
        self._write(digest, content)
        return Stored(digest, len(content))

    def put_directory(self, files: Mapping[str, bytes]) -> Stored:
        """Store the files of a folder, by POSIX path, and its listing."""
        for content in files.values():
            self.put(content)
        digest, listing = directory_object(files)
        self._write(digest, listing)
        return Stored(digest, sum(map(len, files.values())), len(files))

    def object_path(self, digest: DigestValue) -> Path:
        """Return where the bytes of a digest lie, or would."""
        return self.path / "files" / "md5" / digest.dvc[:2] / digest.dvc[2:]

    def remove(self, digest: DigestValue) -> None:
        """Lose the bytes of a digest."""
        self.object_path(digest).unlink()

    def _write(self, digest: DigestValue, content: bytes) -> None:
        path = self.object_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Repository:
    """A git repository that a test builds commit by commit; the commits are on `main` unless it checks out another."""

    def __init__(self, path: Path, *, bare: bool = False) -> None:
        self.path = path
        self._home = path.parent / f".{path.name}-home"
        self._home.mkdir(parents=True, exist_ok=True)
        self._last_date = FIRST_DATE - 3600
        self.git("init", "-q", *(["--bare"] if bare else []), "-b", "main", str(path), at=path.parent)

    def git(self, *arguments: str, at: Path | None = None, stdin: bytes | None = None) -> str:
        """Run git in the repository and return what it prints, without the last line ending."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Ann Author",
            "GIT_AUTHOR_EMAIL": "ann@example.org",
            "GIT_COMMITTER_NAME": "Ann Author",
            "GIT_COMMITTER_EMAIL": "ann@example.org",
            "GIT_AUTHOR_DATE": f"{self._last_date} +0000",
            "GIT_COMMITTER_DATE": f"{self._last_date} +0000",
            "LC_ALL": "C",
        }
        finished = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=at or self.path,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
        )
        if finished.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {finished.stderr.decode(errors='replace')}")
        return finished.stdout.decode(errors="surrogateescape").rstrip("\n")

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "change", date: int | None = None) -> str:
        """Write files (None removes one), commit all of them and return the commit.

        `date` is in seconds since 1970; without it the commit is an hour after the last one. Line endings stay as
        given.
        """
        self._last_date = self._last_date + 3600 if date is None else date
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A", "-f", "--", *files) if files else None
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def clone(self, path: Path, *options: str) -> Repository:
        """Clone the repository by address, not by links, with options of `git clone`, and return the clone."""
        other = Repository.__new__(Repository)
        other.path, other._home, other._last_date = path, path.parent / f".{path.name}-home", self._last_date
        other._home.mkdir(parents=True, exist_ok=True)
        self.git("clone", "-q", *options, self.path.absolute().as_uri(), str(path))
        return other


def md5(content: bytes) -> DigestValue:
    """Return the digest by which DVC 3 names a file's bytes."""
    return DigestValue("md5", hashlib.md5(content, usedforsecurity=False).hexdigest())


def directory_object(files: Mapping[str, bytes]) -> tuple[DigestValue, bytes]:
    """Return the digest and the bytes of a folder's listing as DVC writes it."""
    entries = [{"md5": md5(content).hexdigest, "relpath": name} for name, content in files.items()]
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode()
    return DigestValue("md5", md5(listing).hexdigest, directory=True), listing


def pointer_text(name: str, *outs: Stored) -> str:
    """Return a `.dvc` file as `dvc add` writes it. Several outs are named NAME, NAME.1, NAME.2 ..."""
    lines = ["outs:"]
    for number, out in enumerate(outs):
        lines += [f"- md5: {out.digest.dvc}", f"  size: {out.size_bytes}"]
        lines += [f"  nfiles: {out.file_count}"] if out.file_count is not None else []
        lines += ["  hash: md5", f"  path: {name}{f'.{number}' if number else ''}"]
    return "\n".join(lines) + "\n"


def lock_text(stages: Mapping[str, Mapping[str, Stored]]) -> str:
    """Return a `dvc.lock` whose stages have these outs, by path."""
    lines = ["schema: '2.0'", "stages:"]
    for stage, outs in stages.items():
        lines += [f"  {stage}:", f"    cmd: python {stage}.py", "    outs:"]
        for path, out in outs.items():
            lines += [f"    - path: {path}", "      hash: md5", f"      md5: {out.digest.dvc}"]
            lines += [f"      size: {out.size_bytes}"]
            lines += [f"      nfiles: {out.file_count}"] if out.file_count is not None else []
    return "\n".join(lines) + "\n"


def dvc_config(url: str | Path, name: str = "storage", **options: str) -> str:
    """Return a `.dvc/config` with one remote, which is the default, as `dvc remote add -d` writes it."""
    more = "".join(f"    {key} = {value}\n" for key, value in options.items())
    return f"[core]\n    remote = {name}\n['remote \"{name}\"']\n    url = {url}\n{more}"


def fingerprint(path: Path) -> dict[str, str]:
    """Return every path below a folder with its kind, mode, times and content: equal means untouched."""
    found: dict[str, str] = {}
    for item in sorted([path, *path.rglob("*")]):
        status = item.lstat()
        content = ""
        if item.is_symlink():
            content = os.readlink(item)
        elif item.is_file():
            content = hashlib.sha256(item.read_bytes()).hexdigest()
        found[str(item.relative_to(path))] = f"{status.st_mode:o} {status.st_mtime_ns} {status.st_ctime_ns} {content}"
    return found


def git_is_there() -> bool:
    """Tell whether git can be run; tests of repositories need it."""
    return shutil.which("git") is not None
