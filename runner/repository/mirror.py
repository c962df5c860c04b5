"""A repository's mirror in the host's cache: fetched when something is missing, read ever after.

The original is only read. Its refs are at `refs/mirror/…`, its HEAD at `refs/head/default`. Tips that it has lost since
(rewritten history, deleted branches) stay at `refs/kept/…`, commits that were fetched by their id at `refs/wanted/…`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from runner.errors import AmbiguousFact, MissingFact, RepositoryUnavailable
from runner.lineage.transport import PROTOCOLS, RECORDED_PROTOCOLS
from runner.redact import redact
from runner.repository.address import Address, parse_address
from runner.repository.local import LocalRepository, find_repository, lay_out, lay_out_double, origin_of
from runner.repository.process import GitFailed, Network, run_git

_FULL = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{4,40}")
_LISTING_S = 120.0
_FETCH_S = 7200.0
_MOST_CANDIDATES = 16

_FILES = Network(("file",), user_configuration=False)
_URLS = Network(PROTOCOLS, user_configuration=True)
_RECORDED = Network(RECORDED_PROTOCOLS, user_configuration=True)
_PUBLIC = Network(("https",), user_configuration=False)

# what git says where no second try can help
_GONE = re.compile(
    r"does not appear to be a git repository|repository .*(not found|does not exist)|not a git repository"
    r"|requested URL returned error: 4(04|10)|no such (project|repository)|project .*not be found",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|no such remote ref|not a valid object"
    r"|server does not allow request",
    re.IGNORECASE,
)
_DAMAGED = re.compile(
    r"missing (blob|tree|commit|necessary)|unable to read|all necessary objects|bad (object|pack)|corrupt"
)


@dataclass(frozen=True)
class Mirror:
    """A bare repository of ours with all that the original has; safe to read from several processes.

    `url` tells where the original is, without credentials. `head_is_default` is true where the original's HEAD names
    its default branch and not what somebody has checked out.
    """

    path: Path
    url: str
    head_is_default: bool = True

    def contains(self, sha: str) -> bool:
        """Tell whether the mirror holds the commit with this full id."""
        if not _FULL.fullmatch(sha):
            return False
        try:
            run_git(self.path, "cat-file", "-e", f"{sha}^{{commit}}")
        except GitFailed:
            return False
        return True

    def resolve_commit(self, text: str) -> str:
        """Return the full id of the commit that `text`, a full or short id, names.

        Raises AmbiguousFact where a short one is that of several commits, MissingFact where it is of none.
        """
        wanted = text.strip().lower()
        if not is_commit_id(wanted):
            raise MissingFact(
                f"{redact(text.strip()[:80])!r} is not a commit id",
                "runner reproduce RUN --commit SHA",
                fact="commit",
            )
        found = commits_like(self.path, wanted)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousFact(
                f"the short commit id {wanted} is that of {len(found)} commits in {self.url}",
                f"runner reproduce RUN --commit {found[0]}    or one of the others",
                fact="commit",
                looked_in=self._looked_in(),
                nearest=tuple(self._described(sha) for sha in found),
            )
        raise MissingFact(
            f"the commit {wanted} is not in {self.url}",
            "runner reproduce RUN --repo URL_OR_PATH    a repository that has it",
            fact="commit",
            looked_in=self._looked_in(),
        )

    def named(self, name: str) -> str | None:
        """Return the id of the commit that a branch, a tag or HEAD of the original names now, None if none does."""
        tips = self._tips()[0]
        places = [f"refs/mirror/{kind}/{name}" for kind in ("heads", "tags", "remotes/origin", "remotes")]
        places += [name, *(["refs/head/default"] if name == "HEAD" else [])]
        return next((tips[place] for place in places if place in tips), None)

    def changed_paths(self, one: str, other: str) -> tuple[str, ...]:
        """Return the paths in which the trees of two commits, by their full ids, differ."""
        listed = run_git(self.path, "diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other)
        return tuple(part.decode(errors="backslashreplace") for part in listed.split(b"\0") if part)

    def ever_held(self, path: str) -> bool:
        """Tell whether any commit of the whole history changed a file at this path."""
        arguments = ("--literal-pathspecs", "log", "--all", "--max-count=1", "--format=%H", "--", path)
        return bool(run_git(self.path, *arguments).strip())

    def default_tip(self) -> str | None:
        """Return the newest commit of the default branch: origin/HEAD, else HEAD, main, master, the newest branch."""
        tips, newest = self._tips()
        candidates = ["refs/mirror/remotes/origin/HEAD"]
        candidates += ["refs/head/default"] if self.head_is_default else []
        for branch in ("main", "master"):
            candidates += [f"refs/mirror/heads/{branch}", f"refs/mirror/remotes/origin/{branch}"]
        return next((tips[name] for name in candidates if name in tips), newest)

    def _tips(self) -> tuple[dict[str, str], str | None]:
        """Return the commits of all refs of the original, and that of the branch that was changed last."""
        form = "%(refname) %(if)%(*objecttype)%(then)%(*objectname)%(else)%(objectname)%(end)"
        listed = run_git(
            self.path, "for-each-ref", "--sort=-committerdate", f"--format={form}", "refs/mirror", "refs/head"
        )
        pairs = [line.split(" ") for line in listed.decode(errors="replace").splitlines()]
        branches = ("refs/mirror/heads/", "refs/mirror/remotes/")
        return dict(pairs), next((sha for name, sha in pairs if name.startswith(branches)), None)

    def _looked_in(self) -> tuple[str, ...]:
        names = [name.removeprefix("refs/mirror/") for name in self._tips()[0]]
        counted = []
        for prefix, one, many in (
            ("heads/", "branch", "branches"),
            ("remotes/", "remote branch", "remote branches"),
            ("tags/", "tag", "tags"),
        ):
            count = sum(name.startswith(prefix) for name in names)
            if count:
                counted.append(f"{count} {one if count == 1 else many}")
        others = sum(not name.startswith(("heads/", "remotes/", "tags/", "refs/")) for name in names)
        counted += [f"{others} other refs"] if others else []
        return (f"{', '.join(counted) or 'no refs at all'} of {self.url}", "commits on no ref, by id")

    def _described(self, sha: str) -> str:
        shown = run_git(self.path, "log", "-1", "--format=%ct %s", sha).decode(errors="replace").strip()
        seconds, _, subject = shown.partition(" ")
        day = datetime.fromtimestamp(int(seconds), timezone.utc).date()
        return f"--commit {sha}    {day} {redact(subject[:60])}"


def is_commit_id(text: str) -> bool:
    """Tell whether a text can be the id of a commit, a full or a short one; a name is none: it moves."""
    return _SHORT.fullmatch(text.strip().lower()) is not None


def open_mirror(
    location: str,
    cache: Path,
    *,
    commit: str | None,
    offline: bool = False,
    public: bool = False,
    recorded: bool = False,
) -> Mirror:
    """Return the mirror of the repository at `location`, made or brought up to date in the folder `cache` if need be.

    `location` is an address by https, http, ssh or git, or a path of this host, of which the whole work tree counts;
    one that is `recorded`, so that no person named it, is an address by https or ssh of a public host alone. A remote
    repository is asked only where the mirror lacks `commit`, or that is short or None. Where `commit` is on no ref it
    is asked for by its id; whether it was found, `Mirror.resolve_commit` tells. With `offline` only paths and what the
    cache holds are used. A `public` one is asked by https without this user's credentials and configuration; keep such
    mirrors in a folder of their own.

    Raises MissingFact (`repository`) where there is no such repository, (`history`) where its history is cut and cannot
    be completed; RepositoryUnavailable where it does not answer or refuses; DiskFull.
    """
    network = _PUBLIC if public else (_RECORDED if recorded else _URLS)
    return _open(location, cache, commit=commit, offline=offline, opening=(), network=network)


def _open(
    location: str,
    cache: Path,
    *,
    commit: str | None,
    offline: bool,
    opening: tuple[Path, ...],
    network: Network = _URLS,
) -> Mirror:
    """`opening` are the mirrors that wait for this one: origins of clones may lead in a circle."""
    address = parse_address(location, recorded=network is _RECORDED)
    if address.login is not None and network.user_configuration:
        network = replace(network, login=address.login)
    local = None
    if address.path is not None and not address.path.is_file():
        local = find_repository(address.path) if address.path.exists() else None
        if local is None:
            raise _no_repository(address)
        address = parse_address(str(local.work_tree or local.git_dir))
    mirror = Mirror(
        cache / f"{address.key}.git", address.shown, head_is_default=local is None or local.work_tree is None
    )
    if mirror.path in opening:
        raise _no_repository(address)
    wanted = commit.strip().lower() if commit else ""
    if address.path is None and _FULL.fullmatch(wanted) and _exists(mirror) and mirror.contains(wanted):
        return mirror
    if address.path is None and offline:
        if _exists(mirror):
            return mirror
        raise RepositoryUnavailable(
            f"{address.shown} is in no cache here, and --offline keeps us from fetching it",
            "leave --offline out, or name a clone that you have: --repo PATH",
        )
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{address.key}.lock"):
        if not _exists(mirror):
            lay_out(mirror.path)
        _Fetch(mirror, address, local, offline, (*opening, mirror.path), network).bring(wanted)
    return mirror


def forget_mirror(location: str, cache: Path) -> None:
    """Remove what the cache holds of the repository at `location`, a work tree or an address, if anything."""
    remove_mirror(cache / f"{parse_address(location).key}.git")


def remove_mirror(path: Path) -> None:
    """Remove a mirror and all that was made of it, once nobody fetches into it."""
    cache, key = path.parent, path.stem
    with contextlib.suppress(FileNotFoundError), locked(cache / f"{key}.lock"):
        for name in (f"{key}.git", f"{key}.bundles", f"{key}.archives", f"{key}.double", f"{key}.lfs"):
            shutil.rmtree(cache / name, ignore_errors=True)
        (cache / f"{key}.lock").unlink()


def work_tree_of(place: Path) -> Path | None:
    """Return the top of the work tree that `place` lies in, None where it lies in none."""
    found = find_repository(place)
    return found.work_tree if found is not None else None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` against other processes; a process that dies lets it go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def commits_like(git_dir: Path, prefix: str) -> list[str]:
    """Return the full ids of all commits that begin with `prefix`, be they on a ref or not."""
    objects = run_git(git_dir, "rev-parse", f"--disambiguate={prefix}").split()
    if not objects:
        return []
    listed = run_git(
        git_dir, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=b"\n".join(objects) + b"\n"
    )
    return sorted(line.split()[0] for line in listed.decode().splitlines() if line.endswith(" commit"))


class _Fetch:
    """One fetch into a mirror whose lock we hold."""

    def __init__(
        self,
        mirror: Mirror,
        address: Address,
        local: LocalRepository | None,
        offline: bool,
        opening: tuple[Path, ...],
        network: Network,
    ) -> None:
        self._mirror = mirror
        self._address = address
        self._local = local
        self._offline = offline
        self._opening = opening
        self._network = network if address.path is None else _FILES

    def bring(self, wanted: str) -> None:
        """Fetch what the original's refs have and the mirror has not, then `wanted`, a full or short id or nothing."""
        if self._local is None:
            self._from(self._address.text, wanted)
            return
        double = self._mirror.path.with_suffix(".double")
        shutil.rmtree(double, ignore_errors=True)  # of a process that was killed
        try:
            more = self._complete() if self._local.shallow or self._local.partial else ()
            lay_out_double(self._local, double, more_objects=more)
            shorts = commits_like(double, wanted) if wanted and not _FULL.fullmatch(wanted) else []
            self._from(double.as_uri(), wanted, *shorts[:_MOST_CANDIDATES])
        except GitFailed as error:
            raise self._unreadable(self._local, error) from error
        finally:
            shutil.rmtree(double, ignore_errors=True)

    def _complete(self) -> tuple[Path, ...]:
        """Fetch from the origin of a clone that is cut; return where the rest of its objects then lie."""
        assert self._local is not None  # noqa: S101  # asked for local ones alone
        origin = origin_of(self._local, self._mirror.path)
        if origin is None:
            raise self._cut("it has no origin to be completed from")
        if "://" not in origin and not re.match(r"[^/]+:", origin):
            origin = str((self._local.work_tree or self._local.git_dir) / origin)
        try:
            cache = self._mirror.path.parent
            whole = _open(origin, cache, commit=None, offline=self._offline, opening=self._opening)
        except MissingFact as error:
            raise self._cut(f"it cannot be completed from its origin: {error.cause}") from error
        return (whole.path / "objects",)

    def _from(self, place: str, *wanted: str) -> None:
        before = self._refs()
        listed = self._listed(place)
        if {_ours(name): sha for name, sha in listed.items()} != before:
            specs = ["+refs/*:refs/mirror/*"] + (["+HEAD:refs/head/default"] if "HEAD" in listed else [])
            self._git("fetch", *_FETCH_OPTIONS, "--prune", "--", place, *specs)
            self._keep_lost(before)
        for sha in wanted:
            if _FULL.fullmatch(sha) and not self._mirror.contains(sha):
                try:
                    self._run("fetch", *_FETCH_OPTIONS, "--", place, f"+{sha}:refs/wanted/{sha}")
                except GitFailed as error:
                    if not _NOT_THERE.search(error.stderr):
                        raise self._failed(error) from error
        if run_git(self._mirror.path, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise self._cut("the server's own history is cut")

    def _listed(self, place: str) -> dict[str, str]:
        """Return the refs of the original with their ids."""
        lines = self._git("ls-remote", "--", place).decode(errors="replace").splitlines()
        pairs = [line.split("\t", 1) for line in lines if not line.endswith("^{}")]
        return {name: sha for sha, name in pairs if name == "HEAD" or name.startswith("refs/")}

    def _refs(self) -> dict[str, str]:
        listed = run_git(
            self._mirror.path, "for-each-ref", "--format=%(refname) %(objectname)", "refs/mirror", "refs/head"
        )
        return dict(line.split(" ") for line in listed.decode(errors="replace").splitlines())

    def _keep_lost(self, before: dict[str, str]) -> None:
        """Keep what no ref of the original leads to any more: its history is evidence too."""
        for sha in sorted(set(before.values()) - set(self._refs().values())):
            with contextlib.suppress(GitFailed):
                if run_git(self._mirror.path, "for-each-ref", "--count=1", f"--contains={sha}", "refs/mirror"):
                    continue
            run_git(self._mirror.path, "update-ref", f"refs/kept/{sha}", sha)

    def _git(self, *arguments: str) -> bytes:
        try:
            return self._run(*arguments)
        except GitFailed as error:
            raise self._failed(error) from error

    def _run(self, *arguments: str) -> bytes:
        limit = _LISTING_S if arguments[0] == "ls-remote" else _FETCH_S
        return run_git(self._mirror.path, *arguments, network=self._network, timeout_s=limit)

    def _failed(self, error: GitFailed) -> Exception:
        """Return what a failure means to the user; our own double's is left to the caller."""
        if self._local is not None:
            return error
        if _GONE.search(error.stderr) or self._address.path is not None:
            return _no_repository(self._address)
        return RepositoryUnavailable(
            f"{self._address.shown} cannot be fetched: {_last_words(error)}",
            f"once `git ls-remote {self._address.shown}` works here, run the same again; or --repo PATH of a clone",
        )

    def _unreadable(self, local: LocalRepository, error: GitFailed) -> Exception:
        if local.shallow or local.partial:
            return self._cut("its origin lacks some of the objects")
        if _DAMAGED.search(error.stderr):
            return MissingFact(
                f"the repository {self._address.shown} lacks objects that it should have",
                f"git -C {self._address.shown} fsck    shows them; or --repo URL_OR_PATH of a whole one",
                fact="repository",
            )
        return RepositoryUnavailable(
            f"{self._address.shown} cannot be read: {_last_words(error)}",
            "run the same again, or name another clone: --repo URL_OR_PATH",
        )

    def _cut(self, why: str) -> MissingFact:
        return MissingFact(
            f"the history of {self._address.shown} is cut (a shallow or partial clone), and {why}",
            f"git -C {self._address.shown} fetch --unshallow    or --repo URL_OR_PATH of a whole one",
            fact="history",
        )


_FETCH_OPTIONS = ("--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")


def _last_words(error: GitFailed) -> str:
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    return redact((telling or lines or ["git gave no reason"])[0][:300])


def _ours(ref: str) -> str:
    return "refs/head/default" if ref == "HEAD" else "refs/mirror/" + ref.removeprefix("refs/")


def _exists(mirror: Mirror) -> bool:
    return (mirror.path / "HEAD").is_file()  # written last


def _no_repository(address: Address) -> MissingFact:
    return MissingFact(
        f"there is no git repository at {address.shown}",
        "name one: --repo URL_OR_PATH (a private one may hide itself: check your access)",
        fact="repository",
    )
