"""Passwords of package indexes that are in no address: of netrc, and of the keyring where the host says so.

Each goes to the index whose own address was configured on this host, and to no other: what a repository names is never
looked up.
"""

from __future__ import annotations

import importlib.util
import netrc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from runner.network import NetworkSettings, with_userinfo

_KEYRING_S = 60.0  # it may be a program that asks a server; it never gets a terminal to ask a person

Credentials = tuple[str, str]
Lookup = Callable[[str, str | None], Credentials | None]
"""From an address without user information, and the user if the address names one, to user and password."""


def with_index_credentials(network: NetworkSettings, environ: Mapping[str, str] = os.environ) -> NetworkSettings:
    """Return the settings with user and password in each index address that has none and for which this host has some.

    netrc first, as uv and pip have it; then the keyring. Reads files and may run `keyring`.
    """
    lookups: list[Lookup] = [_netrc_lookup(environ)]
    notes = list(network.notes)
    if network.keyring:
        command = keyring_command()
        if command is None:
            notes.append("the keyring is to be asked for passwords of indexes, and there is no `keyring` on this host")
        else:
            lookups.append(lambda address, user: ask_keyring(command, address, user))

    def complete(address: str) -> str:
        parts = urlsplit(address)
        userinfo = parts.netloc.rpartition("@")[0]
        if ":" in userinfo:
            return address
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        for lookup in lookups:
            if (found := lookup(plain, unquote(userinfo) or None)) is not None:
                return with_userinfo(plain, *found)
        return address

    return replace(
        network,
        index_url=None if network.index_url is None else complete(network.index_url),
        extra_index_urls=tuple(map(complete, network.extra_index_urls)),
        find_links=tuple(map(complete, network.find_links)),
        notes=tuple(notes),
    )


def keyring_command() -> list[str] | None:
    """Return how `keyring` is started on this host: the program, else the module beside us; None where neither is."""
    if (program := shutil.which("keyring")) is not None:
        return [program]
    return [sys.executable, "-m", "keyring"] if importlib.util.find_spec("keyring") is not None else None


def ask_keyring(command: list[str], address: str, user: str | None) -> Credentials | None:
    """Ask the keyring for an index as uv does: by its address, then by its host; None where it has nothing."""
    parts = urlsplit(address)
    for service in (address, parts.netloc):
        arguments = ["get", service, user] if user is not None else ["get", service, "--mode", "creds"]
        try:
            done = subprocess.run(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_KEYRING_S,
                check=False,
                text=True,
                errors="replace",
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            continue
        if user is not None:
            return user, lines[0]
        if len(lines) > 1:
            return lines[0], lines[1]
    return None


def _netrc_lookup(environ: Mapping[str, str]) -> Lookup:
    entries = _netrc_entries(environ)

    def lookup(address: str, user: str | None) -> Credentials | None:
        found = entries.get(urlsplit(address).hostname or "")
        return found if found is not None and user in (None, found[0]) else None

    return lookup


def _netrc_entries(environ: Mapping[str, str]) -> dict[str, Credentials]:
    """Return netrc's users and passwords by host. Its `default` is for any host, and therefore for none here."""
    home = Path(environ.get("HOME") or Path.home())
    named = environ.get("NETRC")
    for path in [Path(named)] if named else [home / ".netrc", home / "_netrc"]:
        try:
            found = netrc.netrc(str(path)).hosts
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        found.pop("default", None)
        return {host: (login, password) for host, (login, _, password) in found.items() if password}
    return {}
