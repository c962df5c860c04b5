"""Which container engine is meant: as the docker CLI decides it, then podman's sockets.

DOCKER_HOST wins over DOCKER_CONTEXT, which wins over the current context of `config.json`; then come the default
socket and podman's. docker-py knows nothing of contexts, so their files are read here. An engine that was named and
does not answer is an error: never silently another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.engine.faults import reason
from runner.errors import EngineUnavailable, InvalidConfiguration

DEFAULT_SOCKET = "/var/run/docker.sock"
INSTALL = "runner setup --install-engine"
_PROBE_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class EngineAddress:
    """Where an engine listens, and who named it.

    `url` is `unix:///PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST[:PORT][/SOCKET]`. The three files are those of
    TLS; `verify` is false only where the docker CLI would not check the server either.
    """

    url: str
    origin: str
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    verify: bool = True

    @property
    def over_ssh(self) -> bool:
        """Tell whether a tunnel is needed."""
        return self.url.startswith("ssh://")


def find_engine(environ: Mapping[str, str] = os.environ) -> EngineAddress:
    """Return the engine that is meant and answers. Raises EngineUnavailable, naming it and the remedy.

    An engine over ssh is not tried here, since that needs a tunnel: `connect` does.
    """
    named = named_engine(environ)
    if named is not None:
        if not named.over_ssh and (why := unanswered(named)) is not None:
            raise not_answering(named, why)
        return named
    failures = []
    for address in default_engines(environ):
        why = unanswered(address)
        if why is None:
            return address
        failures.append((address, why))
    raise none_answers(failures)


def named_engine(environ: Mapping[str, str]) -> EngineAddress | None:
    """Return the engine that DOCKER_HOST or a context names, None where none is named.

    Raises EngineUnavailable for a context that is not there, InvalidConfiguration for files that cannot be read.
    """
    folder = _configuration_folder(environ)
    if host := environ.get("DOCKER_HOST"):
        verify = bool(environ.get("DOCKER_TLS_VERIFY"))
        tls = verify or bool(environ.get("DOCKER_TLS"))
        certificates = Path(environ.get("DOCKER_CERT_PATH") or folder)
        return _address(host, "DOCKER_HOST", certificates if tls else None, verify=verify)
    name = environ.get("DOCKER_CONTEXT") or _read_json(folder / "config.json").get("currentContext")
    if not name or name == "default":
        return None
    return _context(folder, str(name))


def default_engines(environ: Mapping[str, str]) -> tuple[EngineAddress, ...]:
    """Return the sockets that are tried where no engine is named, in order."""
    sockets = [(DEFAULT_SOCKET, "default socket")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        sockets.append((f"{runtime}/podman/podman.sock", "podman's socket of this user"))
    sockets.append(("/run/podman/podman.sock", "podman's socket"))
    return tuple(EngineAddress(url=f"unix://{path}", origin=origin) for path, origin in sockets)


def unanswered(address: EngineAddress) -> str | None:
    """Return why an engine does not answer, None if it does."""
    import docker.errors
    import requests
    import urllib3

    if address.url.startswith("unix://") and not Path(address.url.removeprefix("unix://")).exists():
        return "there is no such socket"
    try:
        client = open_client(address, timeout_s=_PROBE_TIMEOUT_S)
        client.close()
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return reason(error)
    return None


def open_client(address: EngineAddress, *, timeout_s: float, version: str = "auto") -> Any:
    """Return docker-py's low-level client. With the version `auto` the engine is asked for it. Raises docker-py's."""
    import docker
    import docker.tls

    class Client(docker.APIClient):  # type: ignore[misc]  # docker-py has no types
        def merge_environment_settings(
            self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any
        ) -> dict[str, Any]:
            # requests would prefer REQUESTS_CA_BUNDLE to the certificate that the engine's address comes with.
            merged: dict[str, Any] = super().merge_environment_settings(
                url, proxies, stream, self.verify if verify is None else verify, cert
            )
            return merged

    tls: Any = False
    if address.tls:
        pair = None
        if address.certificate_file and address.key_file:
            pair = (address.certificate_file, address.key_file)
        tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=address.ca_file, verify=address.verify)
    return Client(base_url=address.url, tls=tls, timeout=timeout_s, version=version)


def not_answering(address: EngineAddress, why: str) -> EngineUnavailable:
    """Return the error for an engine that was named or found, and does not answer."""
    return EngineUnavailable(
        f"the container engine at {address.url} ({address.origin}) does not answer: {why}", _remedy(address, why)
    )


def none_answers(failures: list[tuple[EngineAddress, str]]) -> EngineUnavailable:
    """Return the error for no engine at any of the usual sockets."""
    tried = "; ".join(f"{address.url.removeprefix('unix://')}: {why}" for address, why in failures)
    denied = [address for address, why in failures if "ermission denied" in why]
    remedy = _remedy(denied[0], "Permission denied") if denied else INSTALL
    return EngineUnavailable(f"no container engine answers ({tried})", remedy)


def _remedy(address: EngineAddress, why: str) -> str:
    if address.origin == "DOCKER_HOST":
        return "start that engine, or `unset DOCKER_HOST` to use this machine's"
    if address.origin.startswith("context "):
        return "start that engine, or `docker context use default` to use this machine's"
    if "ermission denied" in why:
        return 'sudo usermod -aG docker "$USER" && newgrp docker'
    return INSTALL


def _configuration_folder(environ: Mapping[str, str]) -> Path:
    if named := environ.get("DOCKER_CONFIG"):
        return Path(named)
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".docker"


def _context(folder: Path, name: str) -> EngineAddress:
    # The docker CLI names both folders by the SHA-256 of the context's name.
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key / "meta.json"
    document = _read_json(meta)
    endpoint = document.get("Endpoints", {}).get("docker", {})
    host = endpoint.get("Host") if isinstance(endpoint, dict) else None
    if not host:
        raise EngineUnavailable(
            f"the docker context {name} is not there (looked for {meta})",
            "docker context ls, then DOCKER_CONTEXT=NAME or `docker context use NAME`",
        )
    certificates = folder / "contexts" / "tls" / key / "docker"
    return _address(
        str(host),
        f"context {name}",
        certificates if certificates.is_dir() else None,
        verify=not endpoint.get("SkipTLSVerify", False),
    )


def _address(host: str, origin: str, certificates: Path | None, *, verify: bool) -> EngineAddress:
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host  # as the docker CLI reads HOST:PORT
    if scheme not in {"unix", "tcp", "http", "https", "ssh"} or not rest:
        raise InvalidConfiguration(
            f"{origin} names an engine at {host}, an address of an unknown kind",
            "use unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST",
        )
    url = f"{scheme}://{rest}"
    if scheme in {"http", "https"}:
        url = f"tcp://{rest}"
    if scheme in {"unix", "ssh"} or (certificates is None and scheme != "https"):
        return EngineAddress(url=url, origin=origin)

    def file(name: str) -> str | None:
        path = certificates / name if certificates is not None else None
        return str(path) if path is not None and path.is_file() else None

    return EngineAddress(
        url=url,
        origin=origin,
        tls=True,
        ca_file=file("ca.pem"),
        certificate_file=file("cert.pem"),
        key_file=file("key.pem"),
        verify=verify,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(f"{path} cannot be read: {error}", f"mend or remove {path}") from error
    return document if isinstance(document, dict) else {}
