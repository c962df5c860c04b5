"""HTTP(S) by nginx and WebDAV by WsgiDAV, on the real engine: a password goes to the confirmed origin alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact, RemoteUnavailable
from runner.prepare import Prepared
from tests.support.authorities import make_authority
from tests.support.file_servers import nginx, python_environment, webdav_server
from tests.support.listeners import Relay
from tests.support.repositories import dvc_config
from tests.support.restoring import Restoring

PASSWORD = "canary-hunter2-of-the-web"
BASIC = "auth_basic store; auth_basic_user_file /srv/passwords;"


@pytest.fixture
def world(tmp_path: Path, engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Restoring:
    world = Restoring(tmp_path, engine, shared_images, cache_volume)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True)
    (tmp_path / "passwords").write_text(f"reader:{hashed.stdout}")
    world.canaries = [PASSWORD, "cmVhZGVyOmNhbmFyeS1odW50ZXIyLW9mLXRoZS13ZWI="]
    return world


@pytest.mark.full
def test_basic_authentication_from_each_place_of_this_host(world: Restoring, servers_image: str) -> None:
    with nginx(servers_image, world.folder, BASIC) as port:
        url = f"http://127.0.0.1:{port}"
        config = dvc_config(url)
        refused = world.refusal(RemoteUnavailable, config, world.host(), remote="storage")
        assert f"nobody confirmed http, host 127.0.0.1:{port} for those of this host (status 401)" in refused.cause
        assert f"--remote {url}" in refused.remedy
        none = world.refusal(RemoteUnavailable, config, world.host(), remote=url)
        assert "refuses to be read without credentials, and this host has no password for 127.0.0.1" in none.cause
        wrong = world.host(REPRO_REMOTE_USER="reader", REPRO_REMOTE_PASSWORD=f"{PASSWORD}-not")
        wrong_error = world.refusal(RemoteUnavailable, config, wrong, remote=url)
        assert "refuses the credentials of REPRO_REMOTE_PASSWORD (status 401)" in wrong_error.cause

        variables = world.host(REPRO_REMOTE_USER="reader", REPRO_REMOTE_PASSWORD=PASSWORD)
        done = world.restore(config, variables, world.data, world.directory, remote=url)
        assert {file.held_by for file in done.files} == {"storage"}
        assert done.remotes_asked[0].endswith("with the credentials of REPRO_REMOTE_PASSWORD)")
        (world.home / ".netrc").write_text(f"machine 127.0.0.1 login reader password {PASSWORD}\n")
        assert world.restore(config, world.host(), remote=url).remotes_asked[0].endswith("/.netrc)")
        (world.home / ".netrc").unlink()
        world.configure(dvc_config(url, "mine", auth="basic", user="reader", password=PASSWORD))
        assert "/dvc/config)" in world.restore(config, world.host()).remotes_asked[0]


def test_a_server_that_refuses_may_hold_what_the_others_lack(world: Restoring, servers_image: str) -> None:
    """Exit 5 and not unverifiable; and what all that answer lack is missing."""
    (world.folder / "empty").mkdir()
    with nginx(servers_image, world.folder, BASIC) as port:
        error = world.refusal(
            RemoteUnavailable,
            dvc_config(f"http://127.0.0.1:{port}"),
            world.host(),
            remote=f"http://127.0.0.1:{port}",
            yaml=f"remote: {world.folder}/empty",
        )
        assert f"is in none of the remotes that answered ({world.folder}/empty)" in error.cause
        assert "refuses to be read without credentials" in error.cause
        world.configure(dvc_config(f"http://127.0.0.1:{port}", "mine", user="reader", password=PASSWORD))
        world.store.object_path(world.data.digest).unlink()
        missing = world.refusal(MissingFact, dvc_config(f"http://127.0.0.1:{port}"), world.host())
    assert f"http://127.0.0.1:{port}" in missing.looked_in[0]


@pytest.mark.full
def test_tls_is_by_the_hosts_own_authority(world: Restoring, servers_image: str) -> None:
    authority = make_authority(world.folder)
    with nginx(servers_image, world.folder, BASIC, tls=authority.server) as port:
        url = f"https://localhost:{port}"
        host = world.host(REPRO_REMOTE_USER="reader", REPRO_REMOTE_PASSWORD=PASSWORD)
        error = world.refusal(RemoteUnavailable, dvc_config(url), host, remote=url)
        assert f"the certificate of {url} is not trusted here" in error.cause
        world.network = replace(world.network, ca_bundle=authority.certificate.read_bytes())
        assert world.restore(dvc_config(url), host, remote=url).files[0].held_by == "storage"


@pytest.mark.parametrize("kind", [pytest.param("basic", marks=pytest.mark.full), "header"])
def test_a_redirect_to_another_host_is_followed_without_the_password(
    world: Restoring, servers_image: str, kind: str
) -> None:
    with nginx(servers_image, world.folder, "") as behind:
        relay = Relay(f"http://127.0.0.1:{behind}")
        own = {"user": "reader"} if kind == "basic" else {"auth": "custom", "custom_auth_header": "X-Api-Key"}
        guard = BASIC if kind == "basic" else f'if ($http_x_api_key != "{PASSWORD}") {{ return 403; }}'
        lines = f"location / {{ {guard} return 307 {relay.endpoint}$request_uri; }}"
        if kind == "basic":  # nginx returns before it asks for a password
            lines = f"location / {{ {BASIC} try_files /none @away; }}"
            lines += f" location @away {{ return 307 {relay.endpoint}$request_uri; }}"
        try:
            with nginx(servers_image, world.folder, lines) as port:
                world.configure(dvc_config(f"http://127.0.0.1:{port}", "mine", password=PASSWORD, **own))
                done = world.restore(dvc_config(f"http://127.0.0.1:{port}"), world.host())
        finally:
            relay.close()
    assert done.files[0].held_by == "storage"
    assert relay.seen
    assert all(request.authorization is None for request in relay.seen)
    assert all(PASSWORD not in value for request in relay.seen for value in request.headers.values())


@pytest.fixture(scope="module")
def wsgidav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_environment(tmp_path_factory.mktemp("wsgidav") / "env", "wsgidav", "cheroot")


@pytest.fixture
def webdav(world: Restoring, wsgidav: Path) -> Iterator[str]:
    with webdav_server(wsgidav, world.store.path, world.folder, "reader", PASSWORD) as port:
        yield f"webdav://127.0.0.1:{port}/store"


def test_webdav_is_read_with_a_password_and_refused_without(world: Restoring, webdav: str) -> None:
    error = world.refusal(RemoteUnavailable, dvc_config(webdav), world.host(), remote=webdav)
    assert "refuses to be read without credentials" in error.cause
    host = world.host(REPRO_REMOTE_USER="reader", REPRO_REMOTE_PASSWORD=PASSWORD)
    done = world.restore(dvc_config(webdav), host, world.data, world.directory, remote=webdav)
    assert {file.held_by for file in done.files} == {"storage"}
    world.store.object_path(world.directory.digest).unlink()
    assert world.refusal(MissingFact, dvc_config(webdav), host, world.directory, remote=webdav).fact == "data"


@pytest.mark.full
def test_a_token_of_webdav_goes_as_a_header_to_its_own_origin(world: Restoring, webdav: str) -> None:
    """WsgiDAV knows no tokens: what arrives is looked at on the way to one that lets everybody in."""
    relay = Relay(webdav.replace("webdav", "http", 1))
    world.configure(dvc_config(relay.endpoint.replace("http", "webdav", 1) + "/store", "mine", token=PASSWORD))
    config = dvc_config(relay.endpoint.replace("http", "webdav", 1) + "/store")
    try:
        error = world.refusal(RemoteUnavailable, config, world.host())
    finally:
        relay.close()
    assert "refuses the credentials of" in error.cause
    assert {request.authorization for request in relay.seen} == {f"Bearer {PASSWORD}"}
