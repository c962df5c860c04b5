"""Submodules of a commit: which it records, where each may be had, and a mirror of each that was.

`.gitmodules` is the repository's word and nobody else's. An address on the repository's own host is asked as the
repository is; any other by https, without this user's login, as a package's would be. A path of this host is never
followed: of a clone that was named, its own copies under `.git/modules` count, which its owner's git fetched.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from runner.errors import DiskFull, MissingFact, RepositoryUnavailable
from runner.lineage.transport import SCP, why_refused
from runner.redact import redact
from runner.repository.address import Address, parse_address
from runner.repository.local import LocalRepository, find_repository, origin_of
from runner.repository.mirror import Mirror, open_mirror
from runner.repository.process import GitFailed, run_git
from runner.schema.snapshot import Gitlink


@dataclass(frozen=True)
class Place:
    """Where a repository, or a submodule of it, was had from: its address, and its clone on this host, if any."""

    address: Address | None
    clone: LocalRepository | None
    recorded: bool


def place_of(location: str, mirror: Mirror, *, recorded: bool) -> Place:
    """Return the place of the repository at `location`; a clone's address is that of its origin."""
    address = parse_address(location, recorded=recorded)
    if address.path is None:
        return Place(address, None, recorded)
    clone = find_repository(address.path) if address.path.exists() else None
    origin = None if clone is None else origin_of(clone, mirror.path)
    try:
        found = None if origin is None else parse_address(origin)
    except MissingFact:
        found = None
    return Place(found if found is not None and found.path is None else None, clone, recorded)


def read_gitlinks(mirror: Mirror, commit: str, inside: str) -> tuple[tuple[Gitlink, str | None], ...]:
    """Return the submodules of a commit, paths beginning with `inside`, and the url that each has in `.gitmodules`."""
    listed = run_git(mirror.path, "ls-tree", "-r", "-z", "--full-tree", commit)
    links = {}
    for record in listed.split(b"\0"):
        fields, _, raw_path = record.partition(b"\t")
        if fields.startswith(b"160000 "):
            links[raw_path.decode(errors="backslashreplace")] = fields.split()[2].decode()
    if not links:
        return ()
    named = _configured(mirror, commit)
    found = []
    for path, sha in links.items():
        name, url = named.get(path, (None, None))
        link = Gitlink(path=posixpath.join(inside, path), commit=sha, name=name)
        found.append((link, url))
    return tuple(found)


def _configured(mirror: Mirror, commit: str) -> dict[str, tuple[str, str | None]]:
    """Return name and url by path, as `.gitmodules` at the commit has them; nothing else of it counts."""
    try:
        listed = run_git(mirror.path, "config", "--blob", f"{commit}:.gitmodules", "--no-includes", "-z", "--list")
    except GitFailed:
        return {}
    sections: dict[str, dict[str, str]] = {}
    for entry in listed.decode(errors="replace").split("\0"):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "submodule" and name and variable in ("path", "url"):
            sections.setdefault(name, {})[variable] = value
    return {
        posixpath.normpath(found["path"]): (name, found.get("url"))
        for name, found in sections.items()
        if "path" in found
    }


def open_submodule(
    link: Gitlink, url: str | None, outer: Place, mirrors: Path, *, offline: bool
) -> tuple[Gitlink, Mirror | None, Place | None]:
    """Return the submodule with what became of it: its mirror and place, or in itself why it cannot be had.

    Raises DiskFull.
    """
    why, passing = "no url in .gitmodules", False
    clone = _kept_clone(link, outer)
    if clone is not None:
        mirror = _mirror_of_clone(clone, link, mirrors)
        if mirror is not None:
            return (
                link.model_copy(update={"place": mirror.url}),
                mirror,
                place_of(str(clone.git_dir), mirror, recorded=False),
            )
        why = "the clone's own copy lacks this commit"
    try:
        asked = None if url is None else _address(url, outer)
    except MissingFact as error:
        return link.model_copy(update={"refused": error.cause}), None, None
    if asked is None:
        return link.model_copy(update={"refused": why}), None, None
    text, ours = asked
    shown = parse_address(text).shown
    link = link.model_copy(update={"place": shown})
    folder = mirrors if ours else mirrors / "submodules"
    try:
        mirror = open_mirror(
            text, folder, commit=link.commit, offline=offline, public=not ours, recorded=ours and outer.recorded
        )
        mirror.resolve_commit(link.commit)
    except DiskFull:
        raise
    except (MissingFact, RepositoryUnavailable) as error:
        passing = isinstance(error, RepositoryUnavailable)
        return link.model_copy(update={"refused": error.cause, "passing": passing}), None, None
    return link, mirror, Place(parse_address(text), None, recorded=not ours or outer.recorded)


def _kept_clone(link: Gitlink, outer: Place) -> LocalRepository | None:
    """Return the copy of a submodule that lies in a clone that a person named."""
    if outer.clone is None or link.name is None:
        return None
    parts = link.name.split("/")
    if not all(part and part not in (".", "..") for part in parts):
        return None
    modules = outer.clone.common_dir / "modules"
    place = modules.joinpath(*parts)
    if not place.is_dir() or not place.resolve().is_relative_to(modules.resolve()):
        return None
    found = find_repository(place)
    return found if found is not None and found.git_dir.resolve() == place.resolve() else None


def _mirror_of_clone(clone: LocalRepository, link: Gitlink, mirrors: Path) -> Mirror | None:
    try:
        mirror = open_mirror(str(clone.git_dir), mirrors, commit=link.commit, offline=True)
        mirror.resolve_commit(link.commit)
    except (MissingFact, RepositoryUnavailable):
        return None
    return mirror


def _address(url: str, outer: Place) -> tuple[str, bool]:
    """Return where a submodule is to be asked for, and whether that is on the repository's own host.

    Raises MissingFact for what is not asked.
    """
    url = url.strip()
    shown = redact(url)
    if url.startswith(("./", "../")):
        if outer.address is None:
            raise MissingFact(f"its url {shown} leads from a repository without an address", "", fact="data")
        return _joined(outer.address.text, url), True
    own = outer.address is not None and _host(url) == _host(outer.address.text)
    why = why_refused(url, recorded=outer.recorded or not own)
    if why is not None:
        raise MissingFact(f"its url {shown} {why}", "", fact="data")
    if own:
        return url, True
    return _as_https(url), False


def _joined(base: str, relative: str) -> str:
    """Return a relative url as git resolves it: from the repository's own address. Raises MissingFact."""
    prefix, separator, path = "", "", base
    if "://" in base:
        parts = urlsplit(base)
        prefix, separator, path = urlunsplit((parts.scheme, parts.netloc, "", "", "")), "/", parts.path
    elif SCP.fullmatch(base):
        prefix, separator, path = (*base.partition(":")[:2], base.partition(":")[2])
    rest = [part for part in path.strip("/").split("/") if part]
    for part in relative.split("/"):
        if part == "..":
            if not rest:
                raise MissingFact(f"its url {redact(relative)} leads out of the repository's host", "", fact="data")
            rest.pop()
        elif part not in ("", "."):
            rest.append(part)
    joined = f"{prefix}{separator}{'/'.join(rest)}"
    if not rest or why_refused(joined) is not None:
        raise MissingFact(f"its url {redact(relative)} is no address that git may be given", "", fact="data")
    return joined


def _host(text: str) -> tuple[str, str] | None:
    """Return what tells one server from another: the way it is asked, and its host with its port."""
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            return None
        return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()
    return ("ssh", text.partition(":")[0].rpartition("@")[2].lower()) if SCP.fullmatch(text) else None


def _as_https(url: str) -> str:
    """Return where anybody may fetch a repository: servers of git by ssh have public ones by https."""
    if "://" not in url:
        host, _, path = url.partition(":")
        return f"https://{host.rpartition('@')[2]}/{path.lstrip('/')}"
    parts = urlsplit(url)
    netloc = parts.hostname or "" if parts.scheme == "ssh" else parts.netloc.rpartition("@")[2]
    return urlunsplit(("https", netloc, parts.path, "", ""))
