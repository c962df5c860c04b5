"""What the user's repository says of the code that is about to run. Reads alone: no lock, no network."""

from __future__ import annotations

import os
import re
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIMEOUT_S = 10
_SOURCES = (".py", ".pyx", ".ipynb", ".sh", ".r", ".jl")
# Up to the last @ of the host's part; a password may hold a slash, which is no address and yet typed.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<userinfo>[^/@:]*:(?!\d{1,5}/).*|[^/]*)@")
_SHOWN = 20


class NoState(Exception):
    """Nothing can be said of the code; the text is a sentence that says why."""


class GitState:
    """A work tree as git sees it.

    `changed` are tracked files that differ from the commit, without pointers; `pointers_changed` the pointers among
    them, or not committed yet; `untracked` sources that no commit holds. `pushed` is None where there is no remote.
    `tracked` are the pointer files that git knows or that lie about.
    """

    def __init__(self, root: str, commit: str) -> None:
        self.root = root
        self.commit = commit
        self.url = None  # type: str | None
        self.changed = []  # type: list[str]
        self.pointers_changed = []  # type: list[str]
        self.untracked = []  # type: list[str]
        self.pushed = None  # type: bool | None
        self.pointers = []  # type: list[str]

    @property
    def tags(self) -> dict[str, str]:
        """What of it is recorded."""
        tags = {"git_commit": self.commit}
        if self.url:
            tags["git_repo_url"] = self.url
        if self.changed:
            tags["git_dirty"] = "true"
        elif self.untracked:
            # A file that lies about need not be a part of the run: the tree is neither called dirty nor clean.
            tags["git_untracked"] = ", ".join(self.untracked[:_SHOWN])
        else:
            tags["git_dirty"] = "false"
        if self.pushed is not None:
            tags["git_unpushed"] = "false" if self.pushed else "true"
        return tags


def read_git_state(folder: str) -> GitState:
    """Return the state of the work tree that holds `folder`. Raises NoState."""
    root = root_of(folder)
    listed = _git(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal")
    commit, upstream, entries = None, None, []
    records = iter(listed.split("\0"))
    for record in records:
        if record.startswith("# branch.oid "):
            commit = record[len("# branch.oid ") :]
        elif record.startswith("# branch.upstream "):
            upstream = record[len("# branch.upstream ") :]
        elif record[:2] in ("1 ", "2 ", "u ", "? "):
            # v2 has 8 words before the path of a change, 9 of a rename, whose old path is a record of its own
            words = {"1": 8, "2": 9, "u": 10, "?": 1}[record[0]]
            entries.append((record[0], record.split(" ", words)[words]))
            if record[0] == "2":
                entries.append(("2", next(records, "")))
    if commit is None or commit == "(initial)":
        raise NoState("the repository has no commit yet")
    state = GitState(root, commit)
    for kind, path in entries:
        if is_pointer(path):
            state.pointers_changed.append(path)
        elif kind != "?":
            state.changed.append(path)
        elif _holds_source(root, path):
            state.untracked.append(path)
    state.url, any_remote = _remote_url(root, upstream)
    if any_remote:
        state.pushed = bool(_git(root, "for-each-ref", "--contains", commit, "--count=1", "refs/remotes").strip())
    tracked = _git(root, "ls-files", "-z", "--", "*.dvc", "dvc.lock", "*/dvc.lock").split("\0")
    new = [path for kind, path in entries if kind == "?" and is_pointer(path)]
    names = {path for path in (*tracked, *new) if path and not path.endswith(".gitignore")}
    state.pointers = sorted(path for path in names if os.path.isfile(os.path.join(root, path)))
    return state


def root_of(folder: str) -> str:
    """Return the root of the work tree that holds `folder`. Raises NoState."""
    root = _git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
    if not root:
        raise NoState("the folder is no work tree of git")
    return root


def tracked_among(root: str, paths: Any) -> set[str]:
    """Return those of `paths` that git itself holds."""
    paths = list(paths)
    return set(_git(root, "ls-files", "-z", "--", *paths).split("\0")) if paths else set()


def is_pointer(path: str) -> bool:
    """Tell whether a file is DVC's: a pointer, a lock, or what it writes beside them; their digests are recorded."""
    name = path.rpartition("/")[2]
    return (name.endswith(".dvc") and name != ".dvc") or name in ("dvc.lock", ".gitignore")


def without_credentials(url: str) -> str:
    """Return the address of a remote without user and password; ssh's user alone is none and stays."""

    def strip(match: Any) -> str:
        keeps = match["scheme"].lower() in ("ssh://", "git+ssh://") and ":" not in match["userinfo"]
        return str(match[0] if keeps else match["scheme"])

    return _USERINFO.sub(strip, url.partition("?")[0])


def _remote_url(root: str, upstream: str | None) -> tuple[str | None, bool]:
    """Return the address of the upstream's remote, else origin's, else of the only one; and if there is any."""
    try:
        listed = _git(root, "config", "-z", "--get-regexp", r"^remote\..*\.url$")
    except NoState:  # git's status where there is none
        return None, False
    urls = {}  # type: dict[str, str]
    for item in listed.split("\0"):
        key, _, url = item.partition("\n")
        if url:
            urls.setdefault(key[len("remote.") : -len(".url")], url)
    names = sorted((name for name in urls if (upstream or "").startswith(name + "/")), key=len, reverse=True)
    if "origin" in urls:
        names.append("origin")
    if len(urls) == 1:
        names.extend(urls)
    if not names:
        return None, bool(urls)
    url = without_credentials(urls[names[0]])
    is_path = "://" not in url and not re.match(r"[^/]+:", url)
    return os.path.normpath(os.path.join(root, url)) if is_path else url, True


def _holds_source(root: str, path: str) -> bool:
    if not path.endswith("/"):
        return path.lower().endswith(_SOURCES)
    try:
        names = os.listdir(os.path.join(root, path))
    except OSError:
        return False
    if "pyvenv.cfg" in names or path.rstrip("/").rpartition("/")[2] in ("mlruns", "wandb", "__pycache__"):
        return False
    return any(name.lower().endswith(_SOURCES) for name in names)


def _git(folder: str, *arguments: str) -> str:
    environment = dict(os.environ, GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise NoState("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise NoState(f"git did not answer within {_TIMEOUT_S} s") from None
    except OSError as error:
        raise NoState(f"git could not be started: {error.strerror}") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines()
        text = said[0] if said else f"git {arguments[0]} ended with status {done.returncode}"
        if "not a git repository" in text:
            text = "the folder is in no git repository"
        raise NoState(text)
    return os.fsdecode(done.stdout)
