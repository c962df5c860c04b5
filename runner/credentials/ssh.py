"""Signing in by SSH as this host's OpenSSH would: aliases, users, keys, the agent, and the host keys that it knows.

Keys are read here and leave in memory; the agent's stay in the agent, which signs for the container by way of this
host (`runner.credentials.ssh_agent`). No host key is ever accepted that `known_hosts` does not have.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runner.credentials.handed import Handed, NotHad
from runner.credentials.ssh_config import ServerOptions, read_server_options

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
Reader = Callable[[Path], "str | None"]


def ssh_credentials(
    url: str,
    options: Mapping[str, str],
    own: Mapping[str, str],
    own_source: str,
    environ: Mapping[str, str],
    read: Reader,
) -> Handed | NotHad:
    """Return how this host signs in at the server of an address, and the host keys by which it knows it.

    `options` are the repository's, of which a user's name counts; `own` are those of the host's DVC configuration.
    """
    parts = urlsplit(url)
    alias = unquote(parts.hostname or "")
    server = read_server_options(alias, environ, read)
    for option in ("proxyjump", "proxycommand"):
        if (server.one(option) or "none").lower() != "none":
            remedy = (
                f"ssh -N -L 2222:{shlex.quote(alias)}:22 JUMP_HOST    then name it: --remote ssh://localhost:2222/PATH"
            )
            return NotHad(missing=f"~/.ssh/config reaches {alias} by a {option}, which is not done here", remedy=remedy)
    host = (server.one("hostname") or alias).replace("%h", alias).replace("%%", "%")
    port = int(own.get("port") or parts.port or options.get("port") or server.one("port") or 22)
    user = parts.username or own.get("user") or options.get("user") or server.one("user") or getpass.getuser()
    expand = _Expansion(environ, host=host, alias=alias, user=user)
    keys = list(_keys(own, own_source, server, expand, read))
    socket = None if own.get("allow_agent", "true").lower() == "false" else _agent(server, expand, environ)
    password = own.get("password") or environ.get("REPRO_REMOTE_PASSWORD")
    usable = [key for key in keys if not key["locked"] or own.get("passphrase")]
    if not (usable or socket or password):
        return _none(alias, keys)
    found = [
        *(key["source"] for key in usable),
        *(["the agent at SSH_AUTH_SOCK"] if socket else []),
        *([own_source if own.get("password") else "REPRO_REMOTE_PASSWORD"] if password else []),
    ]
    passphrase = own.get("passphrase")
    handed: dict[str, Any] = {
        "host": host,
        "port": port,
        "user": user,
        "known_hosts": "".join(_known_hosts(server, expand, read)),
        "host_key_alias": server.one("hostkeyalias"),
        "keys": [{"text": key["text"], "passphrase": passphrase if key["locked"] else None} for key in usable],
        "agent": socket,
        "password": password,
    }
    bodies = [line for key in usable for line in key["text"].splitlines() if len(line) > 20 and "-----" not in line]
    secrets = tuple(text for text in (password, passphrase, *bodies) if text)
    return Handed(options=handed, secrets=secrets, source=" and ".join(found[:2]))


class _Expansion:
    """Expands `~` and the percent tokens of `ssh_config(5)` in the names of files."""

    def __init__(self, environ: Mapping[str, str], *, host: str, alias: str, user: str) -> None:
        self.home = str(environ.get("HOME") or Path.home())
        self._tokens = {"%%": "%", "%d": self.home, "%h": host, "%n": alias, "%r": user, "%u": getpass.getuser()}

    def path(self, text: str) -> Path:
        """Return the path that a text names."""
        pieces = text.split("%%")
        for token, value in self._tokens.items():
            pieces = [piece.replace(token, value) for piece in pieces]
        text = "%".join(pieces)
        return Path(self.home, text[2:]) if text.startswith("~/") else Path(self.home, ".ssh", text)


def _keys(
    own: Mapping[str, str], own_source: str, server: ServerOptions, expand: _Expansion, read: Reader
) -> Iterator[dict[str, Any]]:
    named = [expand.path(text) for text in server.values.get("identityfile", ())]
    named = [Path(own["keyfile"])] if own.get("keyfile") else named
    for path in named or [expand.path(f"~/.ssh/{name}") for name in _DEFAULT_KEYS]:
        text = read(path)
        if text is not None and "PRIVATE KEY-----" in text:
            source = f"keyfile of {own_source}" if own.get("keyfile") else str(path)
            yield {"text": text, "source": source, "locked": is_locked(text), "path": str(path)}


def is_locked(text: str) -> bool:
    """Tell whether a private key in PEM needs a passphrase."""
    if _OPENSSH not in text:
        return "ENCRYPTED" in text
    body = "".join(line.strip() for line in text.partition(_OPENSSH)[2].partition("-----END")[0].splitlines())
    try:
        data = base64.b64decode(body)
    except (ValueError, binascii.Error):
        return False
    name = data.removeprefix(b"openssh-key-v1\0")
    return name[4 : 4 + int.from_bytes(name[:4], "big")] != b"none"


def _agent(server: ServerOptions, expand: _Expansion, environ: Mapping[str, str]) -> str | None:
    """Return the socket of the agent, None where there is none to ask."""
    named = server.one("identityagent")
    if named is not None and named.lower() == "none":
        return None
    if named is not None and named != "SSH_AUTH_SOCK":
        return environ.get(named[1:]) if named.startswith("$") else str(expand.path(named))
    return environ.get("SSH_AUTH_SOCK") or None


def _known_hosts(server: ServerOptions, expand: _Expansion, read: Reader) -> Iterator[str]:
    user = server.one("userknownhostsfile") or "~/.ssh/known_hosts ~/.ssh/known_hosts2"
    system = server.one("globalknownhostsfile") or "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
    for name in f"{user} {system}".split():
        text = read(expand.path(name))
        if text:
            yield text if text.endswith("\n") else f"{text}\n"


def _none(alias: str, keys: list[dict[str, Any]]) -> NotHad:
    locked = [key["path"] for key in keys if key["locked"]]
    if locked:
        return NotHad(
            missing=f"the key {locked[0]} is locked by a passphrase and no agent has it",
            remedy=f'eval "$(ssh-agent)"; ssh-add {shlex.quote(locked[0])}',
        )
    return NotHad(
        missing=f"this host has no key for {alias}: none in ~/.ssh, and no agent",
        remedy=f"see that `ssh {shlex.quote(alias)}` works, or ssh-add KEY",
    )
