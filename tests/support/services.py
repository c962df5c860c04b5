"""The servers of `compose.yaml`, under a project of the tests' own, on free ports; nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.network import read_network_settings

COMPOSE_FILE = Path(__file__).parents[2] / "compose.yaml"
_START_S = 600  # the first build installs MLflow


@dataclass(frozen=True)
class Services:
    """Where the servers answer, and the one pair of keys that S3 takes. `s3_bucket` is there and may be written to.

    `project` is Compose's name for all of it.
    """

    project: str
    mlflow_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str


@contextlib.contextmanager
def running_services(
    compose: list[str], base_image: str, folder: Path, project: str | None = None
) -> Iterator[Services]:
    """Build and start the servers on `base_image`, wait until they are healthy, and take all away at the end."""
    mlflow_port, s3_port = free_ports(2)
    services = Services(
        project=project or f"reproducibility-runner-test-{secrets.token_hex(4)}",
        mlflow_url=f"http://127.0.0.1:{mlflow_port}",
        s3_endpoint=f"http://127.0.0.1:{s3_port}",
        s3_access_key=f"AKIA{secrets.token_hex(8).upper()}",
        s3_secret_key=secrets.token_hex(20),
        s3_bucket="data",
    )
    environment = {
        **os.environ,
        **_build_settings(folder),
        "BASE_IMAGE": base_image,
        "MLFLOW_PORT": str(mlflow_port),
        "S3_PORT": str(s3_port),
        "S3_ACCESS_KEY": services.s3_access_key,
        "S3_SECRET_KEY": services.s3_secret_key,
        "S3_BUCKET": services.s3_bucket,
    }
    command = [*compose, "-f", str(COMPOSE_FILE), "-p", services.project]

    def do(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_START_S,
        )

    try:
        started = do("up", "--build", "--wait", "--wait-timeout", "120")
        assert started.returncode == 0, started.stdout[-4000:] + do("logs").stdout[-4000:]
        yield services
    finally:
        do("down", "--volumes", "--rmi", "local", "--timeout", "2")


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _build_settings(folder: Path) -> dict[str, str]:
    """Return the variables that make the build reach this host's index, as the runner's own build does."""
    network = read_network_settings()
    options = {
        "index-url": network.index_url or "",
        "extra-index-url": " ".join(network.extra_index_urls),
        "find-links": " ".join(network.find_links),
        "trusted-host": " ".join(network.trusted_hosts),
    }
    configuration = folder / "pip.conf"
    lines = [f"{name} = {value}\n" for name, value in options.items() if value]
    configuration.write_text("[global]\n" + "".join(lines))
    authorities = folder / "ca.pem"
    authorities.write_bytes(network.ca_bundle or b"")
    return {
        "PIP_CONFIG_FILE": str(configuration),
        "SSL_CERT_FILE": str(authorities),
        "BUILD_NETWORK": "host" if network.needs_host_network else "default",
        **network.proxies,
    }
