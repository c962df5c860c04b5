"""What the rest of the runner knows of a container engine: request in, outcome out.

An engine runs one container per request and removes it. Phases talk through named volumes and standard streams, never
through this host's folders: where the engine runs makes no difference.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VolumeMount:
    """A named volume, or the folder `subpath` of it, at `target`.

    A sub-folder must exist when the container starts; it is mounted by a volume of the local driver that binds it, so
    that this works on a remote engine and on Docker 20.10. The engine follows links in the sub-path on its own host:
    no part of it may lie in a folder that foreign code could write.
    """

    volume: str
    target: str
    subpath: str | None = None
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class ContainerRequest:
    """One container, from start to removal.

    The pieces of `stdin` are written to its standard input as they come, from a thread, and never stored: credentials
    go there, and what is large. `network` is `none` unless asked for. `timeout_s` of None waits for ever. `files` are
    small: (path on the container's own root, content), put in before the start. `purpose` names the phase in labels
    and messages, `run` the recorded run in labels. `gpus` is docker's notation (`all`, `2`, `device=0,1`). `hardened`
    drops every capability, forbids new privileges and makes the root file system read-only, so that it excludes
    `files`.
    """

    image: str
    argv: tuple[str, ...]
    purpose: str
    environment: dict[str, str] = field(default_factory=dict)
    mounts: tuple[VolumeMount, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    stdin: Iterable[bytes] | None = None
    working_directory: str | None = None
    user: str | None = None
    network: Literal["none", "bridge", "host"] = "none"
    hardened: bool = False
    capabilities: tuple[str, ...] = ()
    tmpfs: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    cpuset: str | None = None
    gpus: str | None = None
    pids: int | None = None
    shm_bytes: int | None = None
    timeout_s: float | None = None
    run: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerOutcome:
    """How a container ended. `exit_code` is None where it was ended for time or by `stop`; `seconds` is its wall time.

    `out_of_memory` tells whether any process in it was killed for memory, None for a kill of which nobody knows why;
    `out_of_processes` whether one could not be started, for there were as many as the limit allows.
    """

    exit_code: int | None
    out_of_memory: bool | None
    timed_out: bool
    seconds: float
    stopped: bool = False
    out_of_processes: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What an engine says of itself. `gpus` tells whether it has the runtime that gives containers NVIDIA's."""

    name: str
    version: str
    address: str
    rootless: bool
    storage_driver: str
    cgroup_version: str
    cpus: int
    memory_bytes: int
    platform: str
    gpus: bool = False


Sink = Callable[[bytes], None]
"""Takes output as it comes, in pieces of any size."""


class Engine(ABC):
    """A container engine, bound to one session: what it makes carries the session's label and goes with it."""

    @property
    @abstractmethod
    def session_id(self) -> str:
        """The session whose label is on all that this object makes."""

    @property
    @abstractmethod
    def info(self) -> EngineInfo:
        """What the engine says of itself."""

    @abstractmethod
    def run(
        self, request: ContainerRequest, *, stdout: Sink, stderr: Sink, stop: threading.Event | None = None
    ) -> ContainerOutcome:
        """Run one container to its end and remove it, also when interrupted; setting `stop` ends it within seconds.

        Raises EngineUnavailable where the engine breaks off, DiskFull where it has no space, ImageUnavailable where
        the image is not there.
        """

    @abstractmethod
    def ensure_volume(self, name: str) -> None:
        """Create a named volume with our label if it is not there; it outlives the session."""

    @abstractmethod
    def image_digest(self, reference: str) -> str | None:
        """Return the content id (`sha256:…`) of a local image, None if it is not there."""

    @abstractmethod
    def close(self) -> None:
        """Remove all containers and sub-folder volumes of the session; safe to call twice and from a signal."""
