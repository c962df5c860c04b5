"""Where a submodule is asked for: what `.gitmodules` says is a stranger's word, whatever git would do with it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import MissingFact
from runner.repository.address import parse_address
from runner.repository.submodules import Place, _address


def asked(
    url: str, base: str | None = "https://git.example.org/acme/sums.git", recorded: bool = True
) -> tuple[str, bool]:
    return _address(url, Place(None if base is None else parse_address(base), None, recorded))


@pytest.mark.parametrize(
    ("base", "url", "place"),
    [
        ("https://git.example.org/acme/sums.git", "../lib.git", "https://git.example.org/acme/lib.git"),
        ("https://git.example.org/acme/sums.git", "./lib", "https://git.example.org/acme/sums.git/lib"),
        ("https://git.example.org/acme/sums", "../../other/lib", "https://git.example.org/other/lib"),
        ("git@git.example.org:acme/sums.git", "../lib.git", "git@git.example.org:acme/lib.git"),
        ("ssh://git@git.example.org:22/acme/sums", "../lib", "ssh://git@git.example.org:22/acme/lib"),
    ],
)
def test_a_relative_url_is_of_the_repositorys_own_host(base: str, url: str, place: str) -> None:
    assert asked(url, base) == (place, True)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://git.example.org/x/lib", ("https://git.example.org/x/lib", True)),
        ("https://github.com/x/lib", ("https://github.com/x/lib", False)),
        ("git@github.com:x/lib.git", ("https://github.com/x/lib.git", False)),
        ("ssh://git@github.com:2222/x/lib", ("https://github.com/x/lib", False)),
        ("https://me:hunter2@github.com/x/lib", ("https://github.com/x/lib", False)),
    ],
)
def test_another_host_is_asked_by_https_and_without_a_login(url: str, place: tuple[str, bool]) -> None:
    assert asked(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "../../../x",
        "../../..",
        "/home/ann/private",
        "file:///home/ann/private",
        "ext::sh -c x",
        "-x",
        "--upload-pack=x",
        "http://github.com/x/lib",
        "git://github.com/x/lib",
        "https://localhost/x",
        "https://169.254.169.254/latest",
        "git@gitlab:x/lib",
        "../\x00x",
        "",
    ],
)
@pytest.mark.parametrize("recorded", [True, False])
def test_nothing_else_is_asked(url: str, recorded: bool) -> None:
    with pytest.raises(MissingFact):
        asked(url, recorded=recorded)


def test_a_relative_url_of_a_repository_without_an_address_leads_nowhere() -> None:
    """Beside a folder of this host lie other folders of this host."""
    with pytest.raises(MissingFact, match="without an address"):
        asked("../lib", None)


def test_on_the_host_that_the_auditor_named_by_http_its_submodules_are_asked_so() -> None:
    base = "http://10.0.0.5:3000/acme/sums"
    assert asked("../lib", base, recorded=False) == ("http://10.0.0.5:3000/acme/lib", True)
    assert asked("http://10.0.0.5:3000/x/lib", base, recorded=False) == ("http://10.0.0.5:3000/x/lib", True)
    with pytest.raises(MissingFact):
        asked("http://10.0.0.5:4000/x/lib", base, recorded=False)


_PARTS = st.sampled_from(
    ["../", "./", "https://", "ext::", "@", ":", "/", "host.org", "x", "-", "\n", "file://", "[", "~"]
)


@given(st.lists(_PARTS, max_size=8).map("".join) | st.text(max_size=30))
def test_whatever_gitmodules_says_is_https_or_the_repositorys_own_host_or_refused(url: str) -> None:
    try:
        place, ours = asked(url)
    except MissingFact:
        return
    assert place.startswith("https://git.example.org/" if ours else "https://")
    assert re.match(r"[A-Za-z0-9+.-]+::|-", place) is None
    assert place.isprintable() or not place.isascii()
