"""Only what is surely an address or a path is given to git, and no secret of it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import MissingFact
from runner.repository.address import parse_address


@pytest.mark.parametrize(
    ("location", "text", "shown"),
    [
        ("https://me:hunter2@host/acme/fraud.git", "https://host/acme/fraud.git", "https://host/acme/fraud.git"),
        ("https://ghp_token@host/acme/fraud?token=hunter2", "https://host/acme/fraud", "https://host/acme/fraud"),
        ("https://ann@host/acme/fraud", "https://ann@host/acme/fraud", "https://host/acme/fraud"),
        ("ssh://git:hunter2@host:22/acme/fraud", "ssh://git@host:22/acme/fraud", "ssh://host:22/acme/fraud"),
        ("ssh://git@host:22/acme/fraud", "ssh://git@host:22/acme/fraud", "ssh://git@host:22/acme/fraud"),
        ("git@host:acme/fraud.git", "git@host:acme/fraud.git", "git@host:acme/fraud.git"),
        ("HTTPS://host/x", "https://host/x", "https://host/x"),
        ("git://host/x", "git://host/x", "git://host/x"),
    ],
)
def test_neither_git_nor_people_are_given_the_secrets_of_an_address(location: str, text: str, shown: str) -> None:
    address = parse_address(location)
    assert (address.text, address.shown, address.path) == (text, shown, None)
    assert "hunter2" not in repr(address)
    assert "ghp_token" not in repr(address)


def test_a_login_is_kept_for_its_own_place() -> None:
    login = parse_address("https://me:hunter%2F2@host:8443/acme/fraud.git").login
    assert login is not None
    assert (login.place, login.user, login.password) == ("https://host:8443", "me", "hunter/2")
    token = parse_address("https://glpat-x@host/x").login
    assert token is not None
    assert (token.user, token.password) == ("glpat-x", "")


def test_the_same_place_has_the_same_key_whatever_the_credentials() -> None:
    one = parse_address("https://a:b@host/acme/fraud.git").key
    assert one == parse_address("https://c:d@host/acme/fraud.git").key
    assert one != parse_address("https://host/other/fraud.git").key
    assert one.startswith("fraud-")


def test_paths_are_resolved(tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert parse_address(str(odd)).path == odd
    assert parse_address(f"file://{tmp_path}/x%20y").path == tmp_path / "x y"
    assert parse_address(f"{tmp_path}/../{tmp_path.name}").path == tmp_path


@pytest.mark.parametrize(
    "location",
    [
        "",
        "-oProxyCommand=x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c true",
        "fd::17",
        "https::https://host/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://-x@host/y",
        "-x@host:y",
        "user@-oProxyCommand=x:y",
        "ftp://host/x",
        "https:///x",
        "file://server/share",
        "C:\\Users\\ann\\project",
        "file:///C:/Users/ann",
        "\\\\server\\share",
        "https://host/x\n-c",
    ],
)
def test_what_git_could_run_something_for_is_refused(location: str) -> None:
    with pytest.raises(MissingFact) as caught:
        parse_address(location)
    assert caught.value.fact == "repository"


@pytest.mark.parametrize(
    "location", ["https://github.com/acme/fraud", "ssh://git@github.com/acme/fraud", "git@h.org:x"]
)
def test_a_record_may_name_a_public_host_by_https_or_ssh(location: str) -> None:
    assert parse_address(location, recorded=True).text == location


@pytest.mark.parametrize(
    "location",
    [
        "http://github.com/acme/fraud",
        "git://github.com/acme/fraud",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/x",
        "https://2852039166/x",
        "https://localhost/x",
        "git@10.0.0.5:acme/fraud.git",
        "gitlab:acme/fraud.git",
        "/home/ann/fraud",
        "../fraud",
        "file:///home/ann/fraud",
        "~/fraud",
    ],
)
def test_what_only_the_auditor_may_name_is_refused_from_a_record_and_offered(location: str) -> None:
    with pytest.raises(MissingFact) as caught:
        parse_address(location, recorded=True)
    assert f"--repo {location}" in caught.value.remedy.replace("'", "")
    assert parse_address(location).text


_PARTS = st.sampled_from(
    ["https://", "ssh://", "ext::", "-", "--upload-pack=", "file://", "@", ":", "/", "host.org", "x", "\n", "\x1b", "[",
     "]", "%2d", "..", "169.254.169.254", "git@", "~", "\u2028", "C:\\", "?", "#", " ", "fd::"]
)  # fmt: skip


@given(st.lists(_PARTS, min_size=1, max_size=8).map("".join) | st.text(max_size=40), st.booleans())
def test_whatever_is_recorded_is_an_address_or_refused_in_a_sentence(location: str, recorded: bool) -> None:
    try:
        address = parse_address(location, recorded=recorded)
    except MissingFact:
        return
    assert not address.text.startswith("-")
    assert re.match(r"[A-Za-z0-9+.-]+::", address.text) is None, "git would run a helper of that name"
    if recorded:
        assert address.path is None
        assert address.text.startswith(("https://", "ssh://")) or "://" not in address.text
