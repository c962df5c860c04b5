"""The labels on all that we make in an engine, so that it is found and removed by whoever made it, or after them.

`reproducibility-runner` holds the session of what goes with it, else one of `cache`, `base`, `environment`, `packages`,
`tools`, `recorded`, `build`. What belongs to a session also names the process that owns it, safe against reused process
ids.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

LABEL = "reproducibility-runner"
OWNER = "reproducibility-runner.owner"
PURPOSE = "reproducibility-runner.purpose"
RUN = "reproducibility-runner.run"
ORIGIN = "reproducibility-runner.origin"
PYTHON = "reproducibility-runner.python"
BASE_NAME = "reproducibility-runner.base"
PARENT = "reproducibility-runner.parent"
INSTALLED = "reproducibility-runner.installed"

CACHE = "cache"
BASE = "base"
ENVIRONMENT = "environment"
PACKAGES = "packages"
TOOLS = "tools"
RECORDED = "recorded"
KEPT = frozenset({CACHE, BASE, ENVIRONMENT, PACKAGES, TOOLS, RECORDED, "build"})
"""Values of LABEL that are no session."""

NAME_PREFIX = "reproducibility-runner"
CACHE_VOLUME = "reproducibility-runner-cache"


def plain_name(image: str) -> str:
    """Return the name of an image as we gave it: podman puts a place before it, that of no registry or its first."""
    return image.removeprefix("localhost/").removeprefix("docker.io/")


def plain_id(image: str) -> str:
    """Return the id of an image without its algorithm, which podman leaves out in places."""
    return image.removeprefix("sha256:")


def cache_volume(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the volume that holds caches and workspaces; REPRO_CACHE_VOLUME names another."""
    return environ.get("REPRO_CACHE_VOLUME") or CACHE_VOLUME


def new_session() -> str:
    """Return the id of a new session: short, random, hexadecimal."""
    return secrets.token_hex(5)


def session_volume(session: str) -> str:
    """Return the name of the empty volume that stands for a session as long as it lives."""
    return f"{NAME_PREFIX}-{session}"


def owner() -> str:
    """Return `HOST:PID:START` of this process."""
    return f"{host_id()}:{os.getpid()}:{process_start(os.getpid())}"


def host_id() -> str:
    """Return what tells this host, its boot aside, from others; a container counts as a host of its own.

    The process id's name space is part of it, since an id means nothing in another one.
    """
    parts = [socket.gethostname()]
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            parts.append(path.read_text().strip())
            break
        except OSError:
            continue
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def process_start(pid: int) -> str | None:
    """Return when a process of this host started, in a form that no later process repeats; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return None
    # The name in parentheses may hold anything; after the last one come state (3rd field) ... start time (22nd).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else f"{boot}-{fields[19]}"


def owner_is_dead(label: str) -> bool:
    """Tell whether the owner was a process of this host that has ended. False where that cannot be known."""
    host, _, rest = label.partition(":")
    pid, _, start = rest.partition(":")
    if host != host_id() or not pid.isdigit():
        return False
    return process_start(int(pid)) != start


def session_labels(session: str, purpose: str, run: str | None = None) -> dict[str, str]:
    """Return the labels of a container or volume that goes with its session."""
    labels = {LABEL: session, OWNER: owner(), PURPOSE: purpose}
    if run is not None:
        labels[RUN] = run
    return labels
