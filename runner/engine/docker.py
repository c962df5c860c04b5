"""The engine by Docker's API, spoken by docker-py: dockerd from 20.10 on, and podman's socket.

docs/explanation/engines.md says what differs between engines, for users.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import posixpath
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner import interrupts
from runner.engine import labels
from runner.engine.archive import pack
from runner.engine.faults import DOCTOR, api_fault, engine_faults, no_gpus, reason
from runner.engine.find import EngineAddress, find_engine, not_answering, open_client
from runner.engine.interface import ContainerOutcome, ContainerRequest, Engine, EngineInfo, Sink, VolumeMount
from runner.engine.limits_met import Report
from runner.engine.stream import STDERR, Attachment, Frames
from runner.engine.tunnel import Tunnel
from runner.errors import DiskFull, EngineUnavailable, InfrastructureError, InternalError

REQUEST_TIMEOUT_S = 60
HOSTNAME = "rerun"
_TICK_S = 1.0
_LOOK_AFTER_S = 15.0  # of silence: has the container ended without the stream's end reaching us?
_GRACE_S = 3.0
_KILLED = 137  # how a shell tells of SIGKILL
_WORK_DEPTH = 3  # work/RERUN/PART


def connect(address: EngineAddress | None = None, *, session: str | None = None) -> DockerEngine:
    """Return the engine at an address, or the one that is meant, bound to a new session.

    Raises EngineUnavailable, naming the engine and the remedy, where it does not answer.
    """
    import docker.errors
    import requests

    address = find_engine() if address is None else address
    tunnel = Tunnel(address) if address.over_ssh else None
    reached = address if tunnel is None else tunnel.local
    try:
        client = open_client(reached, timeout_s=REQUEST_TIMEOUT_S)
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        if tunnel is not None:
            tunnel.close()
        raise not_answering(address, reason(error)) from error
    return DockerEngine(address, reached, client, session or labels.new_session(), tunnel)


@dataclass
class _Container:
    """What `close` must know of a container while it lives. `name` is ours, so it is known before the engine's id."""

    name: str
    state: str = "new"  # then "creating" (the engine may or may not have it), "created", "gone"
    volumes: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)


@dataclass(frozen=True)
class _End:
    """When a container must end, by a clock that nobody can set: at a deadline, or once it is asked to."""

    deadline: float | None
    asked: threading.Event

    def is_due(self) -> bool:
        return self.asked.is_set() or (self.deadline is not None and time.monotonic() >= self.deadline)

    def within(self, seconds: float) -> float:
        """Return how long to wait for something else at a time."""
        return seconds if self.deadline is None else max(0.01, min(seconds, self.deadline - time.monotonic()))


class DockerEngine(Engine):
    """One session at one engine; threads may share it."""

    def __init__(
        self, address: EngineAddress, reached: EngineAddress, client: Any, session: str, tunnel: Tunnel | None
    ) -> None:
        self.address = address
        self.client = client
        self.reached = reached
        self._tunnel = tunnel
        self._session = session
        self._numbers = itertools.count(1)
        self._live: dict[str, _Container] = {}
        self._closed = False
        self._marked = False
        self._marking = threading.Lock()
        self._forget = interrupts.note(self.close)

    @property
    def session_id(self) -> str:
        """Return the session."""
        return self._session

    @functools.cached_property
    def info(self) -> EngineInfo:
        """What the engine says of itself, asked once."""
        with engine_faults("describing itself"):
            said, version = self.client.info(), self.client.version()
        names = [str(part.get("Name", "")) for part in version.get("Components") or ()]
        podman = any("podman" in name.lower() for name in names)
        return EngineInfo(
            name="podman" if podman else "docker",
            version=str(version.get("Version", said.get("ServerVersion", "unknown"))),
            address=self.address.url,
            rootless=any("rootless" in str(option) for option in said.get("SecurityOptions") or ()),
            storage_driver=str(said.get("Driver", "unknown")),
            cgroup_version=str(said.get("CgroupVersion") or "1"),
            cpus=int(said.get("NCPU") or 1),
            memory_bytes=int(said.get("MemTotal") or 0),
            platform=f"{said.get('OSType', 'linux')}/{_architecture(str(said.get('Architecture', '')))}",
            gpus="nvidia" in (said.get("Runtimes") or {}),
        )

    def run(
        self, request: ContainerRequest, *, stdout: Sink, stderr: Sink, stop: threading.Event | None = None
    ) -> ContainerOutcome:
        """Run one container to its end and remove it. See `Engine.run`."""
        return self._run(request, stdout, stderr, stop or threading.Event(), lambda *_: None)

    def run_into_image(
        self,
        request: ContainerRequest,
        reference: str,
        changes: Callable[[ContainerOutcome], Sequence[str] | None],
        *,
        stdout: Sink,
        stderr: Sink,
    ) -> ContainerOutcome:
        """Run one container to its end, and make an image of what it left on its root; what is mounted is no part.

        `changes` returns the image's settings in the notation of a Dockerfile, or None where no image is to be made.
        """

        def keep(container: _Container, outcome: ContainerOutcome) -> None:
            settings = changes(outcome)
            if settings is not None:
                repository, _, tag = reference.rpartition(":")
                with engine_faults(f"making the image {reference}"):
                    self.client.commit(container.name, repository, tag, changes=list(settings))

        return self._run(request, stdout, stderr, threading.Event(), keep)

    def _run(
        self,
        request: ContainerRequest,
        stdout: Sink,
        stderr: Sink,
        stop: threading.Event,
        keep: Callable[[_Container, ContainerOutcome], None],
    ) -> ContainerOutcome:
        self._check_open()
        self._mark_session()
        purpose = re.sub(r"[^a-z0-9]+", "-", request.purpose.lower()).strip("-") or "task"
        container = _Container(f"{labels.session_volume(self._session)}-{next(self._numbers)}-{purpose}")
        self._live[container.name] = container
        try:
            self._create(container, request)
            outcome = self._attend(container, request, stdout, stderr, stop)
            self._check_open()  # killed by `close`: that is no outcome of the command
            keep(container, outcome)
        except InfrastructureError:
            if self._closed:  # then the container vanished under us because somebody closed the session
                raise _closed() from None
            raise
        else:
            return outcome
        finally:
            self._discard(self.client, container)

    def ensure_volume(self, name: str) -> None:
        """Create a volume that outlives the session, if it is not there."""
        import docker.errors

        with engine_faults(f"making the volume {name}"):
            try:
                self.client.inspect_volume(name)
            except docker.errors.NotFound:
                self.client.create_volume(name, labels={labels.LABEL: labels.CACHE})

    def has_volume(self, name: str) -> bool:
        """Tell whether a named volume is there."""
        with engine_faults(f"looking for the volume {name}"):
            found = self.client.volumes(filters={"name": name}).get("Volumes") or ()
        return any(volume["Name"] == name for volume in found)

    def image_digest(self, reference: str) -> str | None:
        """Return the content id of a local image."""
        import docker.errors

        with engine_faults(f"looking up the image {reference}"):
            try:
                return str(self.client.inspect_image(reference)["Id"])
            except docker.errors.NotFound:
                return None

    def close(self) -> None:
        """Remove all that the session made and its tunnel. Never raises for an engine that is gone."""
        self._closed = True
        try:
            with contextlib.suppress(InfrastructureError), engine_faults("closing the session"):
                # A client of its own: the signal may have come while the other one's connection pool was locked.
                client = open_client(self.reached, timeout_s=REQUEST_TIMEOUT_S, version=self.client.api_version)
                with contextlib.closing(client):
                    self._remove_all(client)
        finally:
            if self._tunnel is not None:
                self._tunnel.close()
        self._forget()

    def _remove_all(self, client: Any) -> None:
        for container in list(self._live.values()):
            self._discard(client, container)
        filters = {"label": f"{labels.LABEL}={self._session}"}
        with engine_faults("removing what is left of the session"):
            for left in client.containers(all=True, filters=filters):
                remove_container(client, left["Id"])
            for volume in client.volumes(filters=filters).get("Volumes") or ():
                remove_volume(client, volume["Name"])

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()

    def _mark_session(self) -> None:
        # An empty volume stands for the session, so that a sweep learns of it also when it had no container.
        if self._marked:
            return
        with self._marking, engine_faults("opening a session"):
            if not self._marked:
                name = labels.session_volume(self._session)
                self.client.create_volume(name, labels=labels.session_labels(self._session, "session"))
                self._marked = True

    def _create(self, container: _Container, request: ContainerRequest) -> None:
        import docker.errors

        host_config = self.client.create_host_config(**self._host_options(container, request))
        with engine_faults(f"creating the {request.purpose} container", image=request.image):
            container.state = "creating"
            try:
                self.client.create_container(
                    request.image,
                    container.report.around(request.argv),
                    name=container.name,
                    environment=dict(request.environment),
                    labels=labels.session_labels(self._session, request.purpose, request.run),
                    working_dir=request.working_directory,
                    user=request.user,
                    hostname=None if request.network == "host" else HOSTNAME,
                    stdin_open=request.stdin is not None,
                    entrypoint=[],
                    host_config=host_config,
                    use_config_proxy=False,
                )
            except docker.errors.APIError:
                container.state = "gone"  # the engine said no: there is nothing to remove
                raise
        container.state = "created"
        self._check_open()  # closed meanwhile: the finally of the caller removes it
        if request.files:
            self._put_files(container, request)

    def _host_options(self, container: _Container, request: ContainerRequest) -> dict[str, Any]:
        import docker.types

        mounts = [self._mount(container, mount, request.purpose) for mount in request.mounts]
        options: dict[str, Any] = {
            "network_mode": request.network,
            "mounts": mounts,
            "init": True,
            "ipc_mode": "private",
            # The output goes to us; the engine's own log would fill its disk.
            "log_config": docker.types.LogConfig(type="none"),
            "ulimits": [docker.types.Ulimit(name=name, soft=value, hard=value) for name, value in self._ulimits()],
            "tmpfs": dict(request.tmpfs),
        }
        if request.network != "host":
            # The host's own name resolves also without a network: some libraries look it up.
            options["extra_hosts"] = {HOSTNAME: "127.0.0.1"}
        if request.memory_bytes is not None:
            # Memory and swap together: no swap.
            options |= {"mem_limit": request.memory_bytes, "memswap_limit": request.memory_bytes}
        if request.gpus is not None and self.info.name == "podman":
            raise no_gpus("podman passes over what is asked of it in docker's way, and would train without one")
        if request.gpus is not None:
            options["device_requests"] = [device_request(request.gpus)]
        if request.cpuset is not None:
            options["cpuset_cpus"] = request.cpuset
        if request.pids is not None:
            options["pids_limit"] = request.pids
        if request.shm_bytes is not None:
            options["shm_size"] = request.shm_bytes
        if request.hardened:
            options |= {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "read_only": True}
            options["cap_add"] = list(request.capabilities)
        return options

    def _ulimits(self) -> list[tuple[str, int]]:
        limits = [("core", 0)]
        if self.info.name == "podman":
            # Its own default is a million, which it may not set where it runs with limits itself.
            limits += [("nofile", 16384), ("nproc", 16384)]
        return limits

    def _mount(self, container: _Container, mount: VolumeMount, purpose: str) -> Any:
        import docker.types

        source = mount.volume
        if mount.subpath is not None:
            source = self._bind_subfolder(container, mount, purpose)
        # Never fill a volume from the image: what is in it is ours to decide.
        return docker.types.Mount(mount.target, source, type="volume", read_only=mount.read_only, no_copy=True)

    def _bind_subfolder(self, container: _Container, mount: VolumeMount, purpose: str) -> str:
        parts = (mount.subpath or "").split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise InternalError(f"not a sub-folder of a volume: {mount.subpath}", "report it")
        if parts[0] == "work" and len(parts) > _WORK_DEPTH:
            # Deeper folders are the training's: it may have put a link to the engine's host in their place.
            raise InternalError(
                f"a folder that the training may write cannot be mounted by itself: {mount.subpath}", "report it"
            )
        name = f"{container.name}-{len(container.volumes)}"
        # Podman changes the owner of a volume when it mounts it; there the container's own mount is read-only alone.
        options = "bind,ro" if mount.read_only and self.info.name != "podman" else "bind"
        with engine_faults(f"mounting {mount.subpath} of the volume {mount.volume}"):
            device = posixpath.join(self._mountpoint(mount.volume), *parts)
            container.volumes.append(name)
            self.client.create_volume(
                name,
                driver="local",
                driver_opts={"type": "none", "o": options, "device": device},
                labels=labels.session_labels(self._session, purpose),
            )
        return name

    @functools.lru_cache(maxsize=8)  # noqa: B019  # an engine lives as long as the process
    def _mountpoint(self, volume: str) -> str:
        return str(self.client.inspect_volume(volume)["Mountpoint"])

    def _put_files(self, container: _Container, request: ContainerRequest) -> None:
        if request.hardened:
            raise InternalError("nothing can be put on the read-only root of a hardened container", "report it")
        with engine_faults(f"putting files into the {request.purpose} container"):
            files = ((path.lstrip("/"), content) for path, content in request.files)
            self.client.put_archive(container.name, "/", pack(files))

    def _attend(
        self, container: _Container, request: ContainerRequest, stdout: Sink, stderr: Sink, stop: threading.Event
    ) -> ContainerOutcome:
        doing = f"running the {request.purpose} container"
        with contextlib.ExitStack() as stack:
            with engine_faults(doing):
                output = self._attach(container, stdout=1, stderr=1)
                stack.callback(output.close)
                if request.stdin is not None:
                    # A connection of its own, so that closing it is the input's end, by TLS and podman too.
                    stdin = self._attach_stdin(container)
                    stack.callback(stdin.close)
                started = time.monotonic()
                self.client.start(container.name)
            if request.stdin is not None:
                stdin.send_in_background(request.stdin)
            end = _End(None if request.timeout_s is None else started + request.timeout_s, stop)
            frames = Frames()

            sieve = container.report.sieve(stderr)

            def hand_on(data: bytes) -> None:
                for stream, piece in frames.feed(data):
                    (sieve if stream == STDERR else stdout)(piece)

            ended = self._pump(container, output, hand_on, end, doing) and self._wait(container, end, doing)
            seconds = time.monotonic() - started
            with engine_faults(doing):
                if not ended:
                    self._kill(container)
                    enough = time.monotonic() + _GRACE_S
                    while time.monotonic() < enough and (data := output.receive(_TICK_S)):
                        hand_on(data)
                state = self.client.inspect_container(container.name)["State"]
        container.report.rest(stderr)
        exit_code = int(state["ExitCode"]) if ended else None
        killed = container.report.killed or bool(state.get("OOMKilled"))
        unknown = container.report.killed is None and exit_code == _KILLED
        return ContainerOutcome(
            exit_code=exit_code,
            out_of_memory=None if unknown and not killed else killed,
            out_of_processes=container.report.refused,
            timed_out=not ended and not stop.is_set(),
            seconds=seconds,
            stopped=not ended and stop.is_set(),
        )

    def _attach(self, container: _Container, **streams: int) -> Attachment:
        return Attachment(self.client.attach_socket(container.name, {**streams, "stream": 1}))

    def _attach_stdin(self, container: _Container) -> Attachment:
        if self.info.name != "podman":
            return self._attach(container, stdin=1)
        # There, output goes to every connection, asked for or not, and one that nobody reads blocks the container.
        stdin = self._attach(container, stdin=1, stdout=1, stderr=1)
        stdin.drain_in_background()
        return stdin

    def _pump(self, container: _Container, output: Attachment, hand_on: Sink, end: _End, doing: str) -> bool:
        """Hand on output until its end; False where it must end first."""
        silent_since = time.monotonic()
        while True:
            if end.is_due():
                return False
            now = time.monotonic()
            with engine_faults(doing):
                data = output.receive(end.within(_TICK_S))
                if data is None and now - silent_since > _LOOK_AFTER_S:
                    silent_since = now
                    if not self.client.inspect_container(container.name)["State"]["Running"]:
                        return True
            if data == b"":
                return True
            if data:
                silent_since = now
                hand_on(data)

    def _wait(self, container: _Container, end: _End, doing: str) -> bool:
        """Wait for the end of a container whose output has ended; False where it must end first."""
        import requests

        while True:
            if end.is_due():
                return False
            with engine_faults(doing):
                try:
                    self.client.wait(container.name, timeout=end.within(_LOOK_AFTER_S))
                except requests.exceptions.ReadTimeout:
                    continue
                except requests.exceptions.ConnectionError as error:
                    # urllib3 tells a read timeout in the body this way.
                    if "timed out" not in str(error).lower():
                        raise
                    continue
            return True

    def _kill(self, container: _Container) -> None:
        import docker.errors

        with contextlib.suppress(docker.errors.APIError):  # it ended by itself meanwhile
            self.client.kill(container.name)

    def _discard(self, client: Any, container: _Container) -> None:
        """Remove a container and its volumes. What cannot be removed stays on the list for `close`."""
        try:
            with engine_faults("removing a container"):
                if container.state == "creating":
                    _remove_when_there(client, container.name)
                elif container.state == "created":
                    remove_container(client, container.name)
                container.state = "gone"
                for volume in list(container.volumes):
                    remove_volume(client, volume)
                    with contextlib.suppress(ValueError):  # `close` in another thread was faster
                        container.volumes.remove(volume)
        except (EngineUnavailable, DiskFull):
            return  # must not hide what happened before; the next start sweeps
        self._live.pop(container.name, None)


def device_request(gpus: str) -> Any:
    """Return what asks the engine for GPUs in docker's notation, as its own `--gpus` does."""
    import docker.types

    kind, _, devices = gpus.partition("=")
    if kind == "device":
        return docker.types.DeviceRequest(device_ids=devices.split(","), capabilities=[["gpu"]])
    return docker.types.DeviceRequest(count=-1 if gpus == "all" else int(gpus), capabilities=[["gpu"]])


def remove_container(client: Any, name: str) -> None:
    """Kill and remove a container, if it is there; one that is being removed already is waited for."""
    import docker.errors

    end = time.monotonic() + _GRACE_S
    while True:
        try:
            client.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if error.response is None or error.response.status_code != 409 or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def remove_volume(client: Any, name: str) -> None:
    """Remove a volume, if it is there."""
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        client.remove_volume(name, force=True)


def import_image(engine: DockerEngine, reference: str, archive: Iterator[bytes], changes: list[str]) -> str:
    """Make an image from a root file system, streamed as a tar archive; return its content id."""
    import docker.errors

    repository, _, tag = reference.rpartition(":")
    with engine_faults(f"importing {reference}"):
        said = engine.client.import_image_from_stream(archive, repository=repository, tag=tag, changes=changes)
        events = [json.loads(line) for line in str(said).splitlines() if line.strip()]
        failed = next((str(event["error"]) for event in events if "error" in event), None)
        if failed is not None:
            raise api_fault(f"importing {reference}", failed)
        identity = str(events[-1]["status"]).strip()
        # Podman 4 ignores the tag and calls it latest.
        engine.client.tag(identity, repository, tag)
        with contextlib.suppress(docker.errors.NotFound):
            if (
                engine.client.inspect_image(f"{repository}:latest")["Id"]
                == engine.client.inspect_image(reference)["Id"]
            ):
                engine.client.remove_image(f"{repository}:latest")
        return str(engine.client.inspect_image(reference)["Id"])


def _remove_when_there(client: Any, name: str) -> None:
    # The request was cut off: the engine may be about to make the container.
    import docker.errors

    end = time.monotonic() + _GRACE_S
    while time.monotonic() < end:
        try:
            client.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            time.sleep(0.1)
        else:
            return


def _closed() -> EngineUnavailable:
    return EngineUnavailable("the session at the container engine was closed", DOCTOR)


def _architecture(name: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)
