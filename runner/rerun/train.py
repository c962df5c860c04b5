"""Phase 3: the recorded command in a fresh container that has no network, no credentials and sees only its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.inside import layout
from runner.plan.gpus import gives_gpus
from runner.progress import Progress
from runner.redact import redact
from runner.rerun.watch import OutputWatch
from runner.schema.plan import Plan
from runner.schema.rerun import Ending

_TAIL_LINES = 40
_LINE_BYTES = 2000
_PIECE_BYTES = 16 << 10
_END_BYTES = _TAIL_LINES * _LINE_BYTES


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How the command ended, and the end of its log."""

    ending: Ending
    exit_code: int | None
    seconds: float
    log_tail: tuple[str, ...]
    log_cut: bool


def train(
    engine: Engine, plan: Plan, *, rerun: str, environment_key: str, volume: str, log_file: Path, progress: Progress
) -> Trained:
    """Run the plan's command; its output goes to `log_file`, up to the plan's limit, and to `progress.log`."""
    with log_file.open("wb") as file:
        log = _Log(file, plan.limits.log_bytes, progress)
        with OutputWatch(engine, plan, what={"rerun": rerun}, volume=volume) as watch:
            outcome = engine.run(
                train_request(plan, rerun=rerun, environment_key=environment_key, volume=volume),
                stdout=log.write,
                stderr=log.write,
                stop=watch.exceeded,
            )
        log.finish()
    if outcome.stopped:
        ending = Ending.WROTE_TOO_MUCH
    elif outcome.timed_out:
        ending = Ending.TIMED_OUT
    elif outcome.out_of_memory:
        ending = Ending.OUT_OF_MEMORY
    elif outcome.out_of_memory is None:
        ending = Ending.KILLED
    elif outcome.exit_code == 0:
        ending = Ending.FINISHED
    else:
        ending = Ending.OUT_OF_PROCESSES if outcome.out_of_processes else Ending.CRASHED
    return Trained(
        ending=ending,
        exit_code=outcome.exit_code,
        seconds=outcome.seconds,
        log_tail=log.tail(),
        log_cut=log.cut,
    )


def train_request(plan: Plan, *, rerun: str, environment_key: str, volume: str) -> ContainerRequest:
    """Return the container that trains: hardened, without network unless the auditor allowed it."""
    directory = layout.WORKSPACE_TARGET
    if plan.working_directory not in ("", "."):
        directory = f"{directory}/{plan.working_directory}"
    return ContainerRequest(
        image=plan.images.train or plan.images.tools,
        argv=("bash", "-o", "pipefail", "-c", plan.command),
        purpose="train",
        run=plan.run.id,
        user=f"{layout.TRAINER_UID}:{layout.TRAINER_GID}",
        working_directory=directory,
        network="bridge" if "network" in plan.policy.allow else "none",
        hardened=True,
        mounts=(
            VolumeMount(
                volume=volume, subpath=layout.work_subpath(rerun, layout.SANDBOX), target=layout.SANDBOX_TARGET
            ),
            *_environment_mounts(environment_key, volume),
        ),
        environment={
            **plan.variables,
            **_environment_variables(environment_key),
            "HOME": layout.HOME_TARGET,
            "USER": "trainer",
            "TMPDIR": layout.TEMPORARY_TARGET,
            # DVC's default place is in the read-only part of the container.
            "DVC_SITE_CACHE_DIR": f"{layout.HOME_TARGET}/.cache/dvc",
            "DVC_NO_ANALYTICS": "1",
            "REPRO_CAPTURE_DIR": layout.CAPTURE_TARGET,
            "REPRO_WORKSPACE": layout.WORKSPACE_TARGET,
        },
        tmpfs={"/tmp": "size=1g,mode=1777"},  # noqa: S108  # the container's own
        memory_bytes=plan.limits.memory_bytes,
        cpuset=plan.limits.cpuset,
        gpus=plan.limits.gpus if gives_gpus(plan.limits.gpus) else None,
        pids=plan.limits.pids,
        shm_bytes=plan.limits.shm_bytes,
        timeout_s=plan.limits.timeout_s,
    )


def _environment_mounts(key: str, volume: str) -> tuple[VolumeMount, ...]:
    if not key:  # the environment is the image itself
        return ()
    subpath, target = layout.environment_subpath(key), f"{layout.ENVIRONMENTS}/{key}"
    return (VolumeMount(volume=volume, subpath=subpath, target=target, read_only=True),)


def _environment_variables(key: str) -> dict[str, str]:
    if not key:
        return {}  # an image has a PATH of its own
    environment = f"{layout.ENVIRONMENTS}/{key}"
    path = f"{environment}/bin:/usr/local/bin:/usr/bin:/bin:{layout.TOOLS_PATH}"
    return {"PATH": path, "VIRTUAL_ENV": environment}


class _Log:
    """Writes the log without secrets up to a limit, says in it where it was cut, and keeps its last lines."""

    def __init__(self, file: BinaryIO, limit_bytes: int, progress: Progress) -> None:
        self._file = file
        self._left = limit_bytes
        self._limit = limit_bytes
        self._progress = progress
        self._lines: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self._rest = b""  # came, and is not yet a line whose secrets can be told
        self._line = b""
        self._end = b""  # of what came after the cut
        self.cut = False

    def write(self, data: bytes) -> None:
        self._progress.log(data)
        if self.cut:
            # Nothing of it is written, and its end alone is shown: looking for secrets in all of it would take hours.
            self._end = (self._end + data)[-_END_BYTES:]
            return
        self._rest += data
        end = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r")) + 1
        if not end and len(self._rest) > _PIECE_BYTES:
            end = len(self._rest)
        if end:
            whole, self._rest = self._rest[:end], self._rest[end:]
            self._keep(redact(whole.decode(errors="surrogateescape")).encode(errors="surrogateescape"))

    def finish(self) -> None:
        """Write what came after the last line's end."""
        if self._end:
            whole = self._rest + self._end
            # Of a line that is not whole nobody can tell whether it holds a secret.
            self._rest = whole if len(self._end) < _END_BYTES else whole.split(b"\n", 1)[-1]
        self._keep(redact(self._rest.decode(errors="surrogateescape")).encode(errors="surrogateescape"))
        self._rest = b""

    def _keep(self, data: bytes) -> None:
        kept = data[: self._left]
        self._file.write(kept)
        self._left -= len(kept)
        if len(kept) < len(data) and not self.cut:
            self.cut = True
            self._file.write(f"\n[the log was cut here, at {self._limit} bytes]\n".encode())
        *lines, unfinished = (self._line + data).split(b"\n")
        self._lines.extend(line[-_LINE_BYTES:] for line in lines)
        self._line = unfinished[-_LINE_BYTES:]

    def tail(self) -> tuple[str, ...]:
        """Return the last lines; call when finished."""
        lines = [*self._lines, *([self._line] if self._line else [])]
        return tuple(line.decode(errors="replace").rstrip("\r") for line in lines[-_TAIL_LINES:])
