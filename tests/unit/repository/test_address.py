"""Only what is surely an address or a path is given to git, and no secret of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import MissingFact
from runner.repository.address import parse_address


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://me:hunter2@host/acme/fraud.git", "https://host/acme/fraud.git"),
        ("https://ghp_token@host/acme/fraud?token=hunter2", "https://host/acme/fraud"),
        ("ssh://git@host:22/acme/fraud", "ssh://git@host:22/acme/fraud"),
        ("git@host:acme/fraud.git", "git@host:acme/fraud.git"),
        ("HTTPS://host/x", "https://host/x"),
        ("git://host/x", "git://host/x"),
    ],
)
def test_an_address_is_shown_without_its_secrets(location: str, shown: str) -> None:
    address = parse_address(location)
    assert (address.text, address.shown, address.path) == (location, shown, None)


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
