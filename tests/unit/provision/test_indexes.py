"""Which index is asked first, who gets credentials, and where a package came from."""

from __future__ import annotations

from typing import Any

import pytest

from runner.inside.packages import toml
from runner.inside.packages.indexes import IndexSettings, index_settings, origins, same_index
from runner.inside.protocol import PhaseError

OWN = "https://me:geheim@corp.example/artifactory/simple"


def indexes(settings: IndexSettings) -> list[dict[str, Any]]:
    return list(toml.loads(settings.configuration())["index"])


def test_the_hosts_indexes_come_first_and_pypi_never_beside_the_hosts_own_default() -> None:
    settings = IndexSettings(default="https://mirror.example/simple", own=("https://u:p@own.example/simple",))
    named = settings.with_named(
        ["https://pypi.org/simple", "https://download.example/whl/", "https://mirror.example/simple/"]
    )
    assert [index["url"] for index in indexes(named)] == [
        "https://u:p@own.example/simple",
        "https://download.example/whl",
        "https://mirror.example/simple",
    ]
    assert indexes(named)[-1]["default"] is True


def test_a_package_is_taken_from_the_first_index_that_knows_it_unless_the_host_says_otherwise() -> None:
    assert toml.loads(IndexSettings(own=(OWN,)).configuration())["index-strategy"] == "first-index"
    asked = IndexSettings(own=(OWN,), strategy="unsafe-best-match")
    assert toml.loads(asked.configuration(strategy="first-index"))["index-strategy"] == "unsafe-best-match"


def test_an_index_where_anybody_may_take_any_name_comes_after_pypi() -> None:
    named = IndexSettings().with_named(["https://test.pypi.org/simple/", "https://download.pytorch.org/whl/cpu"])
    assert [index["url"] for index in indexes(named)] == [
        "https://download.pytorch.org/whl/cpu",
        "https://pypi.org/simple",
        "https://test.pypi.org/simple",
    ]


@pytest.mark.parametrize(
    ("named", "never"),
    [
        ("https://evil.example/simple", True),
        ("https://corp.example:8443/artifactory/simple", True),
        ("http://corp.example/artifactory/simple", True),
        ("https://corp.example/artifactory/simple/team", False),
        ("https://theirs:own@evil.example/simple", False),
    ],
)
def test_an_index_of_the_repository_gets_no_credentials_of_the_hosts(named: str, never: bool) -> None:
    found = indexes(IndexSettings(own=(OWN,)).with_named([named]))
    assert next(each for each in found if each["url"] == named).get("authenticate") == ("never" if never else None)
    assert "authenticate" not in found[0]


def test_an_index_that_the_host_has_too_is_the_hosts() -> None:
    settings = IndexSettings(own=(OWN,)).with_named(["https://corp.example/artifactory/simple/"])
    assert [index["url"] for index in indexes(settings)] == [OWN, "https://pypi.org/simple"]


@pytest.mark.parametrize(
    "address",
    ["https://corp.example/other/simple", "https://corp.example/artifactory/simple-evil", "https://me@corp.example/x"],
)
def test_what_the_repository_names_beside_a_private_index_on_its_host_is_refused_with_the_way_out(address: str) -> None:
    """uv tells credentials apart by host, and would show them there."""
    settings = IndexSettings(own=(OWN,))
    for named in (((address,), ()), ((), (address,))):
        with pytest.raises(PhaseError, match="on the host of a private index of yours") as caught:
            settings.with_named(*named)
        assert caught.value.event["remedy"].startswith("export UV_INDEX=NAME=https://corp.example/")
        assert "geheim" not in str(caught.value.event)
    open_index = IndexSettings(own=(OWN.replace("me:geheim@", ""),))
    assert open_index.with_named([address], [address]).named


@pytest.mark.parametrize(
    ("address", "credentials"),
    [
        ("https://corp.example/files/a.tar.gz", "me:geheim"),
        ("https://corp.example:443/files/a.tar.gz", "me:geheim"),
        ("https://corp.example:8443/files/a.tar.gz", None),
        ("http://corp.example/files/a.tar.gz", None),
        ("https://corp.example.evil.example/a.tar.gz", None),
        ("https://files.example/a.tar.gz", None),
        ("https://theirs:own@files.example/a.tar.gz", "theirs:own"),
    ],
)
def test_a_file_gets_the_credentials_of_its_own_origin_alone(address: str, credentials: str | None) -> None:
    plain, found = IndexSettings(own=(OWN,)).credentials_for(address)
    assert found == credentials
    assert "@" not in plain


def test_settings_are_what_the_host_sent() -> None:
    sent = {
        "index_url": "https://a",
        "extra_index_urls": ["https://b"],
        "trusted_hosts": ["c"],
        "proxies": {"no_proxy": "d"},
        "index_strategy": "unsafe-best-match",
    }
    settings = index_settings(sent, ca_path="/secrets/ca.pem", offline=True)
    assert (settings.default, settings.own, settings.trusted_hosts) == ("https://a", ("https://b",), ("c",))
    assert (settings.offline, settings.strategy) == (True, "unsafe-best-match")


def test_uv_says_where_each_package_came_from() -> None:
    text = "six==1.16.0 \\\n    --hash=sha256:ab\n    # from https://pypi.org/simple\nA_b==2\n    # from https://own.example\n"
    assert origins(text) == {"six": ("1.16.0", "https://pypi.org/simple"), "a-b": ("2", "https://own.example")}
    pylock = 'lock-version = "1.0"\n[[packages]]\nname = "six"\nversion = "1"\nindex = "https://own.example/simple"\n'
    assert origins(pylock) == {"six": ("1", "https://own.example/simple")}


def test_an_index_is_the_same_whoever_asks() -> None:
    assert same_index(OWN, "https://corp.example/artifactory/simple/")
    assert not same_index(OWN, "https://corp.example/artifactory")
