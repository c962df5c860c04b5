"""`runner doctor`: what reruns need of this machine, a line each, with what to type where something is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.network import NetworkSettings, read_network_settings
from runner.redact import redact

if TYPE_CHECKING:
    from runner.engine.docker import DockerEngine

ENOUGH_DISK_BYTES = 5 << 30
_OLDEST_ENGINE = (20, 10)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what was looked at, whether it will do, what was found, and what to type.

    A remedy beside `ok` is advice.
    """

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0 where all will do, else 5."""
    return 0 if all(check.ok for check in checks) else 5


def diagnose(
    *,
    check_tracker: Callable[[], str] | None = None,
    python: str = "3.11",
    environ: Mapping[str, str] = os.environ,
) -> tuple[Check, ...]:
    """Return all checks. Nothing is made or changed but for a short-lived container where the engine runs elsewhere.

    `check_tracker` reaches the tracker that the caller means and returns what it found in a phrase; it raises our
    errors. None leaves that line out.
    """
    checks = [*engine_checks(environ, python)]
    if check_tracker is not None:
        checks.append(_tracker(check_tracker))
    checks.append(_git())
    network = read_network_settings(environ)
    return (*checks, certificate_check(network), proxy_check(network))


def engine_checks(environ: Mapping[str, str], python: str) -> tuple[Check, ...]:
    """Return what concerns the engine; a single failed line where none answers."""
    from runner.engine.docker import connect
    from runner.engine.find import find_engine

    try:
        engine = connect(find_engine(environ))
    except RunnerError as error:
        return (Check(name="engine", ok=False, detail=error.cause, remedy=error.remedy),)
    try:
        said: dict[str, Any] = engine.client.info()
        return (
            _engine(engine),
            storage_check(engine.info.storage_driver),
            cgroups_check(engine.info.cgroup_version, said),
            rootless_check(rootless=engine.info.rootless),
            _disk(engine, str(said.get("DockerRootDir") or "/")),
            _images(engine, python),
        )
    except RunnerError as error:
        return (Check(name="engine", ok=False, detail=error.cause, remedy=error.remedy),)
    finally:
        engine.close()


def storage_check(driver: str) -> Check:
    """Return the line on the storage driver."""
    if driver == "vfs":
        detail = "vfs: works, but copies the whole image for each container"
        return Check(name="storage", ok=True, detail=detail, remedy="configure overlay2, or install fuse-overlayfs")
    return Check(name="storage", ok=True, detail=driver)


def cgroups_check(version: str, said: Mapping[str, Any]) -> Check:
    """Return the line on limits; `said` is the engine's own description."""
    limits = {"memory": "MemoryLimit", "processes": "PidsLimit", "CPU set": "CPUSet"}
    lacking = [name for name, key in limits.items() if said.get(key) is False]
    detail = f"version {version}"
    if not lacking:
        return Check(name="cgroups", ok=True, detail=f"{detail}; memory, processes and CPU set can be limited")
    remedy = "boot with systemd.unified_cgroup_hierarchy=1, or use an engine that runs as root"
    return Check(
        name="cgroups", ok=False, detail=f"{detail}; this engine cannot limit: {', '.join(lacking)}", remedy=remedy
    )


def rootless_check(*, rootless: bool) -> Check:
    """Return the line on whose rights the engine has; both will do."""
    return Check(name="rootless", ok=True, detail="yes" if rootless else "no: the engine runs as root")


def disk_check(free_bytes: int, where: str) -> Check:
    """Return the line on free space."""
    detail = f"{free_bytes / (1 << 30):.1f} GiB free at {where}"
    enough = free_bytes >= ENOUGH_DISK_BYTES
    return Check(name="disk", ok=enough, detail=detail, remedy=None if enough else "runner setup --prune --all")


def certificate_check(network: NetworkSettings) -> Check:
    """Return the line on the CA bundle that containers get."""
    refused = [note for note in network.notes if "CERT" in note or "CA_BUNDLE" in note or "pip's cert" in note]
    if network.ca_source is not None:
        return Check(name="certificates", ok=True, detail=f"{network.ca_source}, handed to containers that fetch")
    if refused:
        detail, remedy = "; ".join(refused), "export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
        return Check(name="certificates", ok=False, detail=detail, remedy=remedy)
    return Check(name="certificates", ok=True, detail="none set; containers use those of their image")


def proxy_check(network: NetworkSettings) -> Check:
    """Return the line on proxies and indexes."""
    parts = [f"{name}={redact(value)}" for name, value in sorted(network.proxies.items())] or ["no proxy"]
    parts.append(f"index {redact(network.index_url)}" if network.index_url else "default package index")
    if network.needs_host_network:
        parts.append("on this host's loopback: containers that fetch use the host's network")
    parts += [note for note in network.notes if "disk" in note]
    return Check(name="network", ok=True, detail="; ".join(parts))


def _engine(engine: DockerEngine) -> Check:
    info = engine.info
    detail = f"{info.name} {info.version} ({info.address}, {engine.address.origin})"
    number = tuple(int(part) for part in info.version.split("+")[0].split(".")[:2] if part.isdigit())
    if info.name == "docker" and number and number < _OLDEST_ENGINE:
        return Check(name="engine", ok=False, detail=f"{detail}: too old", remedy="install Docker 20.10 or newer")
    return Check(name="engine", ok=True, detail=detail)


def _disk(engine: DockerEngine, root: str) -> Check:
    image = next((ref for ref in _known_images(engine) if engine.image_digest(ref) is not None), None)
    if image is None:
        return Check(name="disk", ok=True, detail="unknown until the images are made", remedy="runner setup")
    from runner.engine.interface import ContainerRequest

    out: list[bytes] = []
    script = "import shutil; print(shutil.disk_usage('/').free)"
    request = ContainerRequest(image=image, argv=("python3", "-I", "-c", script), purpose="doctor", timeout_s=60)
    engine.run(request, stdout=out.append, stderr=lambda _: None)
    answer = b"".join(out).decode(errors="replace").strip()
    if not answer.isdigit():
        return Check(name="disk", ok=False, detail="the engine could not tell", remedy="docker system df")
    return disk_check(int(answer), f"{root} of the engine")


def _images(engine: DockerEngine, python: str) -> Check:
    """Return the line on images: those that the first rerun makes by itself are no failure."""
    from runner.engine.base_image import SUITES, existing_base_image
    from runner.engine.images import tools_image_for

    base = existing_base_image(engine, python)
    tools = tools_image_for(engine, base) if base is not None else None
    if base is None:
        detail = f"no base image with Python {python} yet; the first rerun makes it"
        return Check(name="images", ok=python in SUITES, detail=detail, remedy="runner setup")
    if tools is None or engine.image_digest(tools) is None:
        detail = f"{base.reference} ({base.origin}); no tools image of this version yet, the first rerun makes it"
        return Check(name="images", ok=True, detail=detail, remedy="runner setup")
    return Check(name="images", ok=True, detail=f"{base.reference} ({base.origin}), {tools}")


def _known_images(engine: DockerEngine) -> list[str]:
    from runner.engine.base_image import REPOSITORY, local_pythons

    return [f"{REPOSITORY}:py{python}" for python in local_pythons(engine)]


def _tracker(check_tracker: Callable[[], str]) -> Check:
    try:
        return Check(name="tracker", ok=True, detail=redact(check_tracker()))
    except RunnerError as error:
        return Check(name="tracker", ok=False, detail=error.cause, remedy=error.remedy)


def _git() -> Check:
    try:
        version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return Check(name="git", ok=False, detail="git cannot be run", remedy="apt-get install git")
    return Check(name="git", ok=True, detail=version.removeprefix("git version "))
