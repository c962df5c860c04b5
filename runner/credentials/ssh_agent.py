"""This host's SSH agent, for one container: which keys it has, and signatures to sign in with; nothing else passes.

The agent signs whatever it is asked to. What a container asks for is input: only requests to sign in by public key, as
the one user that was confirmed, are passed on (RFC 4252, section 7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from runner.errors import RemoteUnavailable

_FAILURE = bytes([5])
_LIST, _LISTED = 11, 12
_SIGN, _SIGNED = 13, 14
_USERAUTH_REQUEST = 50
_LIMIT = 1 << 20
_TIMEOUT_S = 120.0  # a hardware key waits for a finger


def ask_agent(path: str, user: str, message: bytes) -> bytes:
    """Return the agent's answer to a message without its length; a refusal where it is none that is passed on.

    Raises RemoteUnavailable where the agent does not answer.
    """
    if not _may_be_asked(message, user):
        return _FAILURE
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_TIMEOUT_S)
            agent.connect(path)
            agent.sendall(struct.pack(">I", len(message)) + message)
            (length,) = struct.unpack(">I", _read(agent, 4))
            answer = _read(agent, min(length, _LIMIT))
    except (OSError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it broke off"
        raise RemoteUnavailable(f"the SSH agent at {path} does not answer: {reason}", "ssh-add -l") from error
    return answer if answer[:1] in (bytes([_LISTED]), bytes([_SIGNED])) else _FAILURE


def _may_be_asked(message: bytes, user: str) -> bool:
    if message == bytes([_LIST]):
        return True
    if message[:1] != bytes([_SIGN]):
        return False
    try:
        key, rest = _string(message[1:])
        data, _ = _string(rest)
        session, rest = _string(data)
        if not session or rest[:1] != bytes([_USERAUTH_REQUEST]):
            return False
        fields = list(_strings(rest[1:], 3))
        signed = fields[2][1][:1] == b"\1"
        _, rest = _string(fields[2][1][1:])  # the algorithm
        named, _ = _string(rest)
    except (struct.error, ValueError, IndexError):
        return False
    return [text for text, _ in fields] == [user.encode(), b"ssh-connection", b"publickey"] and signed and named == key


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + length:
        raise ValueError("a string is cut off")
    return data[4 : 4 + length], data[4 + length :]


def _strings(data: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        text, data = _string(data)
        yield text, data


def _read(agent: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = agent.recv(length - len(data))
        if not piece:
            raise OSError("it broke off")
        data += piece
    return data
