"""The image with Python that everything else stands on: named, found, pulled by digest, or bootstrapped from Debian."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from runner.engine import labels
from runner.engine.docker import DockerEngine, import_image
from runner.engine.faults import engine_faults
from runner.engine.find import open_client
from runner.engine.install import install_packages
from runner.engine.interface import ContainerRequest
from runner.errors import DiskFull, ImageUnavailable, InvalidConfiguration, MissingFact, RunnerError
from runner.progress import NoProgress, Progress
from runner.redact import redact

DEFAULT_PYTHON = "3.11"
REPOSITORY = "reproducibility-runner/base"
SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie"}
"""Debian's suites by the Python that they have."""

OLDEST_PYTHON = (3, 9)
"""What DVC needs, which restores data on the same image."""

PACKAGES = ("python3", "python3-venv", "git", "ca-certificates")
_REGISTRY_RELEASES = ("bookworm", "trixie", "bullseye", "buster")
_REGISTRY_TIMEOUT_S = 10
_CHUNK = 1 << 20
# Nobody reads manuals in a container.
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")
_PROBE = """
import shutil, sys
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
print("%d.%d" % sys.version_info[:2], has_venv, bool(shutil.which("git") or shutil.which("apt-get")))
"""


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """A Python base image. `digest` is the registry's where it came from one, else the engine's content id.

    `origin` is `--base-image`, `registry` or `mmdebstrap SUITE`; `python` the minor version, as `3.11`. `made` tells
    that it was not there before.
    """

    reference: str
    digest: str
    origin: str
    python: str
    made: bool = False


def ensure_base_image(
    engine: DockerEngine,
    *,
    python: str | None = DEFAULT_PYTHON,
    base_image: str | None = None,
    progress: Progress | None = None,
    install: bool = False,
) -> BaseImage:
    """Return a base image with that Python, made if it is not there; `python` of None takes what `base_image` has.

    `install` allows to install mmdebstrap. Raises ImageUnavailable, InvalidConfiguration, or MissingFact (`python`)
    where no image with that version can be had.
    """
    progress = progress or NoProgress()
    if base_image is not None:
        return _named(engine, base_image, python, progress)
    python = python or DEFAULT_PYTHON
    if not re.fullmatch(r"3\.\d{1,2}", python):
        raise InvalidConfiguration(f"{python} is no minor version of Python", "--python 3.11")
    _check_age(python)
    found = existing_base_image(engine, python)
    if found is not None:
        return found
    pulled = _pulled(engine, python, progress)
    if pulled is not None:
        return pulled
    if python not in SUITES:
        raise _nowhere(python)
    return _bootstrapped(engine, python, progress, install=install)


def check_obtainable(engine: DockerEngine, python: str, *, offline: bool = False) -> None:
    """Raise MissingFact (`python`) where `ensure_base_image` could have no image; makes and starts nothing."""
    _check_age(python)
    if python in SUITES or existing_base_image(engine, python) is not None:
        return
    if offline or _registry_digest(engine, _registry_image(), python) is None:
        raise _nowhere(python)


def _nowhere(python: str) -> MissingFact:
    return MissingFact(
        f"no base image with Python {python} can be had: no registry is reachable and no Debian suite has it",
        f"runner reproduce RUN --base-image REF    with Python {python}; or --python {', '.join(SUITES)}",
        fact="python",
        looked_in=("images of this engine", "registry", "Debian " + ", ".join(SUITES.values())),
    )


def _check_age(python: str) -> None:
    if tuple(int(part) for part in python.split(".")) < OLDEST_PYTHON:
        raise MissingFact(
            f"no base image with Python {python} can be used: DVC, which restores data on it, needs 3.9 or newer",
            f"another Python: --python {' or '.join(SUITES)}",
            fact="python",
        )


def existing_base_image(engine: DockerEngine, python: str) -> BaseImage | None:
    """Return the base image that an earlier call made, None if it is not there."""
    import docker.errors

    reference = f"{REPOSITORY}:py{python}"
    with engine_faults(f"looking up {reference}"):
        try:
            image = engine.client.inspect_image(reference)
        except docker.errors.NotFound:
            return None
    origin = (image["Config"].get("Labels") or {}).get(labels.ORIGIN, "registry")
    digests = [entry.partition("@")[2] for entry in image.get("RepoDigests") or ()]
    digest = digests[0] if origin == "registry" and digests else str(image["Id"])
    return BaseImage(reference=reference, digest=digest, origin=origin, python=python)


def local_pythons(engine: DockerEngine) -> tuple[str, ...]:
    """Return the Pythons for which an earlier call made a base image."""
    with engine_faults("listing base images"):
        images = engine.client.images(name=REPOSITORY)
    names = {labels.plain_name(name) for image in images for name in image.get("RepoTags") or ()}
    return tuple(sorted(name.partition(":py")[2] for name in names if name.startswith(f"{REPOSITORY}:py")))


def pull(client: Any, reference: str, progress: Progress) -> None:
    """Pull an image, with progress. Raises ImageUnavailable."""
    with engine_faults(f"pulling {reference}", image=reference):
        for event in client.pull(reference, stream=True, decode=True):
            if "error" in event:
                raise ImageUnavailable(f"{reference} cannot be pulled: {redact(str(event['error']))}", "runner doctor")
            detail = event.get("progressDetail") or {}
            progress.update(f"{reference}: {event.get('status', '')}", detail.get("current"), detail.get("total"))


def _named(engine: DockerEngine, reference: str, python: str | None, progress: Progress) -> BaseImage:
    made = False
    if engine.image_digest(reference) is None:
        progress.line(f"pulling the base image {reference}")
        try:
            pull(engine.client, reference, progress)
        except DiskFull:
            raise
        except RunnerError as error:
            raise ImageUnavailable(
                f"the base image {reference} is not there and cannot be pulled: {error.cause}",
                "docker images, then --base-image REF",
            ) from error
        made = True
    out: list[bytes] = []
    outcome = engine.run(
        ContainerRequest(image=reference, argv=("python3", "-I", "-c", _PROBE), purpose="check", timeout_s=60),
        stdout=out.append,
        stderr=lambda _: None,
    )
    answer = b"".join(out).decode(errors="replace").split()
    if outcome.exit_code != 0 or len(answer) != 3:
        raise ImageUnavailable(f"the base image {reference} has no python3 that runs", "--base-image python:3.11-slim")
    version, has_venv, has_git = answer
    _check_age(version)
    lacking = [name for name, there in (("venv", has_venv), ("git", has_git)) if there != "True"]
    if lacking:
        raise ImageUnavailable(
            f"the base image {reference} lacks {' and '.join(lacking)}", "--base-image python:3.11-slim"
        )
    if python is not None and version != python:
        raise MissingFact(
            f"the base image {reference} has Python {version}, but {python} is needed",
            f"--base-image REF, an image with Python {python}; or --python {version}",
            fact="python",
            looked_in=(reference,),
        )
    with engine_faults(f"looking up {reference}"):
        image = engine.client.inspect_image(reference)
    digests = [entry.partition("@")[2] for entry in image.get("RepoDigests") or ()]
    return BaseImage(
        reference=reference,
        digest=digests[0] if digests else str(image["Id"]),
        origin="--base-image",
        python=version,
        made=made,
    )


def _pulled(engine: DockerEngine, python: str, progress: Progress) -> BaseImage | None:
    """Pull `python:X.Y-slim-*` by its digest; None where no registry is reachable or has it."""
    source = _registry_image()
    found = _registry_digest(engine, source, python)
    if found is None:
        return None
    digest, release = found
    reference = f"{REPOSITORY}:py{python}"
    progress.line(f"pulling the base image {source}:{python}-slim-{release} ({digest[:19]})")
    try:
        pull(engine.client, f"{source}@{digest}", progress)
    except ImageUnavailable as error:
        progress.line(f"it cannot be pulled ({error.cause}); bootstrapping from Debian instead")
        return None
    with engine_faults("naming the base image"):
        engine.client.tag(f"{source}@{digest}", REPOSITORY, f"py{python}")
    return BaseImage(reference=reference, digest=digest, origin="registry", python=python, made=True)


def _registry_image() -> str:
    return os.environ.get("REPRO_PYTHON_IMAGE", "python")  # a mirror's name of the same image


def _registry_digest(engine: DockerEngine, source: str, python: str) -> tuple[str, str] | None:
    import docker.errors
    import requests

    client = open_client(engine.reached, timeout_s=_REGISTRY_TIMEOUT_S, version=engine.client.api_version)
    with contextlib.closing(client):
        for release in _REGISTRY_RELEASES:
            try:
                said = client.inspect_distribution(f"{source}:{python}-slim-{release}")
                return str(said["Descriptor"]["digest"]), release
            except docker.errors.NotFound:
                continue
            except docker.errors.APIError as error:
                if "manifest unknown" not in str(error.explanation).lower():
                    return None
            except (docker.errors.DockerException, requests.RequestException, OSError, KeyError):
                return None
    return None


def _bootstrapped(engine: DockerEngine, python: str, progress: Progress, *, install: bool) -> BaseImage:
    suite = SUITES[python]
    if shutil.which("mmdebstrap") is None:
        if not install:
            raise ImageUnavailable(
                f"no registry is reachable and mmdebstrap, which makes a base image from Debian {suite}, is not there",
                "runner setup --install-engine, or `apt-get install mmdebstrap`, or --base-image REF",
            )
        install_packages(("mmdebstrap", "debian-archive-keyring"), progress)
    progress.line(f"making a base image with Python {python} from Debian {suite}")
    reference = f"{REPOSITORY}:py{python}"
    origin = f"mmdebstrap {suite}"
    tags = {labels.LABEL: labels.BASE, labels.ORIGIN: origin, labels.PYTHON: python}
    changes = [f'LABEL {name}="{value}"' for name, value in tags.items()] + ['CMD ["bash"]', "ENV LANG=C.UTF-8"]
    digest = import_image(engine, reference, _bootstrap(suite, progress), changes)
    return BaseImage(reference=reference, digest=digest, origin=origin, python=python, made=True)


def bootstrap_command(suite: str, mirror: str | None) -> list[str]:
    """Return the command that writes a root file system as a tar archive to its standard output."""
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--format=tar"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    return [*command, suite, "-", *([mirror] if mirror else [])]


def debian_mirror(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the mirror that REPRO_DEBIAN_MIRROR names or this Debian host uses, None for the usual one."""
    if named := environ.get("REPRO_DEBIAN_MIRROR"):
        return named
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    mirrors = {uri.rstrip("/") for uri in listed if uri.startswith(("http://", "https://"))}
    # Debian's own hosts are mmdebstrap's default, which also knows where the security updates are.
    usual = {uri for uri in mirrors if (urlsplit(uri).hostname or "").endswith(".debian.org")}
    return None if usual or not mirrors else sorted(mirrors)[0]


def _bootstrap(suite: str, progress: Progress) -> Iterator[bytes]:
    """Yield the archive. Raises ImageUnavailable before its end where mmdebstrap fails, so that no half is imported."""
    process = subprocess.Popen(
        bootstrap_command(suite, debian_mirror()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both are pipes")
    tail: deque[str] = deque(maxlen=8)
    reader = threading.Thread(target=_follow, args=(process.stderr, tail, progress), daemon=True)
    reader.start()
    try:
        while chunk := process.stdout.read(_CHUNK):
            yield chunk
        status = process.wait()
        reader.join(timeout=5)
        if status != 0:
            text = redact(" | ".join(line for line in tail if not line.startswith("I:")) or "no reason given")
            raise ImageUnavailable(
                f"mmdebstrap could not make a base image from Debian {suite}: {text[-600:]}",
                "check the network and its proxy (`runner doctor`), or --base-image REF",
            )
    finally:
        if process.poll() is None:
            process.terminate()  # it removes its folder then
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def _follow(stream: IO[bytes], tail: deque[str], progress: Progress) -> None:
    with stream:
        for raw in stream:
            line = raw.decode(errors="replace").strip()
            if line:
                tail.append(line)
            if line.startswith("I: "):
                progress.update(line[3:])
