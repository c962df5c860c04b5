"""Azure and Google Cloud by DVC's own packages, against emulators: Azurite of npm, gcp-storage-emulator of PyPI.

None of it was run against the services themselves; docs/reference/remotes.md says so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact, RemoteUnavailable
from runner.prepare import Prepared
from tests.support.file_servers import process, python_environment
from tests.support.repositories import dvc_config
from tests.support.restoring import Restoring
from tests.support.services import free_ports

ACCOUNT = "auditaccount"
KEY = base64.b64encode(hashlib.sha512(b"a key of the tests").digest()).decode()


@pytest.fixture
def world(tmp_path: Path, engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Restoring:
    world = Restoring(tmp_path, engine, shared_images, cache_volume)
    world.canaries = [KEY]
    return world


class Azurite:
    """Microsoft's emulator, which checks every signature."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"

    def connection(self, key: str = KEY) -> str:
        """A connection string as the portal shows them."""
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={self.endpoint};"

    def put(self, path: str, content: bytes | None, **headers: str) -> None:
        """Create a container, or a blob in one, as Azure's REST interface has it."""
        query = "?restype=container" if content is None else ""
        all_headers = {
            "x-ms-date": formatdate(usegmt=True),
            "x-ms-version": "2021-08-06",
            **({} if content is None else {"x-ms-blob-type": "BlockBlob"}),
            **headers,
        }
        length = str(len(content)) if content else ""
        kind = "application/octet-stream"
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(all_headers.items()))
        resource = f"/{ACCOUNT}/{ACCOUNT}/{path}" + ("\nrestype:container" if content is None else "")
        text = f"PUT\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{canonical}{resource}"
        signed = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
        all_headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signed}", "Content-Type": kind}
        request = urllib.request.Request(
            f"{self.endpoint}/{path}{query}", data=content or b"", headers=all_headers, method="PUT"
        )
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    folder = tmp_path_factory.mktemp("azurite")
    npm = shutil.which("npm")
    assert npm is not None, "Azurite is of npm"
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "azurite@3"], cwd=folder, check=True)
    (port,) = free_ports(1)
    command = [str(folder / "node_modules" / ".bin" / "azurite-blob"), "--blobHost", "127.0.0.1"]
    command += ["--blobPort", str(port), "--location", str(folder / "data"), "--silent", "--skipApiVersionCheck"]
    command += ["--disableTelemetry"]
    with process(command, port, folder / "log", AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}"):
        yield Azurite(port)


def upload(azurite: Azurite, world: Restoring, **headers: str) -> str:
    """Put the store of a test into a container of its own and return the remote's address."""
    name = f"data-{secrets.token_hex(4)}"
    azurite.put(name, None, **headers)
    for path in world.store.path.rglob("*"):
        if path.is_file():
            azurite.put(f"{name}/dvc/{path.relative_to(world.store.path)}", path.read_bytes())
    return f"azure://{name}/dvc"


def test_azure_is_read_with_a_connection_string_or_the_key_of_the_account_alone(
    world: Restoring, azurite: Azurite
) -> None:
    config = dvc_config(upload(azurite, world))
    host = world.host(AZURE_STORAGE_CONNECTION_STRING=azurite.connection())
    done = world.restore(config, host, world.data, world.directory, remote="storage")
    assert {file.held_by for file in done.files} == {"storage"}
    assert done.remotes_asked[0].endswith(
        f"at {azurite.endpoint} (--remote storage, with the credentials of AZURE_STORAGE_CONNECTION_STRING)"
    )
    error = world.refusal(RemoteUnavailable, config, host)
    assert f"nobody confirmed azure, host {azurite.endpoint}, bucket data-" in error.cause
    assert "--remote storage" in error.remedy
    world.canaries.append(other := base64.b64encode(b"another key of the tests").decode())
    wrong = world.host(AZURE_STORAGE_CONNECTION_STRING=azurite.connection(other))
    error = world.refusal(RemoteUnavailable, config, wrong, remote="storage")
    assert "refuses the credentials of AZURE_STORAGE_CONNECTION_STRING" in error.cause


@pytest.mark.full
def test_azure_is_asked_in_the_open_where_it_is_public_and_what_is_gone_is_missing(
    world: Restoring, azurite: Azurite
) -> None:
    public = upload(azurite, world, **{"x-ms-blob-public-access": "container"})
    host = world.host(AZURE_STORAGE_CONNECTION_STRING=azurite.connection())
    done = world.restore(dvc_config(public), host)
    assert done.remotes_asked[0].endswith("without credentials)")
    lost = world.store.put(secrets.token_bytes(9))
    assert world.refusal(MissingFact, dvc_config(public), host, lost, remote="storage").fact == "data"
    gone = world.refusal(MissingFact, dvc_config("azure://never-was/dvc"), host, lost, remote="storage")
    assert "the bucket never-was of azure://never-was/dvc does not exist" in gone.cause


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gcs")
    binaries = python_environment(folder / "env", "gcp-storage-emulator")
    (port,) = free_ports(1)
    command = [
        str(binaries / "gcp-storage-emulator"),
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--in-memory",
    ]
    with process(command, port, folder / "log"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.full
def test_google_is_read_where_the_host_names_the_endpoint(world: Restoring, google: str) -> None:
    """The emulator takes any key: that it is sent, and to whom, is seen by the unit tests and not here."""
    name = f"data-{secrets.token_hex(4)}"
    _post(f"{google}/storage/v1/b?project=test", json.dumps({"name": name}).encode())
    for path in world.store.path.rglob("*"):
        if path.is_file():
            key = f"dvc/{path.relative_to(world.store.path)}".replace("/", "%2F")
            address = f"{google}/upload/storage/v1/b/{name}/o?uploadType=media&name={key}"
            _post(address, path.read_bytes(), "application/octet-stream")
    config, host = dvc_config(f"gs://{name}/dvc"), world.host(STORAGE_EMULATOR_HOST=google)
    done = world.restore(config, host, world.data, world.directory)
    assert {file.held_by for file in done.files} == {"storage"}
    assert done.remotes_asked[0].startswith(f"gs://{name}/dvc at {google} (default remote at commit ")
    assert done.remotes_asked[0].endswith("without credentials)")
    lost = world.store.put(secrets.token_bytes(9))
    assert world.refusal(MissingFact, config, host, lost).fact == "data"
    gone = world.refusal(MissingFact, dvc_config("gs://never-was/dvc"), host, lost)
    assert "the bucket never-was of gs://never-was/dvc does not exist" in gone.cause


def _post(url: str, content: bytes, kind: str = "application/json") -> None:
    request = urllib.request.Request(url, data=content, headers={"Content-Type": kind}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
