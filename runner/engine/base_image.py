"""The image with Python that everything else stands on: named, found, pulled by digest, or bootstrapped from Debian."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runner.engine import labels
from runner.engine.apt import read_apt_settings
from runner.engine.docker import DockerEngine, import_image
from runner.engine.faults import engine_faults
from runner.engine.find import open_client
from runner.engine.install import install_packages
from runner.engine.interface import ContainerRequest
from runner.errors import DiskFull, ImageUnavailable, InvalidConfiguration, MissingFact, RunnerError
from runner.progress import NoProgress, Progress
from runner.redact import redact
from runner.schema.plan import GIVEN_BASE

DEFAULT_PYTHON = "3.11"
REPOSITORY = "reproducibility-runner/base"
SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
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
    others: Sequence[str] = tuple(SUITES),
    progress: Progress | None = None,
    install: bool = False,
    offline: bool = False,
) -> BaseImage:
    """Return a base image with that Python, made if it is not there; `python` of None takes what `base_image` has.

    `others` may be offered in its place, the best first. `install` allows to install mmdebstrap, `offline` forbids to
    pull or make any. Raises ImageUnavailable, InvalidConfiguration, or MissingFact (`python`) where no image with that
    version can be had.
    """
    progress = progress or NoProgress()
    if base_image is not None:
        return _named(engine, base_image, python, progress, offline=offline)
    python = python or DEFAULT_PYTHON
    if not re.fullmatch(r"3\.\d{1,2}", python):
        raise InvalidConfiguration(f"{python} is no minor version of Python", "--python 3.11")
    _check_age(python, obtainable(engine, others))
    found = existing_base_image(engine, python)
    if found is not None:
        return found
    if offline:
        raise not_made_offline(f"the base image with Python {python}", f"--python {python}")
    pulled = _pulled(engine, python, progress)
    if isinstance(pulled, BaseImage):
        return pulled
    if python not in SUITES:
        raise _nowhere(python, pulled, obtainable(engine, others))
    return _bootstrapped(engine, python, progress, others=obtainable(engine, others), install=install)


def obtainable(engine: DockerEngine, pythons: Iterable[str]) -> tuple[str, ...]:
    """Return those of some minor versions that an image is there for or can be made for; asks no registry."""
    return tuple(python for python in pythons if python in SUITES or existing_base_image(engine, python) is not None)


def check_obtainable(
    engine: DockerEngine, python: str, *, others: Sequence[str] = tuple(SUITES), offline: bool = False
) -> None:
    """Raise MissingFact (`python`) where `ensure_base_image` could have no image; makes and starts nothing."""
    _check_age(python, obtainable(engine, others))
    if python in SUITES or existing_base_image(engine, python) is not None:
        return
    found = "no registry was asked" if offline else _registry_digest(engine, _registry_image(), python)
    if isinstance(found, str):
        raise _nowhere(python, found, obtainable(engine, others))


def _nowhere(python: str, why: str, others: Sequence[str]) -> MissingFact:
    return MissingFact(
        f"Python {python} is needed, and no image provides it here: {why}, and of Debian's releases "
        f"{', '.join(f'{suite} has {minor}' for minor, suite in SUITES.items())}",
        _another(python, others),
        fact="python",
        looked_in=("images of this engine", "registry", "Debian " + ", ".join(SUITES.values())),
    )


def not_made_offline(what: str, option: str = "") -> ImageUnavailable:
    """Return the error for an image that is not there where nothing may be fetched to make it."""
    there = f"runner setup {option}".strip()
    return ImageUnavailable(
        f"{what} is not there, and --offline forbids to fetch or make it",
        f"runner setup --load FILE    with what `{there}` and then `runner setup --save FILE` gave elsewhere",
    )


def _check_age(python: str, others: Sequence[str] = ()) -> None:
    if tuple(int(part) for part in python.split(".")) < OLDEST_PYTHON:
        raise MissingFact(
            f"Python {python} is needed, and no image with it can be used: DVC, which restores data on it, needs 3.9",
            _another(None, others),
            fact="python",
        )


def _another(python: str | None, others: Sequence[str]) -> str:
    """Return the remedy for a Python that cannot be had: what can, or an image of the auditor's with it."""
    own = "" if python is None else f"runner reproduce RUN --base-image REF    an image with Python {python}"
    if not others:
        return (
            own or "runner reproduce RUN --base-image REF    an image with another Python, if the run's packages allow"
        )
    first, *rest = others
    more = f" ({' or '.join(rest)} may do too)" if rest else ""
    instead = f"runner reproduce RUN --python {first}    another than the run's, which lowers what is verified{more}"
    return f"{instead}; or {own}" if own else instead


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


def told_python(engine: DockerEngine, reference: str) -> str | None:
    """Return the minor version that an image says it has: by our label, or the variable of Python's own images."""
    import docker.errors

    with engine_faults(f"looking up {reference}"):
        try:
            config = engine.client.inspect_image(reference)["Config"]
        except docker.errors.NotFound:
            return None
    variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    told = (config.get("Labels") or {}).get(labels.PYTHON) or variables.get("PYTHON_VERSION", "")
    match = re.match(r"3\.\d{1,2}", told)
    return match[0] if match else None


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


def _named(engine: DockerEngine, reference: str, python: str | None, progress: Progress, *, offline: bool) -> BaseImage:
    made = False
    if engine.image_digest(reference) is None:
        if offline:
            raise not_made_offline(f"the base image {reference}", f"--base-image {reference}")
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
    found = _look_into(engine, reference)
    if found is None:
        raise InvalidConfiguration(
            f"the base image {reference} has no python3 that runs", "--base-image python:3.11-slim, or another with one"
        )
    version, has_venv, has_git = found
    _check_age(version)
    lacking = [name for name, there in (("venv", has_venv), ("git", has_git)) if there != "True"]
    if lacking:
        raise InvalidConfiguration(
            f"the base image {reference} lacks {' and '.join(lacking)}",
            "--base-image python:3.11-slim, or another with Python's venv, and git or apt-get",
        )
    check_python(reference, version, python)
    digest = named_digest(engine, reference)
    if digest is None:
        raise ImageUnavailable(f"the base image {reference} is not there", "docker images")
    return BaseImage(reference=reference, digest=digest, origin=GIVEN_BASE, python=version, made=made)


def check_python(reference: str, version: str, python: str | None) -> None:
    """Raise MissingFact where an image has another Python than is needed; None needs none in particular."""
    if python is not None and version != python:
        raise MissingFact(
            f"the base image {reference} has Python {version}, but {python} is needed",
            _another(python, (version,)),
            fact="python",
            looked_in=(reference,),
        )


def named_digest(engine: DockerEngine, reference: str) -> str | None:
    """Return an image's digest in its registry, else its content id; None where it is not there."""
    import docker.errors

    with engine_faults(f"looking up {reference}"):
        try:
            image = engine.client.inspect_image(reference)
        except docker.errors.NotFound:
            return None
    digests = [entry.partition("@")[2] for entry in image.get("RepoDigests") or ()]
    return digests[0] if digests else str(image["Id"])


def _look_into(engine: DockerEngine, reference: str) -> tuple[str, str, str] | None:
    """Return the minor version of an image's Python, and whether it has venv and git, by running it; None without."""
    out: list[bytes] = []
    outcome = engine.run(
        ContainerRequest(image=reference, argv=("python3", "-I", "-c", _PROBE), purpose="check", timeout_s=60),
        stdout=out.append,
        stderr=lambda _: None,
    )
    answer = b"".join(out).decode(errors="replace").split()
    return (answer[0], answer[1], answer[2]) if outcome.exit_code == 0 and len(answer) == 3 else None


def _pulled(engine: DockerEngine, python: str, progress: Progress) -> BaseImage | str:
    """Pull `python:X.Y-slim-*` by its digest; return why not where no registry is reachable or has it."""
    source = _registry_image()
    found = _registry_digest(engine, source, python)
    if isinstance(found, str):
        return found
    digest, release = found
    reference = f"{REPOSITORY}:py{python}"
    progress.line(f"pulling the base image {source}:{python}-slim-{release} ({digest[:19]})")
    try:
        pull(engine.client, f"{source}@{digest}", progress)
    except ImageUnavailable as error:
        progress.line(f"it cannot be pulled: {error.cause}")
        return f"{source}:{python}-slim-{release} cannot be pulled"
    with engine_faults("naming the base image"):
        engine.client.tag(f"{source}@{digest}", REPOSITORY, f"py{python}")
    return BaseImage(reference=reference, digest=digest, origin="registry", python=python, made=True)


def _registry_image() -> str:
    return os.environ.get("REPRO_PYTHON_IMAGE", "python")  # a mirror's name of the same image


def _registry_digest(engine: DockerEngine, source: str, python: str) -> tuple[str, str] | str:
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
                    return "no registry of images is reachable"
            except (docker.errors.DockerException, requests.RequestException, OSError, KeyError):
                return "no registry of images is reachable"
    return f"the registry has no {source}:{python}-slim"


def _bootstrapped(
    engine: DockerEngine, python: str, progress: Progress, *, others: Sequence[str], install: bool
) -> BaseImage:
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
    found = _look_into(engine, reference)
    if found is None or found[0] != python:
        # Debian's testing changes its Python some day.
        engine.client.remove_image(reference)
        has = "no Python" if found is None else f"Python {found[0]}"
        raise MissingFact(
            f"Python {python} is needed, and Debian {suite} has {has} now",
            _another(python, [other for other in others if other != python]),
            fact="python",
        )
    return BaseImage(reference=reference, digest=digest, origin=origin, python=python, made=True)


def bootstrap_command(suite: str, mirror: str | None, options: Path | None = None) -> list[str]:
    """Return the command that writes a root file system as a tar archive to its standard output.

    `options` is a file of apt's options that say how this host reaches packages; they stay out of the archive.
    """
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--format=tar"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    if options is not None:
        command += [f"--aptopt={options}", '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"']
    if mirror is not None and "@" in mirror:
        command.append(r"""--customize-hook=sed -Ei 's#(https?://)[^/@ ]+@#\1#' "$1/etc/apt/sources.list" """.rstrip())
    return [*command, suite, "-", *([mirror] if mirror else [])]


def _bootstrap(suite: str, progress: Progress) -> Iterator[bytes]:
    """Yield the archive. Raises ImageUnavailable before its end where mmdebstrap fails, so that no half is imported."""
    settings = read_apt_settings()
    with tempfile.TemporaryDirectory() as folder:
        options = None
        if settings.options:
            options = Path(folder) / "apt.conf"
            options.write_text(settings.configuration())
        yield from _output(bootstrap_command(suite, settings.mirror, options), suite, progress)


def _output(command: list[str], suite: str, progress: Progress) -> Iterator[bytes]:
    process = subprocess.Popen(
        command,
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
