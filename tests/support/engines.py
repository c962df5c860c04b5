"""A real engine for tests, what ran on it, and what is left on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.engine import labels
from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerOutcome, ContainerRequest

MIB = 1 << 20


@dataclass
class Ran:
    """An outcome with all of its output."""

    outcome: ContainerOutcome
    out: str
    err: str


@dataclass
class Pieces:
    """A sink that keeps what it got."""

    pieces: list[bytes] = field(default_factory=list)

    def __call__(self, data: bytes) -> None:
        self.pieces.append(data)

    def text(self) -> str:
        return b"".join(self.pieces).decode()


def run(engine: DockerEngine, request: ContainerRequest) -> Ran:
    """Run to the end and return everything."""
    out, err = Pieces(), Pieces()
    outcome = engine.run(request, stdout=out, stderr=err)
    return Ran(outcome, out.text(), err.text())


def left_of(engine: DockerEngine, session: str) -> list[str]:
    """Return the names of all containers and volumes with a session's label, its own marker aside."""
    filters = {"label": f"{labels.LABEL}={session}"}
    containers = engine.client.containers(all=True, filters=filters)
    volumes = engine.client.volumes(filters=filters)["Volumes"] or ()
    names = [container["Names"][0] for container in containers] + [volume["Name"] for volume in volumes]
    return [name for name in names if name != labels.session_volume(session)]
