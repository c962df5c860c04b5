"""Real servers that show a folder: OpenSSH and nginx out of an image of ours with Debian's packages, WsgiDAV of PyPI.

Each is started for one test on a free port of this host, and gone after it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.services import free_ports

PACKAGES = ("nginx-light", "openssh-server")
_START_S = 30.0


def keygen(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair by ssh-keygen and return the private key's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True)
    return path


@dataclass(frozen=True)
class SSHServer:
    """An OpenSSH server that shows a folder as `/srv/store` by SFTP; its user's password is `password`."""

    port: int
    host_key: Path
    user: str
    password: str

    def url(self, host: str = "127.0.0.1") -> str:
        """Its address."""
        return f"ssh://{self.user}@{host}:{self.port}/srv/store"

    @property
    def known(self) -> str:
        """Its line of known_hosts."""
        return f"[127.0.0.1]:{self.port} {Path(f'{self.host_key}.pub').read_text()}"


@contextlib.contextmanager
def ssh_server(image: str, store: Path, folder: Path, authorized: Path) -> Iterator[SSHServer]:
    """Start OpenSSH's own server in a container on this host's network, for the user `reader`."""
    (port,) = free_ports(1)
    key = keygen(folder / f"host-{port}")
    server = SSHServer(port=port, host_key=key, user="reader", password=secrets.token_hex(12))
    script = (
        "useradd -m reader; echo reader:$PASSWORD | chpasswd; mkdir -p /run/sshd /etc/keys; "
        "cp /keys/host /etc/keys/host; cp /keys/authorized /etc/keys/authorized; chmod 600 /etc/keys/host; "
        "exec /usr/sbin/sshd -D -e -f /dev/null -p $PORT -h /etc/keys/host -o ListenAddress=127.0.0.1 "
        "-o AuthorizedKeysFile=/etc/keys/authorized -o StrictModes=no -o UsePAM=no "
        "-o PasswordAuthentication=yes -o Subsystem='sftp internal-sftp' -o MaxAuthTries=20"
    )
    mounts = [f"{store}:/srv/store:ro", f"{key}:/keys/host:ro", f"{authorized}:/keys/authorized:ro"]
    variables = {"PASSWORD": server.password, "PORT": str(port)}
    with container(image, ["bash", "-c", script], mounts, variables, port):
        yield server


@contextlib.contextmanager
def nginx(image: str, folder: Path, server_lines: str, *, tls: Path | None = None) -> Iterator[int]:
    """Start nginx with the lines of one `server`, which see `folder` as /srv; its port is returned.

    `tls` is a certificate with its key.
    """
    (port,) = free_ports(1)
    listen = f"listen 127.0.0.1:{port}" + (
        " ssl; ssl_certificate /tls.pem; ssl_certificate_key /tls.pem" if tls else ""
    )
    text = f"events {{}}\nhttp {{ access_log off; server {{ {listen}; root /srv/store;\n{server_lines}\n}} }}\n"
    configuration = folder / f"nginx-{port}.conf"
    configuration.write_text(text)
    mounts = [f"{folder}:/srv:ro", f"{configuration}:/nginx.conf:ro", *([f"{tls}:/tls.pem:ro"] if tls else [])]
    command = ["nginx", "-c", "/nginx.conf", "-g", "daemon off; user root;"]
    with container(image, command, mounts, {}, port):
        yield port


@contextlib.contextmanager
def container(
    image: str, command: Sequence[str], mounts: Sequence[str], variables: dict[str, str], port: int
) -> Iterator[str]:
    """Run a server on this host's network until the block ends; it listens once the block begins."""
    name = f"reproducibility-runner-test-{secrets.token_hex(6)}"
    options = [part for mount in mounts for part in ("-v", mount)]
    options += [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
    subprocess.run(
        ["docker", "run", "-d", "--rm", "--name", name, "--network", "host", "--user", "0", *options, image, *command],
        check=True,
        capture_output=True,
    )
    try:
        wait_for(port, lambda: _logs(name))
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


@contextlib.contextmanager
def process(command: Sequence[str], port: int, log: Path, **variables: str) -> Iterator[None]:
    """Run a server of this host until the block ends; it listens once the block begins."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **variables})
    try:
        wait_for(port, log.read_text)
        yield
    finally:
        started.terminate()
        started.wait(10)


def wait_for(port: int, said: Callable[[], str]) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on {port}: {said()[-2000:]}")


def _logs(name: str) -> str:
    done = subprocess.run(["docker", "logs", name], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def python_environment(folder: Path, *packages: str) -> Path:
    """Return the `bin` of a new environment with packages of PyPI."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *packages], check=True)
    return folder / "bin"


@contextlib.contextmanager
def webdav_server(binaries: Path, store: Path, folder: Path, user: str, password: str) -> Iterator[int]:
    """Start WsgiDAV for one user; its port is returned."""
    (port,) = free_ports(1)
    configuration = folder / f"wsgidav-{port}.yaml"
    configuration.write_text(
        f"host: 127.0.0.1\nport: {port}\nprovider_mapping:\n  /store:\n    root: {store}\n    readonly: true\n"
        "http_authenticator:\n  accept_basic: true\n  accept_digest: false\n  default_to_digest: false\n"
        f"simple_dc:\n  user_mapping:\n    '*':\n      {user}:\n        password: {password}\n"
    )
    command = [str(binaries / "wsgidav"), "--config", str(configuration)]
    with process(command, port, folder / f"wsgidav-{port}.log"):
        yield port
