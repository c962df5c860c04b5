"""Reading `.dvc/config`: text in, remotes out. The repository's configuration is input and decides nothing (DESIGN)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from runner.redact import redact
from runner.schema.snapshot import DvcRemote

SAFE_OPTIONS = frozenset(
    {
        "account_name",
        "allow_anonymous_login",
        "connect_timeout",
        "endpointurl",
        "listobjects",
        "oss_endpoint",
        "port",
        "projectname",
        "read_timeout",
        "region",
        "timeout",
        "user",
        "version_aware",
        "worktree",
    }
)
"""Options that are passed on. They name places: that a place may have the user's keys is for others to confirm.

Whoever confirms a host must look at `endpointurl` and `oss_endpoint` too. No option chooses among the user's keys.
"""

_SECTION = re.compile(r"\[\s*(?P<name>.*?)\s*\]\s*(#.*)?")
_REMOTE = re.compile(r"remote\s*\"(?P<name>.*)\"", re.IGNORECASE)
_ENTRY = re.compile(r"(?P<key>\"[^\"]*\"|'[^']*'|[^'\"=][^=]*?)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"(?P<quote>'''|\"\"\"|'|\")(?P<text>.*?)(?P=quote)\s*(#.*)?")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def remote_of(section: str) -> str | None:
    """Return the name of the remote that a section is about, None for other sections."""
    match = _REMOTE.fullmatch(section)
    return match["name"] if match else None


def read_remotes(text: str, root: str = ".") -> tuple[DvcRemote, ...]:
    """Return the remotes of a `.dvc/config` in their order; those without a url are left out.

    `root` is the folder that holds `.dvc`, relative to the repository's root. Only options of `SAFE_OPTIONS` are kept;
    names of all others, which may be commands, secrets or files of this host, are in `refused`. Secrets within a url
    are taken out of it, and named there too. Lines that cannot be understood are passed over.
    """
    default: str | None = None
    remotes: dict[str, dict[str, str]] = {}
    for section, key, value in read_entries(text):
        name = remote_of(section)
        if name is not None:
            remotes.setdefault(name, {})[key] = value
        elif section.lower() == "core" and key == "remote":
            default = value
    return tuple(_remote(name, options, root, default) for name, options in remotes.items() if options.get("url"))


def is_local(url: str) -> bool:
    """Tell whether a remote's url names a folder, be it of this host or of another (`D:\\…`)."""
    return not _SCHEME.match(url) or url.lower().startswith("file://")


def resolve_local(url: str, repository_root: str, root: str = ".") -> str:
    """Return the absolute path of a local remote: a relative url starts at the folder of the config file, `.dvc`.

    `repository_root` is the absolute path of the repository, `root` the folder in it that holds `.dvc`. Raises
    ValueError where the url is not local, or names a drive of another machine.
    """
    if not is_local(url):
        raise ValueError(f"{redact(url)!r} is not a folder")
    if _DRIVE.match(url) or url.startswith("\\\\"):
        raise ValueError(f"{url!r} is a drive of another machine")
    path = url[len("file://") :] if url.lower().startswith("file://") else url
    return posixpath.normpath(posixpath.join(repository_root, root, ".dvc", path))


def _remote(name: str, options: dict[str, str], root: str, default: str | None) -> DvcRemote:
    url, hidden = _without_secrets(options["url"])
    refused = [key for key in options if key != "url" and key not in SAFE_OPTIONS]
    safe: dict[str, str] = {}
    for key in SAFE_OPTIONS.intersection(options):
        safe[key], more = _without_secrets(options[key])
        hidden += [f"{key}: {what}" for what in more]
    return DvcRemote(
        name=name,
        url=url,
        root=root,
        options=dict(sorted(safe.items())),
        refused=tuple(sorted([*refused, *hidden])),
        default=name == default,
    )


def _without_secrets(url: str) -> tuple[str, list[str]]:
    """Return an address without user information and secret-looking queries, and names for what was taken out."""
    if not _SCHEME.match(url):
        return url, []
    hidden: list[str] = []
    scheme, netloc, path, query, fragment = urlsplit(url)
    userinfo, at, host = netloc.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        # a lone user name of ssh is part of the address; elsewhere it may be a token
        keep = scheme in ("ssh", "sftp", "hdfs", "webhdfs")
        netloc = f"{user}@{host}" if keep and user else host
        if colon or not keep:
            hidden.append("user information in the url")
    if query and redact(query) != query:
        query = ""
        hidden.append("query of the url")
    return urlunsplit((scheme, netloc, path, query, fragment)) if hidden else url, hidden


def read_entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (section, key, value) as DVC's reader, configobj, takes them; keys in lower case."""
    section = ""
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        heading = _SECTION.fullmatch(line)
        if heading:
            section = _unquoted(heading["name"])
            continue
        entry = _ENTRY.fullmatch(line)
        if entry:
            yield section, _unquoted(entry["key"]).lower(), _unquoted(entry["value"])


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted["text"] if quoted else text.partition("#")[0].strip()
