"""What this host's OpenSSH would sign in with, read and never run."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from runner.credentials.handed import Handed, NotHad
from runner.credentials.ssh import is_locked, ssh_credentials
from runner.credentials.ssh_agent import ask_agent
from runner.credentials.ssh_config import read_server_options

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAA==\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)


def found(
    files: dict[str, str], url: str = "ssh://store/x", *, own: dict[str, str] | None = None, **environ: str
) -> object:
    texts = {Path("/h") / name: text for name, text in files.items()}
    return ssh_credentials(url, {}, own or {}, "config", {"HOME": "/h", **environ}, texts.get)


def test_an_alias_is_resolved_as_openssh_does_first_value_wins() -> None:
    config = """
    Host !other st*
      HostName far.example
      Port=2200
    Host *
      Port 1
      User ann
      IdentityFile "~/.ssh/%r key"
      UserKnownHostsFile ~/known
      HostKeyAlias far
    Match exec "touch /tmp/owned"
      User evil
    """
    handed = found({".ssh/config": config, ".ssh/ann key": KEY, "known": "far ssh-ed25519 AAAA"})
    assert isinstance(handed, Handed)
    assert handed.options == {
        "host": "far.example",
        "port": 2200,
        "user": "ann",
        "known_hosts": "far ssh-ed25519 AAAA\n",
        "host_key_alias": "far",
        "keys": [{"text": KEY, "passphrase": None}],
        "agent": None,
        "password": None,
    }
    assert handed.source == "/h/.ssh/ann key"
    assert KEY not in repr(handed)


def test_what_the_address_says_wins_over_the_configuration() -> None:
    config = "Host *\n  Port 1\n  User ann\n"
    handed = found({".ssh/config": config, ".ssh/id_rsa": KEY}, "ssh://bob@store:2022/x")
    assert isinstance(handed, Handed)
    assert (handed.options["user"], handed.options["port"]) == ("bob", 2022)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "this host has no key for store: none in ~/.ssh, and no agent"),
        ({".ssh/config": "Host *\n ProxyJump gate\n", ".ssh/id_rsa": KEY}, "reaches store by a proxyjump"),
        ({".ssh/config": "Host *\n ProxyCommand touch /tmp/owned\n"}, "reaches store by a proxycommand"),
        ({".ssh/id_rsa": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"}, "locked by a passphrase"),
    ],
)
def test_why_there_is_nothing_to_sign_in_with(files: dict[str, str], words: str) -> None:
    answer = found(files)
    assert isinstance(answer, NotHad)
    assert words in answer.missing
    assert answer.remedy


def test_host_keys_are_checked_whatever_the_configuration_says() -> None:
    handed = found({".ssh/config": "Host *\n  StrictHostKeyChecking no\n", ".ssh/id_rsa": KEY})
    assert isinstance(handed, Handed)
    assert handed.options["known_hosts"] == ""


def test_a_key_of_ssh_keygen_is_known_to_be_locked(tmp_path: Path) -> None:
    for passphrase in ("", "secret words"):
        path = tmp_path / f"key{len(passphrase)}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
        assert is_locked(path.read_text()) is bool(passphrase)


def test_included_files_count_where_they_are_included(tmp_path: Path) -> None:
    folder = tmp_path / ".ssh"
    (folder / "more").mkdir(parents=True)
    (folder / "config").write_text("Host store\n  Include more/*.conf\nHost *\n  User late\n")
    (folder / "more" / "a.conf").write_text("User early\nHost nowhere\n  Port 1\n")
    options = read_server_options(
        "store", {"HOME": str(tmp_path)}, lambda path: path.read_text() if path.is_file() else None
    )
    assert (options.one("user"), options.one("port")) == ("early", None)


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _request(user: bytes = b"ann", service: bytes = b"ssh-connection", key: bytes = b"key", kind: int = 50) -> bytes:
    signed = _text(b"session") + bytes([kind]) + _text(user) + _text(service) + _text(b"publickey") + b"\1"
    signed += _text(b"ssh-ed25519") + _text(b"key")
    return bytes([13]) + _text(key) + _text(signed) + b"\0\0\0\0"


@pytest.mark.parametrize(
    "message",
    [
        bytes([17]) + b"add a key",
        bytes([18]),  # remove a key
        bytes([13]) + _text(b"key") + _text(b"any text, such as a commit to be signed") + b"\0\0\0\0",
        bytes([13]) + b"\xff\xff\xff\xff",
        _request(user=b"root"),
        _request(service=b"other"),
        _request(key=b"other"),
        _request(kind=51),
        b"",
    ],
)
def test_the_agent_is_asked_for_nothing_but_to_sign_in_as_the_confirmed_user(message: bytes) -> None:
    assert ask_agent("/nonexistent/agent", "ann", message) == bytes([5])


def test_it_is_asked_for_that() -> None:
    from runner.errors import RemoteUnavailable

    for message in (bytes([11]), _request()):
        with pytest.raises(RemoteUnavailable, match="the SSH agent at /nonexistent/agent does not answer"):
            ask_agent("/nonexistent/agent", "ann", message)
