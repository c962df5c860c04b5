"""What of this host's apt is told to apt elsewhere, and what a layer of packages is known by."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.engine import packages
from runner.engine.apt import AptSettings, passed_on, read_apt_settings
from runner.engine.base_image import bootstrap_command
from runner.engine.packages import COMPILERS, layer_reference
from runner.errors import DiskFull, ImageUnavailable, MissingFact
from runner.network import NetworkSettings

DUMP = """APT "";
Acquire::http::Proxy "http://me:geheim@proxy.example:3142";
Acquire::https::Proxy::mirror.example "DIRECT";
Acquire::https::CaInfo "/etc/own.pem";
Acquire::https::Verify-Peer "false";
Acquire::AllowInsecureRepositories "true";
Acquire::Check-Valid-Until "false";
APT::Get::AllowUnauthenticated "true";
Dir::Etc::sourcelist "sources.list";
DPkg::Post-Invoke:: "rm -rf /";
"""


def test_how_packages_are_reached_is_passed_on_and_never_which_are_trusted_or_what_is_run() -> None:
    assert passed_on(DUMP) == {
        "Acquire::http::Proxy": "http://me:geheim@proxy.example:3142",
        "Acquire::https::Proxy::mirror.example": "DIRECT",
        "Acquire::https::CaInfo": "/etc/own.pem",
        "Acquire::Check-Valid-Until": "false",
    }


def test_credentials_of_apt_and_proxies_of_the_environment_are_read(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/auth.conf.d").mkdir(parents=True)
    (tmp_path / "etc/apt/auth.conf.d/own.conf").write_text("machine m login me password geheim\n")
    network = NetworkSettings(ca_bundle=b"PEM", proxies={"http_proxy": "http://p:1", "no_proxy": "x"})
    found = read_apt_settings({"REPRO_DEBIAN_MIRROR": "http://m/debian"}, network, tmp_path)
    assert (found.mirror, found.ca_bundle) == ("http://m/debian", b"PEM")
    assert "password geheim" in found.credentials
    assert found.variables["HTTP_PROXY"] == "http://p:1"
    assert not found.needs_host_network


@pytest.mark.parametrize(
    "settings",
    [
        AptSettings(mirror="http://localhost:3142/debian"),
        AptSettings(options={"Acquire::http::Proxy": "http://127.0.0.1:3142"}),
        AptSettings(variables={"http_proxy": "http://[::1]:3128"}),
    ],
)
def test_a_proxy_on_this_hosts_loopback_needs_its_network(settings: AptSettings) -> None:
    assert settings.needs_host_network
    assert packages._request("parent", ("x",), settings, compilers=False).network == "host"


def test_secrets_travel_by_standard_input_alone() -> None:
    settings = AptSettings(
        mirror="http://me:geheim@m/debian",
        options={"Acquire::http::Proxy": "http://me:geheim@p"},
        credentials="password geheim",
    )
    request = packages._request("parent", ("libgomp1",), settings, compilers=False)
    assert b"geheim" in b"".join(request.stdin or ())
    assert "geheim" not in repr((request.argv, request.environment, request.files, request.mounts, request.tmpfs))
    assert request.environment == {}, "a container's variables stay in the image that is made of it"
    assert {"/tmp", "/var/lib/apt/lists", "/var/cache/apt"} == set(request.tmpfs)


def test_options_of_this_host_stay_out_of_a_base_image() -> None:
    command = bootstrap_command("forky", None, Path("/x/apt.conf"))
    assert "--aptopt=/x/apt.conf" in command
    assert any(part.startswith("--customize-hook=rm ") and "99mmdebstrap" in part for part in command)
    assert not any("aptopt" in part for part in bootstrap_command("forky", None))


def test_credentials_in_a_mirrors_address_stay_out_of_a_base_image(tmp_path: Path) -> None:
    command = bootstrap_command("forky", "http://me:geheim@m.example/debian")
    (hook,) = [part.partition("=")[2] for part in command if part.startswith("--customize-hook=")]
    (tmp_path / "etc/apt").mkdir(parents=True)
    sources = tmp_path / "etc/apt/sources.list"
    sources.write_text("deb http://me:geheim@m.example/debian forky main\n")
    subprocess.run(["sh", "-c", hook, "hook", str(tmp_path)], check=True)
    assert sources.read_text() == "deb http://m.example/debian forky main\n"
    assert bootstrap_command("forky", "http://m.example/debian") == [
        *bootstrap_command("forky", None),
        "http://m.example/debian",
    ]


def test_a_layer_is_known_by_what_it_lies_on_and_the_names_in_it() -> None:
    one = layer_reference("environment:1", ("a", "b"))
    assert layer_reference("environment:1", ("b", "a", "a")) == one
    assert len({one, layer_reference("environment:2", ("a", "b")), layer_reference("environment:1", ("a", "b=1"))}) == 3
    assert "gcc" in COMPILERS
    assert "python3-dev" in COMPILERS


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("no such package", MissingFact, "Debian trixie has no package libgl1x"),
        ("no such version", MissingFact, "no such version of libgl1x"),
        ("unreachable", ImageUnavailable, "cannot be fetched"),
        ("disk full", DiskFull, "no space"),
        ("no apt", MissingFact, "cannot be installed on the base image"),
        ("refused", MissingFact, "cannot be installed on the base image"),
    ],
)
def test_what_kept_apt_from_installing_is_told_by_its_kind(kind: str, error: type[Exception], words: str) -> None:
    problem = {"kind": kind, "text": "E: words https://me:geheim@x/", "name": "libgl1x", "nearest": ["libgl1"]}
    raised = packages._why(problem, "trixie", ("libgl1x", "sox"), "the system packages")
    assert type(raised) is error
    assert words in raised.cause
    assert "geheim" not in raised.cause
    if kind == "no such package":
        assert raised.remedy == "runner reproduce RUN --system-packages libgl1,sox"
