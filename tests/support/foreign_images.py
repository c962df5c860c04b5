"""Images as users make them: a system's own Python with packages in it, under a name of theirs."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker.errors

from runner.engine.archive import folder_files, pack
from runner.engine.docker import DockerEngine, remove_container

SITE = "usr/local/lib/python3.11/dist-packages"


@dataclass(frozen=True)
class ForeignImage:
    """A local image by name and content id."""

    reference: str
    identity: str


@contextmanager
def foreign_image(
    engine: DockerEngine, base: str, folder: Path, *requirements: str, files: Mapping[str, str] | None = None
) -> Iterator[ForeignImage]:
    """Yield an image on `base` with packages for its Python 3.11, and files; it is removed afterwards.

    Its entry point fails, and so does its check of health: a rerun must use neither.
    """
    packages = folder / "packages"
    packages.mkdir(parents=True)
    if requirements:
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(packages)]
        subprocess.run([*command, "--python-version", "3.11", *requirements], check=True)
    added = [*folder_files(packages, SITE), *((path, text.encode()) for path, text in (files or {}).items())]
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    engine.client.create_container(base, ["true"], name=name)
    try:
        engine.client.put_archive(name, "/", pack(added))
        changes = ['ENTRYPOINT ["false"]', "ENV ACME=in-the-image", "USER nobody", "WORKDIR /srv"]
        made = engine.client.commit(name, repository=f"acme/{name}", tag="1", changes=changes)
    finally:
        remove_container(engine.client, name)
    before = _made_for_training(engine)
    try:
        yield ForeignImage(f"acme/{name}:1", str(engine.client.inspect_image(made["Id"])["Id"]))
    finally:
        for tag in _made_for_training(engine) - before:
            engine.client.remove_image(tag, force=True)
        with suppress(docker.errors.ImageNotFound):
            engine.client.remove_image(f"acme/{name}:1", force=True)


def _made_for_training(engine: DockerEngine) -> set[str]:
    images = engine.client.images(filters={"label": "reproducibility-runner=recorded"})
    return {tag for image in images for tag in image.get("RepoTags") or ()}
