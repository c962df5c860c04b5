"""Debian's packages in an image layer of its own: what an auditor asked for by name, and the compilers for phase 2b.

The layer lies on the environment image, beneath our own code, so that a new version of ours makes none anew. It is the
root of a container in which apt ran, and not a stage of the Dockerfile: apt must be told this host's proxies,
certificates and credentials, and without BuildKit nothing but a tmpfs keeps them out of the layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runner.inside.system_packages as script
from runner.engine import labels
from runner.engine.apt import AptSettings, read_apt_settings
from runner.engine.docker import DockerEngine
from runner.engine.faults import engine_faults
from runner.engine.interface import ContainerRequest
from runner.errors import DiskFull, ImageUnavailable, MissingFact, RunnerError
from runner.progress import Progress
from runner.redact import redact

REPOSITORY = "reproducibility-runner/packages"
COMPILERS = ("gcc", "g++", "make", "pkg-config", "python3-dev", "libffi-dev", "libssl-dev", "zlib1g-dev")
"""What most source distributions with an extension need; what some need beside is for `--system-packages`."""

_VERSION = 1  # of how layers are made: raise it when that changes
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Layer:
    """An image with packages on `parent`; `installed` maps what it brought, and what was asked for, to versions."""

    reference: str
    parent: str
    installed: Mapping[str, str]


def layer_reference(parent: str, names: Iterable[str]) -> str:
    """Return the tag of a layer over the image that it lies on and the names in it."""
    text = json.dumps([_VERSION, parent, sorted(set(names))])
    return f"{REPOSITORY}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def existing_layer(engine: DockerEngine, parent: str, names: Iterable[str]) -> Layer | None:
    """Return the layer that an earlier call made, None if it is not there."""
    reference = layer_reference(parent, names)
    tags = _labels(engine, reference)
    if tags is None:
        return None
    pairs = (pair.partition("=") for pair in tags.get(labels.INSTALLED, "").split())
    return Layer(reference, parent, {name: version for name, _, version in pairs})


def ensure_layer(
    engine: DockerEngine,
    parent: str,
    names: Iterable[str],
    *,
    progress: Progress,
    settings: AptSettings | None = None,
) -> Layer:
    """Return the layer with these packages on an image, made if it is not there. COMPILERS need not all be installed.

    Raises MissingFact where there is no such package, ImageUnavailable where none can be fetched, DiskFull.
    """
    names = tuple(sorted(set(names)))
    found = existing_layer(engine, parent, names)
    if found is not None:
        return found
    compilers = names == tuple(sorted(COMPILERS))
    what = "compilers and headers" if compilers else f"the system packages {', '.join(names)}"
    progress.line(f"making an image with {what}, once")
    settings = settings or read_apt_settings()
    answer = _Answer(progress)
    reference = layer_reference(parent, names)

    def changes(_: object) -> list[str] | None:
        if answer.result().get("problem", "none was given") is not None:
            return None
        return _changes(parent, answer.result()["installed"])

    outcome = engine.run_into_image(
        _request(parent, names, settings, compilers=compilers), reference, changes, stdout=answer.out, stderr=answer.err
    )
    result = answer.result()
    if result.get("problem") is not None:
        raise _why(result["problem"], str(result["suite"]), names, what)
    if outcome.exit_code != 0 or "installed" not in result:
        raise ImageUnavailable(f"an image with {what} could not be made: {answer.end()}", "runner doctor")
    return Layer(reference, parent, result["installed"])


def layers_on(engine: DockerEngine, parents: Iterable[str]) -> list[str]:
    """Return the layers that lie on these images, and those that lie on them in turn."""
    with engine_faults("listing images with packages"):
        images = engine.client.images(filters={"label": f"{labels.LABEL}={labels.PACKAGES}"})
    rows = [
        (labels.plain_name(name), str((image.get("Labels") or {}).get(labels.PARENT, "")))
        for image in images
        for name in image.get("RepoTags") or ()
        if name != "<none>:<none>"
    ]
    known, found = set(parents), []
    while more := [name for name, parent in rows if parent in known and name not in known]:
        known |= set(more)
        found += more
    return found


def _labels(engine: DockerEngine, reference: str) -> dict[str, str] | None:
    import docker.errors

    with engine_faults(f"looking up the image {reference}"):
        try:
            return engine.client.inspect_image(reference)["Config"].get("Labels") or {}
        except docker.errors.NotFound:
            return None


def _request(parent: str, names: tuple[str, ...], settings: AptSettings, *, compilers: bool) -> ContainerRequest:
    payload = {
        "names": list(names),
        "compilers": compilers,
        "configuration": settings.configuration(),
        "ca": None if settings.ca_bundle is None else settings.ca_bundle.decode("ascii", errors="replace"),
        "credentials": settings.credentials,
        "mirror": settings.mirror,
        "variables": dict(settings.variables),
    }
    return ContainerRequest(
        image=parent,
        argv=("python3", "-I", "-c", Path(script.__file__).read_text(encoding="utf-8")),
        purpose="packages",
        stdin=(json.dumps(payload).encode(),),
        user="0",
        network="host" if settings.needs_host_network else "bridge",
        tmpfs=dict(script.TMPFS),
        timeout_s=_TIMEOUT_S,
    )


def _changes(parent: str, installed: Mapping[str, str]) -> list[str]:
    # Without quotation marks: what docker and podman make of those within a label is not the same.
    text = " ".join(f"{name}={version}" for name, version in sorted(installed.items()))
    tags = {
        labels.LABEL: labels.PACKAGES,
        labels.PARENT: parent,
        labels.INSTALLED: text,
        labels.OWNER: "",  # the container's own would stay
        labels.PURPOSE: "",
    }
    return [*(f'LABEL {name}="{value}"' for name, value in tags.items()), 'CMD ["bash"]', "USER root"]


def _why(problem: Mapping[str, Any], suite: str, names: tuple[str, ...], what: str) -> RunnerError:
    said = redact(str(problem["text"]))
    kind = problem["kind"]
    if kind == "disk full":
        return DiskFull(f"there is no space for an image with {what}: {said}", "runner setup --prune")
    if kind == "unreachable":
        return ImageUnavailable(
            f"Debian's packages cannot be fetched for {what}: {said}",
            "runner doctor, then set the proxy, or REPRO_DEBIAN_MIRROR=URL of a mirror",
        )
    name, nearest = str(problem["name"]), tuple(map(str, problem["nearest"]))
    release = f"Debian {suite}" if suite else "the base image"
    instead = {"no such package": nearest[:1], "no such version": tuple(f"{name}={each}" for each in nearest[:1])}
    if kind in instead:
        others = [(*instead[kind], "NAME")[0] if each.partition("=")[0] == name else each for each in names]
        what = f"package {name}" if kind == "no such package" else "such version of " + name
        remedy = f"runner reproduce RUN --system-packages {','.join(others)}"
        return MissingFact(f"{release} has no {what}", remedy, fact="environment", nearest=nearest)
    cause = f"{what} cannot be installed on the base image: {said}"
    return MissingFact(cause, "runner reproduce RUN --base-image REF    an image that has them", fact="environment")


class _Answer:
    """What the container says: apt's lines as progress, one JSON document as the result."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._out: list[bytes] = []
        self._err = b""

    def out(self, data: bytes) -> None:
        self._out.append(data)

    def err(self, data: bytes) -> None:
        self._err = (self._err + data)[-4096:]
        lines = self._err.decode(errors="replace").splitlines()
        if lines:
            self._progress.update(redact(lines[-1][:100]))

    def end(self) -> str:
        """Return the last of what was said."""
        return redact(self._err.decode(errors="replace").strip()[-600:])

    def result(self) -> dict[str, Any]:
        """Return the document, empty where there is none."""
        try:
            document = json.loads(b"".join(self._out))
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}
