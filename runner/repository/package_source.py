"""Another repository that a package comes from: fetched into a mirror, and one commit of it as an archive."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from runner.errors import AmbiguousFact, MissingFact, RepositoryUnavailable
from runner.pointers.places import is_near
from runner.repository.mirror import Mirror, is_commit_id, locked, open_mirror
from runner.repository.process import run_git

_ASKS_WHO = re.compile(r"could not read (Username|Password)|Authentication failed|returned error: 40[13]")


def fetch_source(
    address: str, revision: str | None, mirrors: Path, *, as_of: datetime | None, offline: bool
) -> tuple[str, Path]:
    """Return the commit that a revision of the repository at `address` names, and a tar archive of its files.

    A list of packages names it, and so it is asked without credentials, by https, and not where it would have us look
    around on private networks; keep its mirror apart from those of repositories that a person named. A branch, and the
    default one for None, is what it was at `as_of`; a tag is what it is today. Raises MissingFact (`environment`) where
    there is no such repository or revision, RepositoryUnavailable, DiskFull.
    """
    try:
        place = public_address(address)
        wanted = revision if revision is not None and is_commit_id(revision) else None
        try:
            mirror = open_mirror(place, mirrors, commit=wanted, offline=offline, public=True)
        except RepositoryUnavailable as error:
            if _ASKS_WHO.search(error.cause):
                raise MissingFact("it is private or gone: nobody's credentials were given", "", fact="x") from error
            raise
        os.utime(mirror.path)  # when it was last used
        commit = _commit(mirror, revision, as_of)
        return commit, _archive(mirror, commit)
    except (MissingFact, AmbiguousFact) as error:
        raise MissingFact(
            f"a package comes from {address}{'' if revision is None else f' at {revision[:40]}'}: {error.cause}",
            "runner reproduce RUN --with NAME==VERSION    the package as an index has it",
            fact="environment",
            looked_in=error.looked_in,
        ) from error


def public_address(address: str) -> str:
    """Return where anybody may fetch the repository. Raises MissingFact where nobody is to be asked."""
    parts = urlsplit(address)
    if parts.hostname is None:
        return address
    if is_near(parts.hostname):
        raise MissingFact(f"{parts.hostname} is this host or a private network, and is not asked", "", fact="x")
    # Servers of git by ssh have the same repositories by https, for those that are public.
    return urlunsplit(("https", parts.hostname, parts.path, "", "")) if parts.scheme == "ssh" else address


def _commit(mirror: Mirror, revision: str | None, as_of: datetime | None) -> str:
    if revision is not None and (tag := mirror.named(f"refs/mirror/tags/{revision}")) is not None:
        return tag
    tip = mirror.default_tip() if revision is None else mirror.named(revision)
    if tip is None:
        if revision is not None and is_commit_id(revision):
            return mirror.resolve_commit(revision)
        raise MissingFact("it has no such branch, tag or commit", "", fact="x")
    if as_of is None:
        return tip
    before = f"--before={int(as_of.timestamp())}"
    found = run_git(mirror.path, "rev-list", "--max-count=1", "--first-parent", before, tip).decode().strip()
    if not found:
        raise MissingFact(f"it had no commit there on {as_of:%Y-%m-%d}", "", fact="x")
    return found


def _archive(mirror: Mirror, commit: str) -> Path:
    """Return the archive of a commit that lies beside the mirror; it is made if it is not there."""
    folder = mirror.path.with_suffix(".archives")
    archive = folder / f"{commit}.tar"
    if archive.is_file():
        return archive
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not archive.is_file():
            made = folder / "making.tar"
            with contextlib.suppress(FileNotFoundError):
                made.unlink()  # of a process that was killed: we hold the lock
            run_git(mirror.path, "archive", "--format=tar", f"--output={made}", commit)
            os.replace(made, archive)
    return archive
