"""Removing what killed processes of this host left: containers, volumes, workspaces.

A session is swept when the process that owns it is dead; a process of another host cannot be asked, so its sessions
are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.engine import labels
from runner.engine.docker import DockerEngine, remove_container, remove_volume
from runner.engine.faults import engine_faults
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import EngineUnavailable

_CLEAR = """
import os, shutil, sys
sessions, folders = sys.argv[1].split(), set(sys.argv[2].split())
root = "/cache/work"
for name in os.listdir(root) if os.path.isdir(root) else ():
    if name in folders or name.split("-")[0] in sessions:
        shutil.rmtree(os.path.join(root, name), ignore_errors=True)
"""


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What dead sessions left. `sessions` still have work to clear; `reruns` are their known folders below `work/`."""

    sessions: tuple[str, ...] = ()
    reruns: tuple[str, ...] = ()
    containers: int = 0
    volumes: int = 0

    @property
    def anything(self) -> bool:
        """Tell whether a dead session was found."""
        return bool(self.sessions)


def sweep(engine: DockerEngine) -> Swept:
    """Remove containers and sub-folder volumes of dead sessions; return what `clear_work` must still delete.

    A work folder belongs to a session if one of its containers had it mounted, or if its name is the session's id or
    begins with it and a hyphen.
    """
    import docker.errors

    filters = {"label": labels.LABEL}
    with engine_faults("looking for what killed sessions left"):
        containers = [
            (one["Id"], one.get("Labels") or {}) for one in engine.client.containers(all=True, filters=filters)
        ]
        volumes = engine.client.volumes(filters=filters).get("Volumes") or ()
        dead_containers = [name for name, tags in containers if _is_dead(tags)]
        dead_volumes = [volume for volume in volumes if _is_dead(volume.get("Labels") or {})]
        sessions = {tags[labels.LABEL] for _, tags in containers if _is_dead(tags)}
        sessions |= {volume["Labels"][labels.LABEL] for volume in dead_volumes}
        for name in dead_containers:
            try:
                remove_container(engine.client, name)
            except docker.errors.APIError as error:
                if error.response is None or error.response.status_code != 409:
                    raise
                return Swept()  # another process is at it, and large ones take long; the next start looks again
        bound = [volume for volume in dead_volumes if volume["Name"] != labels.session_volume(_session(volume))]
        for volume in bound:
            remove_volume(engine.client, volume["Name"])
    reruns = {rerun for volume in bound if (rerun := _rerun_of(volume.get("Options") or {})) is not None}
    return Swept(
        sessions=tuple(sorted(sessions)),
        reruns=tuple(sorted(reruns)),
        containers=len(dead_containers),
        volumes=len(bound),
    )


def clear_work(engine: DockerEngine, swept: Swept, *, image: str, volume: str | None = None) -> None:
    """Delete the work folders of swept sessions by a container of `image` (it needs `python3`), then forget them."""
    if not swept.anything:
        return
    volume = volume or labels.cache_volume()
    if engine.has_volume(volume):
        request = ContainerRequest(
            image=image,
            argv=("python3", "-I", "-c", _CLEAR, " ".join(swept.sessions), " ".join(swept.reruns)),
            purpose="sweep",
            user="0",
            mounts=(VolumeMount(volume=volume, target="/cache"),),
        )
        said: list[bytes] = []
        outcome = engine.run(request, stdout=said.append, stderr=said.append)
        if outcome.exit_code != 0:
            text = b"".join(said).decode(errors="replace")[-400:]
            raise EngineUnavailable(
                f"workspaces of killed sessions could not be removed: {text}", "runner setup --prune"
            )
    with engine_faults("forgetting killed sessions"):
        for session in swept.sessions:
            remove_volume(engine.client, labels.session_volume(session))


def _is_dead(tags: Mapping[str, str]) -> bool:
    return tags.get(labels.LABEL) not in labels.KEPT and labels.owner_is_dead(tags.get(labels.OWNER, ""))


def _session(volume: Mapping[str, Mapping[str, str]]) -> str:
    return volume["Labels"][labels.LABEL]


def _rerun_of(options: Mapping[str, str]) -> str | None:
    """Return RERUN of a sub-folder volume on `.../work/RERUN/PART`."""
    parts = options.get("device", "").split("/")
    if len(parts) >= 3 and parts[-3] == "work":
        return parts[-2]
    return None
