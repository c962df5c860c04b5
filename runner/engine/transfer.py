"""Images as one stream, out of an engine and into one: `docker save` and `docker load` by the API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from runner.engine.docker import DockerEngine
from runner.engine.faults import api_fault, engine_faults
from runner.engine.find import open_client

_CHUNK = 1 << 20
_TIMEOUT_S = 900  # without a byte: the engine may put an archive together before it sends any of it


def save_images(engine: DockerEngine, references: Sequence[str]) -> Iterator[bytes]:
    """Yield an archive of images with their names; layers that they share are in it once."""
    with engine_faults("saving images"):
        client = open_client(engine.reached, timeout_s=_TIMEOUT_S, version=engine.client.api_version)
        with contextlib.closing(client):
            # docker-py's `get_image` takes a single name, and several archives hold shared layers several times.
            answer = client._get(client._url("/images/get"), params={"names": list(references)}, stream=True)
            yield from client._stream_raw_result(answer, _CHUNK, False)


def load_images(engine: DockerEngine, archive: Iterator[bytes]) -> None:
    """Load the images of an archive, with their names. Raises EngineUnavailable, DiskFull."""
    with engine_faults("loading images"):
        client = open_client(engine.reached, timeout_s=_TIMEOUT_S, version=engine.client.api_version)
        with contextlib.closing(client):
            for event in client.load_image(archive):
                if "error" in event:
                    raise api_fault("loading images", str(event["error"]))
