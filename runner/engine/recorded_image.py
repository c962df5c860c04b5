"""The image that a run trained in: found or pulled by its digest, and made one that a rerun can train in.

What is added are files alone: the capture, a `.pth` for each Python, a user. Nothing of the image runs meanwhile but a
script that tells what it has, as a training would run: without a network, and with no more rights.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import ipaddress
import secrets
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reproducibility_runner.install import PTH, lay_out, pth_line
from runner.engine import labels
from runner.engine.archive import folder_files, pack
from runner.engine.base_image import pull
from runner.engine.docker import DockerEngine, remove_container
from runner.engine.faults import engine_faults
from runner.engine.images import library_files
from runner.engine.interface import ContainerRequest, Engine
from runner.errors import DiskFull, ImageUnavailable, MissingFact, RunnerError
from runner.inside import layout
from runner.inside.image_probe import SCRIPT, SHELL, Probe, read_probe
from runner.progress import NoProgress, Progress
from runner.redact import redact
from runner.schema.plan import DEFAULT_PYTHON, RecordedImage

REPOSITORY = "reproducibility-runner/recorded"
_RECIPE = "1"  # raise it when such images are made in another way
_PASSWD = f"trainer:x:{layout.TRAINER_UID}:{layout.TRAINER_GID}::{layout.HOME_TARGET}:/bin/bash\n"
_LONGEST_OUTPUT = 4 << 20
_LONGEST_PASSWD = 1 << 20


def ensure_training_image(
    engine: DockerEngine, image: RecordedImage, *, offline: bool = False, progress: Progress | None = None
) -> tuple[str, str]:
    """Return (reference, content id) of the image to train in, made of the recorded one if it is not there.

    Raises MissingFact where the recorded image is not here and cannot be pulled, is another one, or cannot be used.
    """
    progress = progress or NoProgress()
    identity = _found(engine, image)
    if identity is None:
        identity = _pulled(engine, image, offline=offline, progress=progress)
    reference = f"{REPOSITORY}:{_tag(identity)}"
    digest = engine.image_digest(reference)
    if digest is not None:
        return reference, digest
    progress.line(f"preparing the recorded image {image.reference} for a rerun")
    probe = probe_image(engine, identity)
    if not probe.pythons or not probe.bash:
        lacking = "no Python that any user may run" if not probe.pythons else "no bash, by which commands are run"
        raise _unusable(image, f"has {lacking}")
    return reference, _commit(engine, identity, reference, probe)


def training_image_there(engine: DockerEngine, image: RecordedImage) -> tuple[str, str | None]:
    """Return what `ensure_training_image` would give, as far as it is there; makes and starts nothing."""
    identity = _found(engine, image)
    if identity is None:
        return image.reference, None
    reference = f"{REPOSITORY}:{_tag(identity)}"
    return reference, engine.image_digest(reference)


def probe_image(engine: Engine, reference: str) -> Probe:
    """Return what an image has, as its own Pythons say."""
    mark = secrets.token_hex(16)
    pieces: list[bytes] = []

    def keep(data: bytes) -> None:
        if sum(map(len, pieces)) < _LONGEST_OUTPUT:
            pieces.append(data)

    engine.run(
        ContainerRequest(
            image=reference,
            argv=("sh", "-c", SHELL, "sh", SCRIPT, mark),
            purpose="probe",
            environment={"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108  # in the container
            working_directory="/",
            user=f"{layout.TRAINER_UID}:{layout.TRAINER_GID}",
            hardened=True,
            tmpfs={"/tmp": "size=64m,mode=1777"},  # noqa: S108  # in the container
            pids=256,
            timeout_s=120,
        ),
        stdout=keep,
        stderr=lambda _: None,
    )
    return read_probe(b"".join(pieces).decode(errors="replace"), mark)


def _found(engine: DockerEngine, image: RecordedImage) -> str | None:
    """Return the content id of the recorded image, None where the engine has it not.

    Raises MissingFact where it has another one under the name, and the record's digest cannot be asked for.
    """
    other = None
    for name in dict.fromkeys((image.digest, image.reference)):
        described = None if name is None else _inspect(engine, name)
        if described is None:
            continue
        if image.digest is None or image.digest in _digests(described):
            return str(described["Id"])
        other = str(described["Id"])
    if other is not None and "@" not in image.reference:
        raise MissingFact(
            f"the image {image.reference} is here as {other[:19]}…, and the run trained in {image.digest or ''}",
            _remedy(image),
            fact="environment",
            looked_in=(image.source, "images of this engine"),
        )
    return None


def _pulled(engine: DockerEngine, image: RecordedImage, *, offline: bool, progress: Progress) -> str:
    why = "--offline forbids to pull it" if offline else _unsafe(image)
    if why is None and image.reference == image.digest:
        why = "an id alone names no place to pull it from"
    if why is None:
        progress.line(f"pulling the recorded image {image.reference}")
        try:
            pull(engine.client, image.reference, progress)
        except DiskFull:
            raise
        except RunnerError as error:  # whatever the engine says of a registry: that it is gone, or not to be reached
            why = redact(error.cause)
    if why is None:
        identity = _found(engine, image)
        if identity is not None:
            return identity
        why = "what was pulled under its name has another digest"
    raise MissingFact(
        f"the image {image.reference} that the run trained in ({image.source}) cannot be had: {why}",
        _remedy(image),
        fact="environment",
        looked_in=(image.source, "images of this engine", *(() if offline else ("registry",))),
    )


def _unsafe(image: RecordedImage) -> str | None:
    """Return why an image that the audited party names is not pulled: its registry is a place within this network."""
    place = image.reference.partition("/")[0]
    host = place.partition(":")[0]
    if image.by_auditor or "/" not in image.reference or not ("." in place or ":" in place or host == "localhost"):
        return None
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return f"its registry {place} is named by an address; docker pull it first, if you trust it"
    if host == "localhost" or "." not in host:
        return f"its registry {place} was one on its author's machine; docker pull it first, if you trust it"
    return None


def _inspect(engine: DockerEngine, name: str) -> dict[str, Any] | None:
    import docker.errors

    with engine_faults(f"looking up the image {name}"):
        try:
            return dict(engine.client.inspect_image(name))
        except docker.errors.NotFound:
            return None


def _digests(described: dict[str, Any]) -> set[str]:
    return {str(described["Id"]), *(entry.partition("@")[2] for entry in described.get("RepoDigests") or ())}


def _tag(identity: str) -> str:
    digest = hashlib.sha256(f"{_RECIPE} {identity}".encode())
    for path, content in library_files():
        if path.startswith("lib/reproducibility_runner/"):
            digest.update(path.encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def _commit(engine: DockerEngine, identity: str, reference: str, probe: Probe) -> str:
    """Put our files into a container that is never started, and keep it as an image."""
    repository, _, tag = reference.rpartition(":")
    name = f"{labels.session_volume(engine.session_id)}-recorded-{secrets.token_hex(4)}"
    with engine_faults(f"making {reference}"):
        engine.client.create_container(
            identity,
            ["true"],
            name=name,
            entrypoint=[],
            labels=labels.session_labels(engine.session_id, "recorded"),
            # The image's own check would run beside the training.
            healthcheck={"test": ["NONE"]},
            use_config_proxy=False,
        )
        try:
            engine.client.put_archive(name, "/", pack(_files(probe, _passwd(engine, name))))
            engine.client.commit(
                name, repository=repository, tag=tag, changes=[f"LABEL {labels.LABEL}={labels.RECORDED}"]
            )
        finally:
            remove_container(engine.client, name)
    digest = engine.image_digest(reference)
    if digest is None:
        raise ImageUnavailable(f"the engine did not keep {reference}", "runner doctor")
    return digest


def _files(probe: Probe, passwd: bytes) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        lay_out(folder)
        yield from folder_files(Path(folder), layout.CAPTURE_PACKAGE.lstrip("/"))
    for python in probe.pythons:
        yield f"{python.site_packages.lstrip('/')}/{PTH}", pth_line(layout.CAPTURE_PACKAGE).encode()
    yield "etc/passwd", passwd
    # Podman gives what it mounts to the container's user, unless the image has a folder there.
    yield f"{layout.SANDBOX_TARGET.lstrip('/')}/.reproducibility-runner", b""


def _passwd(engine: DockerEngine, container: str) -> bytes:
    """Return the image's users with the training's: some libraries look up who runs them."""
    import docker.errors

    text = b""
    with contextlib.suppress(docker.errors.NotFound, tarfile.TarError, KeyError):
        chunks, _ = engine.client.get_archive(container, "/etc/passwd")
        data = b""
        for chunk in chunks:
            data += chunk
            if len(data) > _LONGEST_PASSWD:
                break
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            file = archive.extractfile("passwd")
            text = b"" if file is None else file.read(_LONGEST_PASSWD)
    known = f":x:{layout.TRAINER_UID}:".encode() in text
    return text if known else text + (b"" if not text or text.endswith(b"\n") else b"\n") + _PASSWD.encode()


def _unusable(image: RecordedImage, why: str) -> MissingFact:
    return MissingFact(
        f"the image {image.reference} that the run trained in ({image.source}) {why}",
        _remedy(image),
        fact="environment",
        looked_in=(image.source,),
    )


def _remedy(image: RecordedImage) -> str:
    return (
        f"runner reproduce RUN --base-image python:{DEFAULT_PYTHON}-slim    installs what repository and run list; "
        f"or docker pull {image.reference} where it can be had"
    )
