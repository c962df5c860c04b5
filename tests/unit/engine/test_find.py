"""Which engine is meant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from runner.engine.find import DEFAULT_SOCKET, EngineAddress, default_engines, find_engine, named_engine, none_answers
from runner.errors import EngineUnavailable, InvalidConfiguration


def write_context(folder: Path, name: str, host: str, *, tls: bool = False, skip: bool = False) -> Path:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    certificates = folder / "contexts" / "tls" / key / "docker"
    if tls:
        certificates.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (certificates / file).write_text("x")
    return certificates


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path)}


def test_nothing_named_means_the_usual_sockets_in_order(environ: dict[str, str]) -> None:
    assert named_engine(environ) is None
    found = default_engines(environ | {"XDG_RUNTIME_DIR": "/run/user/7"})
    assert [address.url for address in found] == [
        f"unix://{DEFAULT_SOCKET}",
        "unix:///run/user/7/podman/podman.sock",
        "unix:///run/podman/podman.sock",
    ]


def test_docker_host_wins_over_every_context(environ: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "there", "tcp://there:1")
    found = named_engine(environ | {"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "there"})
    assert found == EngineAddress(url="unix:///x.sock", origin="DOCKER_HOST")


def test_docker_context_wins_over_the_current_one(environ: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "current", "unix:///current.sock")
    write_context(tmp_path, "other", "ssh://me@far:2222")
    (tmp_path / "config.json").write_text('{"currentContext": "current"}')
    found = named_engine(environ)
    assert found is not None
    assert (found.url, found.origin) == ("unix:///current.sock", "context current")
    other = named_engine(environ | {"DOCKER_CONTEXT": "other"})
    assert other is not None
    assert (other.url, other.over_ssh) == ("ssh://me@far:2222", True)
    assert named_engine(environ | {"DOCKER_CONTEXT": "default"}) is None


def test_the_home_folder_holds_the_configuration_unless_named(tmp_path: Path) -> None:
    write_context(tmp_path / ".docker", "mine", "unix:///mine.sock")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "mine"}')
    found = named_engine({"HOME": str(tmp_path)})
    assert found is not None
    assert found.url == "unix:///mine.sock"


@pytest.mark.parametrize("skip", [True, False])
def test_a_context_brings_its_certificates(environ: dict[str, str], tmp_path: Path, skip: bool) -> None:
    certificates = write_context(tmp_path, "safe", "tcp://far:2376", tls=True, skip=skip)
    assert named_engine(environ | {"DOCKER_CONTEXT": "safe"}) == EngineAddress(
        url="tcp://far:2376",
        origin="context safe",
        tls=True,
        ca_file=str(certificates / "ca.pem"),
        certificate_file=str(certificates / "cert.pem"),
        key_file=str(certificates / "key.pem"),
        verify=not skip,
    )


@pytest.mark.parametrize(
    ("variables", "tls", "verify"),
    [({}, False, True), ({"DOCKER_TLS_VERIFY": "1"}, True, True), ({"DOCKER_TLS": "1"}, True, False)],
)
def test_docker_host_is_read_with_its_tls_variables(
    environ: dict[str, str], tmp_path: Path, variables: dict[str, str], tls: bool, verify: bool
) -> None:
    (tmp_path / "ca.pem").write_text("x")
    found = named_engine(environ | {"DOCKER_HOST": "far:2376", "DOCKER_CERT_PATH": str(tmp_path)} | variables)
    assert found is not None
    assert (found.url, found.tls, found.verify) == ("tcp://far:2376", tls, verify)
    assert found.ca_file == (str(tmp_path / "ca.pem") if tls else None)


def test_a_context_that_is_not_there_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(EngineUnavailable, match="context gone is not there") as caught:
        find_engine(environ | {"DOCKER_CONTEXT": "gone"})
    assert "docker context ls" in caught.value.remedy


def test_configuration_that_cannot_be_read_is_an_error(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidConfiguration, match=r"config\.json"):
        named_engine(environ)
    with pytest.raises(InvalidConfiguration, match="unknown kind"):
        named_engine({"DOCKER_HOST": "npipe:////./pipe/x", "HOME": "/nowhere"})


@pytest.mark.parametrize("url", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_a_named_engine_that_does_not_answer_is_never_replaced(environ: dict[str, str], url: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        find_engine(environ | {"DOCKER_HOST": url})
    assert url in caught.value.cause
    assert "DOCKER_HOST" in caught.value.cause
    assert "unset DOCKER_HOST" in caught.value.remedy


def test_a_context_that_does_not_answer_is_never_replaced(environ: dict[str, str], tmp_path: Path) -> None:
    write_context(tmp_path, "down", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailable, match="context down") as caught:
        find_engine(environ | {"DOCKER_CONTEXT": "down"})
    assert "docker context use default" in caught.value.remedy


def test_no_engine_at_all_says_what_was_tried_and_how_to_get_one() -> None:
    address = EngineAddress(url="unix:///a.sock", origin="default socket")
    error = none_answers([(address, "there is no such socket")])
    assert "/a.sock: there is no such socket" in error.cause
    assert error.remedy == "runner setup --install-engine"
    assert "usermod" in none_answers([(address, "Permission denied")]).remedy
