"""What of this host's index settings containers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.network import NetworkSettings, host_network_settings, read_pip_configuration, read_uv_configuration

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_nothing_set_means_nothing_passed_on() -> None:
    settings = host_network_settings({}, {})
    assert settings == NetworkSettings()
    assert settings.variables("/ca.pem") == {}


def test_uvs_variables_win_over_pips_and_both_over_files() -> None:
    config = {"index-url": "https://file/simple", "extra-index-url": "https://a/simple\nhttps://b/simple"}
    assert host_network_settings({}, config).index_url == "https://file/simple"
    assert host_network_settings({}, config).extra_index_urls == ("https://a/simple", "https://b/simple")
    pip = {"PIP_INDEX_URL": "https://pip/simple", "PIP_EXTRA_INDEX_URL": "https://c/simple"}
    assert host_network_settings(pip, config).index_url == "https://pip/simple"
    assert host_network_settings(pip, config).extra_index_urls == ("https://c/simple",)
    uv = pip | {"UV_DEFAULT_INDEX": "https://uv/simple", "UV_INDEX": "name=https://d/simple"}
    assert host_network_settings(uv, config).index_url == "https://uv/simple"
    assert host_network_settings(uv, config).extra_index_urls == ("https://d/simple", "https://c/simple")


@pytest.mark.parametrize("address", ["file:///srv/simple", "/srv/wheels", "./wheels"])
def test_what_lies_on_this_hosts_disk_is_left_out_and_said(address: str) -> None:
    settings = host_network_settings({"PIP_FIND_LINKS": address, "PIP_EXTRA_INDEX_URL": address}, {})
    assert settings.find_links == settings.extra_index_urls == ()
    assert len(settings.notes) == 2
    assert all(address in note for note in settings.notes)


def test_notes_hold_no_secrets() -> None:
    settings = host_network_settings({"PIP_INDEX_URL": "ftp://me:hunter2@host/simple"}, {})
    assert "hunter2" not in "".join(settings.notes)


@pytest.mark.parametrize(
    ("environ", "needs"),
    [
        ({"PIP_INDEX_URL": "http://localhost:3141/root/pypi"}, True),
        ({"UV_INDEX": "http://127.0.0.1/simple"}, True),
        ({"HTTPS_PROXY": "localhost:3128"}, True),
        ({"https_proxy": "http://[::1]:3128"}, True),
        ({"NO_PROXY": "localhost,127.0.0.1", "HTTPS_PROXY": "http://proxy:3128"}, False),
        ({"PIP_INDEX_URL": "https://index.example/simple"}, False),
    ],
)
def test_what_listens_on_loopback_needs_the_hosts_network(environ: dict[str, str], needs: bool) -> None:
    assert host_network_settings(environ, {}).needs_host_network is needs


def test_the_ca_bundle_is_the_first_that_can_be_read(tmp_path: Path) -> None:
    bundle, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    bundle.write_text(PEM)
    other.write_text("nothing")
    environ = {"SSL_CERT_FILE": "/nowhere.pem", "REQUESTS_CA_BUNDLE": str(other), "PIP_CERT": str(bundle)}
    settings = host_network_settings(environ, {})
    assert settings.ca_bundle == PEM.encode()
    assert settings.ca_source == f"PIP_CERT={bundle}"
    assert len(settings.notes) == 2
    assert host_network_settings({}, {"cert": str(bundle)}).ca_bundle == PEM.encode()
    assert settings.variables("/in/ca.pem")["SSL_CERT_FILE"] == "/in/ca.pem"
    assert "SSL_CERT_FILE" not in settings.variables(None)


def test_variables_speak_to_uv_and_pip_alike() -> None:
    settings = NetworkSettings(
        index_url="https://i/simple",
        extra_index_urls=("https://a", "https://b"),
        find_links=("https://l", "https://m"),
        trusted_hosts=("i",),
        proxies={"https_proxy": "http://p:1"},
    )
    assert settings.variables() == {
        "UV_DEFAULT_INDEX": "https://i/simple",
        "PIP_INDEX_URL": "https://i/simple",
        "UV_INDEX": "https://a https://b",
        "PIP_EXTRA_INDEX_URL": "https://a https://b",
        "UV_FIND_LINKS": "https://l,https://m",
        "PIP_FIND_LINKS": "https://l https://m",
        "UV_INSECURE_HOST": "i",
        "PIP_TRUSTED_HOST": "i",
        "https_proxy": "http://p:1",
        "HTTPS_PROXY": "http://p:1",
    }


def test_pips_files_are_merged_as_pip_does(tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://old\nproxy = http://p:1\n[freeze]\nx=1\n"
    )
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[install]\nindex_url = https://new\n")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    merged = read_pip_configuration(environ)
    assert merged["index-url"] == "https://new"
    assert host_network_settings({}, {"proxy": merged["proxy"]}).proxies["https_proxy"] == "http://p:1"
    named = tmp_path / "named.conf"
    named.write_text("[global]\nindex-url = https://named\n")
    assert read_pip_configuration(environ | {"PIP_CONFIG_FILE": str(named)})["index-url"] == "https://named"
    assert read_pip_configuration(environ | {"PIP_CONFIG_FILE": "/dev/null"}) == {}


UV_TOML = """
index-strategy = "unsafe-best-match"
keyring-provider = "subprocess"
extra-index-url = ["https://old.example/simple"]
allow-insecure-host = ["own.example"]
[[index]]
name = "corp"
url = "https://corp.example/simple"
[[index]]
url = "https://mirror.example/simple"
default = true
[[index]]
name = "torch"
url = "https://torch.example/whl"
explicit = true
[pip]
find-links = ["https://links.example/"]
"""


def test_uvs_own_files_are_read_and_its_variables_win(tmp_path: Path) -> None:
    (tmp_path / ".config" / "uv").mkdir(parents=True)
    (tmp_path / ".config" / "uv" / "uv.toml").write_text(UV_TOML)
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    found = host_network_settings(environ, {}, read_uv_configuration(environ))
    assert found.index_url == "https://mirror.example/simple"
    assert found.extra_index_urls == ("https://corp.example/simple", "https://old.example/simple")
    assert (found.index_strategy, found.keyring) == ("unsafe-best-match", True)
    assert (found.find_links, found.trusted_hosts) == (("https://links.example/",), ("own.example",))
    assert any("torch.example" in note for note in found.notes)
    environ |= {"UV_DEFAULT_INDEX": "https://other.example/simple", "UV_INDEX_STRATEGY": "first-index"}
    environ["UV_KEYRING_PROVIDER"] = "disabled"
    found = host_network_settings(environ, {}, read_uv_configuration(environ))
    assert (found.index_url, found.index_strategy) == ("https://other.example/simple", "first-index")
    assert not found.keyring
    assert read_uv_configuration(environ | {"UV_NO_CONFIG": "1"}).indexes == ()
    assert read_uv_configuration(environ | {"UV_CONFIG_FILE": str(tmp_path / "none.toml")}).indexes == ()


@pytest.mark.parametrize("text", ["not toml [", "index = 3", "[[index]]\nname = 'x'", "extra-index-url = 'x'"])
def test_a_file_of_uv_that_says_nothing_that_is_known_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "uv.toml").write_text(text)
    assert read_uv_configuration({"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}).indexes == ()


def test_user_and_password_of_a_named_index_go_to_the_index_that_this_host_gives_the_name() -> None:
    environ = {
        "UV_INDEX": "my-corp=https://corp.example/simple https://plain.example/simple full=https://a:b@full.example",
        "UV_INDEX_MY_CORP_USERNAME": "me",
        "UV_INDEX_MY_CORP_PASSWORD": "p@ss",
        "UV_INDEX_FULL_PASSWORD": "never",
        "UV_INDEX_UNKNOWN_PASSWORD": "nowhere",
    }
    assert host_network_settings(environ, {}).extra_index_urls == (
        "https://me:p%40ss@corp.example/simple",
        "https://plain.example/simple",
        "https://a:b@full.example",
    )


def test_every_password_of_an_address_is_known_to_be_one() -> None:
    network = NetworkSettings(index_url="https://me:p%40ss@a.example", proxies={"http_proxy": "http://u:proxy-pw@p:1"})
    assert network.secrets == ("p%40ss", "p@ss", "proxy-pw")


def test_pip_asks_the_keyring_only_by_its_own_setting() -> None:
    assert host_network_settings({}, {"keyring-provider": "import"}).keyring
    assert not host_network_settings({"PIP_KEYRING_PROVIDER": "auto"}, {}).keyring
