"""Which class reads which kind of remote, and the options with which DVC is to make it.

DVC takes nothing but texts for options, and checks neither host keys nor where a redirect leads. Our classes are told
the rest here: DVC hands them the name of a remote, and they look it up in `TOLD`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TOLD: dict[str, dict[str, Any]] = {}
"""What this process was told of each remote that is asked, by its name; see `runner.inside.data.remotes`."""

_PACKAGE = "runner.inside.data.kinds"
_CLASSES = {
    "http": f"{_PACKAGE}.http.GuardedHTTPFileSystem",
    "https": f"{_PACKAGE}.http.GuardedHTTPSFileSystem",
    "webdav": f"{_PACKAGE}.webdav.GuardedWebDAVFileSystem",
    "webdavs": f"{_PACKAGE}.webdav.GuardedWebDAVSFileSystem",
    "ssh": f"{_PACKAGE}.ssh.CheckedSSHFileSystem",
    "gs": f"{_PACKAGE}.gs.GivenGSFileSystem",
    "azure": f"{_PACKAGE}.azure.GivenAzureFileSystem",
}
LISTED = frozenset({"s3", "gs", "azure"})
"""Kinds that list many objects by few requests; the others are asked about each."""


def register(remotes: list[dict[str, Any]]) -> None:
    """Have DVC read remotes by our classes."""
    from dvc_objects.fs import known_implementations

    TOLD.update({remote["name"]: remote for remote in remotes})
    for scheme, name in _CLASSES.items():
        known_implementations[scheme] = {**known_implementations[scheme], "class": name}


def scheme_of(remote: dict[str, Any]) -> str:
    """Return the scheme of a remote's address."""
    return str(remote["url"]).partition("://")[0].lower()


def options(remote: dict[str, Any]) -> dict[str, Any]:
    """Return a remote's options as DVC takes them, but for S3's; nothing of them is written anywhere."""
    name, scheme = remote["name"], scheme_of(remote)
    given = {key: value for key, value in remote["options"].items() if key in _TAKEN[scheme]}
    return {**given, **_NAMED[scheme](remote, name), "url": _address(remote)}


def _address(remote: dict[str, Any]) -> str:
    """Return the address without a user, whom our classes are told of beside it."""
    scheme, separator, rest = str(remote["url"]).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.rpartition('@')[2]}{slash}{path}"


_TIMES = frozenset({"timeout", "read_timeout", "connect_timeout"})
_TAKEN: dict[str, frozenset[str]] = {
    "http": frozenset({"read_timeout", "connect_timeout"}),
    "https": frozenset({"read_timeout", "connect_timeout"}),
    "webdav": frozenset({"timeout"}),
    "webdavs": frozenset({"timeout"}),
    "ssh": frozenset(),
    "gs": frozenset({"projectname", "endpointurl"}),
    "azure": frozenset({"timeout", "read_timeout"}),
}

_Named = Callable[[dict[str, Any], str], dict[str, Any]]
_NAMED: dict[str, _Named] = {
    # The one option of each that its class may take for the name.
    **dict.fromkeys(("http", "https"), lambda _, name: {"auth": "basic", "user": name, "password": ""}),
    **dict.fromkeys(("webdav", "webdavs", "ssh"), lambda _, name: {"user": name}),
    "gs": lambda _, name: {"credentialpath": name},
    "azure": lambda _, name: {"client_id": name},
}
