"""SSH: DVC's file system, which accepts any host key, made to know the server; keys in memory, the agent far."""

from __future__ import annotations

import base64
import os
import socket
import struct
import threading
from typing import Any

import asyncssh
from asyncssh.public_key import get_default_public_key_algs
from dvc_ssh import SSHFileSystem

from runner.inside.data.kinds.register import TOLD
from runner.inside.protocol import ask

_CONNECT_S = 20
_AGENT = "/tmp/dvc/agent"  # noqa: S108  # the container is ours alone and goes with the phase


class CheckedSSHFileSystem(SSHFileSystem):  # type: ignore[misc]
    """DVC's, with a known server, and a user who signs in by what was handed over and nothing else."""

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:
        told = TOLD[config["user"]]
        given = told["credentials"]
        found: dict[str, Any] = super()._prepare_credentials(host=given["host"])
        keys = [asyncssh.import_private_key(key["text"], key["passphrase"]) for key in given["keys"]]
        methods = [*(["publickey"] if keys or given["agent"] else [])]
        methods += ["password", "keyboard-interactive"] if given["password"] else []
        return {
            **found,
            "client_factory": asyncssh.SSHClient,
            "username": given["user"],
            "port": given["port"],
            "password": given["password"],
            "client_keys": keys or (),
            "agent_path": _relayed(told["url"]) if given["agent"] else None,
            "agent_forwarding": False,
            "preferred_auth": methods,
            "known_hosts": given["known_hosts"].encode(),
            "host_key_alias": given["host_key_alias"],
            "server_host_key_algs": _algorithms(told),
            "config": None,
            "connect_timeout": _CONNECT_S,
            "login_timeout": _CONNECT_S * 6,  # a hardware key waits for a finger
            "keepalive_interval": 30,
        }


def knows(told: dict[str, Any]) -> bool:
    """Tell whether any host key of a server is known: then one that is not trusted is another than it was."""
    keys, authorities = _known(told)
    return bool(keys or authorities)


def _known(told: dict[str, Any]) -> tuple[Any, Any]:
    given = told["credentials"]
    name = given["host_key_alias"] or given["host"]
    keys, authorities, *_ = asyncssh.match_known_hosts(given["known_hosts"].encode(), name, "", given["port"])
    return keys, authorities


def _algorithms(told: dict[str, Any]) -> list[str] | tuple[()]:
    """Return the kinds of host keys to ask for: the known first, then others, so that another key is seen as one."""
    keys, authorities = _known(told)
    if authorities or not keys:
        return ()
    known = [algorithm for key in keys for algorithm in key.sig_algorithms]
    return [each.decode() for each in dict.fromkeys((*known, *get_default_public_key_algs()))]


_relays: dict[str, str] = {}


def _relayed(url: str) -> str:
    """Return a socket in this container that passes each message on to the host, which asks its agent."""
    if url not in _relays:
        path = _relays[url] = f"{_AGENT}-{len(_relays)}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen()
        threading.Thread(target=_serve, args=(listening, url), daemon=True).start()
    return _relays[url]


def _serve(listening: socket.socket, url: str) -> None:
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            while len(header := stream.read(4)) == 4:
                message = stream.read(struct.unpack(">I", header)[0])
                # The phase itself waits for DVC meanwhile, so that nobody else asks.
                answer = base64.b64decode(ask("ssh-agent", {"url": url, "message": base64.b64encode(message).decode()}))
                stream.write(struct.pack(">I", len(answer)) + answer)
                stream.flush()
