"""Passwords that are in no address: from netrc and the keyring, to indexes that this host configured and no other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.credentials import indexes
from runner.credentials.indexes import ask_keyring, keyring_command, with_index_credentials
from runner.network import NetworkSettings

KEYRING = """#!{python}
import sys
known = {known!r}
with open({log!r}, "a") as log: print(*sys.argv[1:], sep="|", file=log)
key = tuple(sys.argv[2:4]) if "--mode" not in sys.argv else (sys.argv[2],)
if key not in known: sys.exit(1)
print(known[key])
"""


def settings(*extra: str, keyring: bool = False) -> NetworkSettings:
    return NetworkSettings(index_url="https://corp.example/simple", extra_index_urls=extra, keyring=keyring)


@pytest.mark.parametrize("name", [".netrc", "_netrc", "named"])
def test_netrc_gives_to_its_host_and_to_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("machine corp.example login me password p@ss/wort\ndefault login any password all\n")
    environ = {"HOME": str(tmp_path)} | ({"NETRC": str(tmp_path / name)} if name == "named" else {})
    found = with_index_credentials(settings("https://other.example/simple"), environ)
    assert found.index_url == "https://me:p%40ss%2Fwort@corp.example/simple"
    assert found.extra_index_urls == ("https://other.example/simple",), "`default` is for any host, so for none"


def test_an_address_keeps_what_it_has_and_its_user_decides(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine corp.example login me password geheim\n")
    environ = {"HOME": str(tmp_path)}
    mine, others, whole = "https://me@corp.example/a", "https://you@corp.example/b", "https://you:x@corp.example/c"
    found = with_index_credentials(settings(mine, others, whole), environ)
    assert found.extra_index_urls == ("https://me:geheim@corp.example/a", others, whole)


def test_a_netrc_that_cannot_be_read_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine corp.example login\nwhat is this")
    assert with_index_credentials(settings(), {"HOME": str(tmp_path)}) == settings()


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = {("https://corp.example/simple", "me"): "geheim", ("other.example",): "her\nher-geheim"}
    program, log = tmp_path / "bin" / "keyring", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(KEYRING.format(python=sys.executable, known=known, log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    log.touch()
    return log


def test_the_keyring_is_asked_by_address_then_host_and_only_where_the_host_says_so(
    keyring: Path, tmp_path: Path
) -> None:
    network = NetworkSettings(
        index_url="https://me@corp.example/simple",
        extra_index_urls=("https://other.example/simple", "https://third.example/x"),
    )
    environ = {"HOME": str(tmp_path)}
    assert with_index_credentials(network, environ) == network
    assert keyring.read_text() == ""
    found = with_index_credentials(NetworkSettings(**{**vars(network), "keyring": True}), environ)
    assert found.index_url == "https://me:geheim@corp.example/simple"
    assert found.extra_index_urls == ("https://her:her-geheim@other.example/simple", "https://third.example/x")
    assert keyring.read_text().splitlines()[:3] == [
        "get|https://corp.example/simple|me",
        "get|https://other.example/simple|--mode|creds",
        "get|other.example|--mode|creds",
    ]


def test_a_keyring_that_hangs_or_fails_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "_KEYRING_S", 0.1)
    assert ask_keyring([sys.executable, "-c", "import time; time.sleep(60)"], "https://a.example", "me") is None
    assert ask_keyring(["/nonexistent/keyring"], "https://a.example", "me") is None


def test_a_keyring_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(indexes.importlib.util, "find_spec", lambda name: None)
    assert keyring_command() is None
    found = with_index_credentials(settings(keyring=True), {"HOME": str(tmp_path)})
    assert "no `keyring` on this host" in found.notes[-1]
