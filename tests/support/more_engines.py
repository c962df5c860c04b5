"""Engines beside the one of this machine: started for tests, with roots of their own, and taken away after them.

    with Engines(prepared) as engines:
        environment = engines.environment("podman")   # variables that name it, as a user would set them

`elsewhere` is a dockerd in a mount namespace of its own, in which the folders of users do not exist; `tls` is the same
one by TCP with client certificates, `context` the same as a docker context; `podman` is podman's socket. `cut-off` is
a dockerd of a machine without a network: nothing is there but loopback, no bridge, and no image.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

NAMES = ("docker", "elsewhere", "tls", "context", "podman")
"""All ways to an engine that are tested; `docker` is whatever this machine has."""

# All else at the top is where users keep things, and where tests do: empty for the daemon.
_SYSTEM = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr", "var"}
)
_HIDE = 'for folder in {folders}; do [ -d "$folder" ] && mount -t tmpfs none "$folder"; done; exec "$@"'
_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
lock_type = "file"
"""
_PATIENCE_S = 60.0


class Engines:
    """Starts each engine when it is first asked for, with the images that this machine's engine has."""

    def __init__(self, images: Sequence[str]) -> None:
        self._images = tuple(images)
        self._name = f"reproducibility-runner-test-{secrets.token_hex(4)}"
        # Outside of what is hidden; the path of a socket must be short.
        self._run, self._data = Path("/run") / self._name, Path("/var/lib") / self._name
        self._started: dict[str, dict[str, str]] = {"docker": {}}
        self._stack = ExitStack()

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._data.exists():
            subprocess.run(["umount", "-l", str(self._data)], check=True)
            self._data.rmdir()
        shutil.rmtree(self._run, ignore_errors=True)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables that name an engine, once it answers."""
        if name not in self._started:
            if name == "podman":
                self._start_podman()
            elif name == "cut-off":
                self._start_cut_off()
            else:
                self._start_dockerd()
        return self._started[name]

    def _start_dockerd(self) -> None:
        _need("dockerd", "unshare", "openssl", "docker", package="docker.io")
        self._make_folders()
        certificates = _make_certificates(self._run / "tls")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        unix = f"unix://{self._run}/docker.sock"
        folders = shlex.join(str(path) for path in Path("/").iterdir() if path.is_dir() and path.name not in _SYSTEM)
        argv = ["unshare", "-m", "sh", "-c", _HIDE.format(folders=folders), "sh", "dockerd"]
        argv += ["--data-root", f"{self._data}/docker", "--exec-root", f"{self._run}/exec"]
        argv += ["--pidfile", f"{self._run}/docker.pid", "--host", unix, "--host", f"tcp://127.0.0.1:{port}"]
        argv += ["--tlsverify", f"--tlscacert={certificates}/ca.pem"]
        argv += [f"--tlscert={certificates}/server-cert.pem", f"--tlskey={certificates}/server-key.pem"]
        # The bridge is the other daemon's, which also looks after the firewall; addresses are from the far end of it.
        argv += ["--bridge", "docker0", "--fixed-cidr", "172.17.240.0/20", "--iptables=false", "--ip-masq=false"]
        self._start(argv, {}, unix)
        self._started["elsewhere"] = {"DOCKER_HOST": unix}
        self._started["tls"] = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(certificates),
        }
        self._started["context"] = {
            "DOCKER_CONFIG": str(_write_context(self._run / "config", f"tcp://localhost:{port}", certificates))
        }

    def _start_cut_off(self) -> None:
        _need("dockerd", "unshare", "docker", package="docker.io")
        self._make_folders()
        unix = f"unix://{self._run}/cut-off.sock"
        argv = ["unshare", "-m", "-n", "dockerd", "--data-root", f"{self._data}/cut-off"]
        argv += ["--exec-root", f"{self._run}/cut-off", "--pidfile", f"{self._run}/cut-off.pid"]
        argv += ["--bridge", "none", "--iptables=false", "--ip-masq=false", "--host", unix]
        self._start(argv, {}, unix, images=())
        self._started["cut-off"] = {"DOCKER_HOST": unix}

    def _start_podman(self) -> None:
        _need("podman", "runc", "docker", package="podman catatonit containernetworking-plugins runc")
        self._make_folders()
        configuration = self._run / "containers.conf"
        configuration.write_text(_CONTAINERS_CONF)
        unix = f"unix://{self._run}/podman.sock"
        argv = ["podman", "--root", f"{self._data}/podman", "--runroot", f"{self._run}/podman"]
        argv += ["--tmpdir", f"{self._run}/libpod"]
        argv += ["system", "service", "--time=0", unix]
        self._start(argv, {"CONTAINERS_CONF": str(configuration)}, unix)
        self._started["podman"] = {"DOCKER_HOST": unix}

    def _make_folders(self) -> None:
        if self._data.exists():
            return
        self._run.mkdir()
        self._data.mkdir()
        # In memory: to load images and to take all away again is then a matter of a second.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12g", "none", str(self._data)], check=True)

    def _start(
        self, argv: list[str], variables: dict[str, str], unix: str, images: Sequence[str] | None = None
    ) -> None:
        log = (self._run / f"{argv[-1].rpartition('/')[2]}.log").open("wb")
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **variables},
            start_new_session=True,
        )
        self._stack.callback(_stop, process, self._data)
        end = time.monotonic() + _PATIENCE_S
        while _docker(unix, "version").returncode != 0:
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{argv} does not answer: {Path(log.name).read_text()[-2000:]}")
            time.sleep(0.2)
        images = self._images if images is None else images
        if not images:
            return
        # Making them anew takes minutes; that they are the same is seen by their ids.
        saving = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
        loaded = _docker(unix, "load", stdin=saving.stdout)
        assert (saving.wait(), loaded.returncode) == (0, 0), loaded.stderr


def _docker(host: str, *arguments: str, stdin: object = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    command = ["docker", "-H", host, *arguments]
    return subprocess.run(command, stdin=stdin, capture_output=True, check=False)  # type: ignore[call-overload,no-any-return]


def _need(*programs: str, package: str) -> None:
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking:
        pytest.fail(f"this test needs {', '.join(lacking)}: apt-get install {package}")


def _stop(process: subprocess.Popen[bytes], data: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # What a daemon leaves mounted beneath its root.
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted((path for path in mounted if path.startswith(f"{data}/")), reverse=True):
        subprocess.run(["umount", "-l", path], check=False)


def _make_certificates(folder: Path) -> Path:
    """Write a CA and what it signed for the daemon and for a client, named as the docker CLI names them."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def sign(name: str, extensions: str) -> None:
        (folder / "ext.cnf").write_text(extensions)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", "k", "-out", "r")
        openssl(
            *("x509", "-req", "-in", "r", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2"),
            *("-out", "c", "-extfile", "ext.cnf"),
        )

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test-ca", "-keyout",
            "ca-key.pem", "-out", "ca.pem")  # fmt: skip
    sign("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    (folder / "k").rename(folder / "server-key.pem")
    (folder / "c").rename(folder / "server-cert.pem")
    sign("client", "extendedKeyUsage=clientAuth\n")
    (folder / "k").rename(folder / "key.pem")
    (folder / "c").rename(folder / "cert.pem")
    return folder


def _write_context(folder: Path, host: str, certificates: Path) -> Path:
    """Write what `docker context create far --docker host=...,ca=...,cert=...,key=...` and `use far` write."""
    key = hashlib.sha256(b"far").hexdigest()
    meta, tls = folder / "contexts" / "meta" / key, folder / "contexts" / "tls" / key / "docker"
    meta.mkdir(parents=True)
    tls.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    for name in ("ca.pem", "cert.pem", "key.pem"):
        shutil.copy(certificates / name, tls)
    (folder / "config.json").write_text(json.dumps({"currentContext": "far"}))
    return folder
