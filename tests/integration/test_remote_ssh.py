"""SSH on the real engine and a real OpenSSH server: known servers alone, and keys where they were confirmed to."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact, RemoteUnavailable
from runner.prepare import Prepared
from tests.support.command import CommandLine
from tests.support.file_servers import SSHServer, keygen, ssh_server
from tests.support.projects import RUN_ID, RecordedProject
from tests.support.repositories import dvc_config, fingerprint
from tests.support.restoring import Restoring


class World(Restoring):
    """With a server, and a home whose `.ssh` a test fills."""

    server: SSHServer
    key: Path

    def trust(self, line: str | None = None) -> None:
        """Have the host know a server."""
        (self.home / ".ssh" / "known_hosts").write_text(self.server.known if line is None else line)


@pytest.fixture
def world(
    tmp_path: Path, engine: DockerEngine, shared_images: Prepared, cache_volume: str, servers_image: str
) -> Iterator[World]:
    world = World(tmp_path, engine, shared_images, cache_volume)
    world.key = keygen(world.home / ".ssh" / "id_ed25519")
    keygen(tmp_path / "locked", passphrase="correct horse")
    authorized = tmp_path / "authorized"
    authorized.write_text("".join(path.read_text() for path in (Path(f"{world.key}.pub"), tmp_path / "locked.pub")))
    with ssh_server(servers_image, world.store.path, tmp_path, authorized) as world.server:
        body = world.key.read_text().splitlines()[2]
        world.canaries = [world.server.password, body, "correct horse"]
        world.trust()
        yield world


def test_a_key_of_this_host_reads_files_and_folders_of_a_typed_address_and_changes_nothing(world: World) -> None:
    url = world.server.url()
    before = fingerprint(world.store.path)
    done = world.restore(dvc_config(url), world.host(), world.data, world.directory, remote=url)
    assert [(file.digest, file.held_by) for file in done.files] == [
        (world.data.digest, "storage"),
        (world.directory.digest, "storage"),
    ]
    assert done.remotes_asked[0].endswith(f"with the credentials of {world.key})")
    assert fingerprint(world.store.path) == before


@pytest.mark.full
def test_nobody_is_signed_in_at_a_server_that_only_the_repository_names(world: World) -> None:
    config = dvc_config(world.server.url("ssh.example"))
    error = world.refusal(RemoteUnavailable, config, world.host(), remote="storage")
    assert "ssh needs credentials, and nobody confirmed ssh, host ssh.example:" in error.cause
    assert f"--remote {world.server.url('ssh.example')}" in error.remedy


@pytest.mark.parametrize(
    ("known", "words", "remedy"),
    [
        ("", "is not in known_hosts", "ssh -p "),
        ("another", "has another host key than known_hosts has", "ssh-keygen -R "),
        pytest.param(
            "another-kind", "has another host key than known_hosts has", "ssh-keygen -R ", marks=pytest.mark.full
        ),
    ],
)
def test_a_server_that_is_not_known_or_not_the_same_gets_nothing(
    world: World, known: str, words: str, remedy: str
) -> None:
    if known:
        kind = "rsa" if known == "another-kind" else "ed25519"
        other = keygen(world.folder / "other", kind=kind).with_suffix(".pub").read_text()
        known = f"[127.0.0.1]:{world.server.port} {other}"
    world.trust(known)
    error = world.refusal(RemoteUnavailable, dvc_config("/none"), world.host(), remote=world.server.url())
    assert words in error.cause
    assert remedy in error.remedy
    assert error.exit_code == 5


@pytest.mark.full
def test_an_alias_of_the_users_ssh_configuration_names_host_port_user_and_key(world: World) -> None:
    key = world.key.rename(world.home / ".ssh" / "audit_key")
    (world.home / ".ssh" / "config").write_text(
        f"Host store other\n  HostName 127.0.0.1\n  Port {world.server.port}\n  User reader\n"
        f"  IdentityFile ~/.ssh/audit_key\nHost *\n  User nobody\n"
    )
    done = world.restore(dvc_config("ssh://store/srv/store"), world.host(), remote="ssh://store/srv/store")
    assert done.files[0].held_by == "storage"
    assert f"with the credentials of {key}" in done.remotes_asked[0]


def test_the_agent_signs_for_the_container_and_its_keys_stay_in_it(world: World) -> None:
    world.key.unlink()
    socket = world.folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None
        askpass = world.folder / "askpass"
        askpass.write_text("#!/bin/sh\necho correct horse\n")
        askpass.chmod(0o755)
        variables = {**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": str(askpass)}
        subprocess.run(
            ["ssh-add", str(world.folder / "locked")],
            env={**variables, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
            check=True,
            capture_output=True,
        )
        host = world.host(SSH_AUTH_SOCK=str(socket))
        done = world.restore(dvc_config("/none"), host, world.data, world.directory, remote=world.server.url())
    finally:
        agent.terminate()
        agent.wait()
    assert {file.held_by for file in done.files} == {"given"}
    assert "the agent at SSH_AUTH_SOCK" in done.remotes_asked[-1]


@pytest.mark.full
def test_a_password_or_a_passphrase_of_the_hosts_dvc_configuration_signs_in(world: World) -> None:
    world.key.unlink()
    for options in (
        {"password": world.server.password},
        {"keyfile": str(world.folder / "locked"), "passphrase": "correct horse"},
    ):
        world.configure(dvc_config(world.server.url(), "mine", **options))
        done = world.restore(dvc_config(world.server.url()), world.host())
        assert done.files[0].held_by == "storage"
        world.data = world.store.put(os.urandom(20))


@pytest.mark.full
def test_what_is_refused_is_said_and_whose_keys_they_were(world: World) -> None:
    world.key.unlink()
    stranger = keygen(world.home / ".ssh" / "id_ed25519")
    error = world.refusal(RemoteUnavailable, dvc_config("/none"), world.host(), remote=world.server.url())
    assert f"refuses the credentials of {stranger}, as the user reader" in error.cause
    stranger.unlink()
    error = world.refusal(RemoteUnavailable, dvc_config("/none"), world.host(), remote=world.server.url())
    assert "this host has no key for 127.0.0.1" in error.cause


def test_what_the_server_lacks_is_missing_and_a_gone_server_is_not(world: World) -> None:
    world.store.object_path(world.data.digest).unlink()
    error = world.refusal(MissingFact, dvc_config("/none"), world.host(), remote=world.server.url())
    assert error.fact == "data"
    gone = f"ssh://reader@127.0.0.1:{world.server.port - 1}/srv/store"
    error = world.refusal(RemoteUnavailable, dvc_config("/none"), world.host(), remote=gone)
    assert "did not answer as it should" in error.cause


def test_a_run_is_reproduced_from_a_server_and_no_key_is_in_what_is_left_or_shown(
    tmp_path: Path, shared_images: Prepared, servers_image: str
) -> None:
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author", values=(1.5, float(int.from_bytes(os.urandom(2), "big"))))
    key = keygen(tmp_path / "home" / ".ssh" / "id_ed25519")
    shell = CommandLine(tmp_path / "here", tracker=project.tracker, HOME=str(tmp_path / "home"))
    shown: list[str] = []
    ended = threading.Event()

    def look() -> None:
        """See what the engine tells of our containers while they run: their settings, and their command lines."""
        while not ended.is_set():
            for name in _docker("ps", "-q", "--filter", "label=reproducibility-runner.purpose=restore").split():
                shown.extend((_docker("inspect", name), _docker("top", name, "-o", "pid,args")))
            time.sleep(0.05)

    with ssh_server(servers_image, project.store.path, tmp_path, Path(f"{key}.pub")) as server:
        project.commit_training(files={".dvc/config": dvc_config(server.url())})
        project.record()
        (key.parent / "known_hosts").write_text(server.known)
        refused = shell.run("reproduce", RUN_ID)
        assert refused.code == 3, "an address of this host that only the repository names is not asked"
        looking = threading.Thread(target=look)
        looking.start()
        said = shell.run("reproduce", RUN_ID, "--remote", server.url(), "--json")
        ended.set()
        looking.join()
    assert (said.code, said.document["verdict"]) == (0, "identical"), said
    assert "inside/serve.py" in "".join(shown)
    left = [refused.out, refused.err, said.out, said.err, *shown]
    for place in (tmp_path / "here", tmp_path / ".here-tmp", tmp_path / ".here-cache"):
        left += [path.read_text(errors="replace") for path in place.rglob("*") if path.is_file()]
    for line in key.read_text().splitlines()[1:-1]:
        assert not [text for text in left if line in text]


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr
