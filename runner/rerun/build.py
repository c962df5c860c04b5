"""Phase 2b seen from the host: one build from source, in a container without a network and without credentials.

`job` is what 2a prepared (`runner.inside.packages.source_builds`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from runner.engine.interface import ContainerOutcome, ContainerRequest, Engine, VolumeMount
from runner.errors import DiskFull
from runner.inside import layout
from runner.inside.packages.requirements import requirement_name
from runner.plan.lists.pinned import pinned_names
from runner.progress import Progress
from runner.rerun.build_failure import explain_build_failure
from runner.rerun.watch import OutputWatch
from runner.schema.plan import Plan

_BUILD_TIMEOUT_S = 3600.0
_LOG_BYTES = 64 << 10

_NO_SPACE = re.compile(r"No space left on device|Errno 28\b|Disk quota exceeded")
# The archive of a commit has no history to count versions in: each tool that would is told one.
_COUNTS_VERSIONS = (
    "SETUPTOOLS_SCM_PRETEND_VERSION",
    "PBR_VERSION",
    "PDM_BUILD_SCM_VERSION",
    "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "UV_DYNAMIC_VERSIONING_BYPASS",
)


def build(engine: Engine, plan: Plan, job: Mapping[str, Any], *, image: str, volume: str, progress: Progress) -> None:
    """Run one build to its end; what it wrote is for 2a to look at. Raises MissingFact or NotByThen, DiskFull."""
    from runner.inside.build import NEEDS_MORE

    progress.update(f"building {job['title']} from source")
    log = _Tail()
    written = {"folders": [f"{job['path']}/output", f"{job['path']}/workspace"]}
    request = build_request(plan, job, image=image, volume=volume)
    with OutputWatch(engine, plan, what=written, volume=volume) as watch:
        outcome = engine.run(request, stdout=log.feed, stderr=log.feed, stop=watch.exceeded)
    if outcome.exit_code in (0, NEEDS_MORE) and not outcome.out_of_memory:
        return
    text = log.text()
    limit = _limit_met(outcome, plan)
    if not limit and _NO_SPACE.search(text):
        raise DiskFull(
            f"building {job['title']} ran out of disk space in the volume {volume}",
            "runner setup --prune    or give the engine a larger disk",
        )
    spec = plan.environment
    chosen = (*spec.constraints, *spec.recorded_overrides, *spec.overrides)
    fixed = pinned_names(spec) | {requirement_name(line) for line in chosen}
    raise explain_build_failure(
        job,
        text,
        given=plan.system_packages.names,
        limit=limit,
        open_network="build-network" in plan.policy.allow,
        dated=job["build_as_of"] is not None,
        fixed=job["name"] is None or job["name"] in fixed,
        python_here=plan.environment.python,
    )


def _limit_met(outcome: ContainerOutcome, plan: Plan) -> str:
    """Return which limit ended a build, in words that go on from `it`; empty where none did."""
    if outcome.stopped:
        return f"it wrote more than it may ({plan.limits.output_bytes >> 20} MiB)"
    if outcome.timed_out:
        return f"it was stopped after {_BUILD_TIMEOUT_S / 60:.0f} minutes"
    if outcome.out_of_memory:
        return "it needs more memory than it may have"
    if outcome.out_of_processes:
        return f"it may have no more processes and threads ({plan.limits.pids})"
    return ""


def build_request(plan: Plan, job: Mapping[str, Any], *, image: str, volume: str) -> ContainerRequest:
    """Return the container of phase 2b: it sees the inputs of one build, and writes its output."""
    path, subpath = job["path"], job["subpath"]
    mounts = [
        VolumeMount(volume=volume, subpath=f"{subpath}/input", target=f"{path}/input", read_only=True),
        VolumeMount(volume=volume, subpath=f"{subpath}/output", target=f"{path}/output"),
    ]
    if job["in_workspace"]:
        # Where the training will have it, so that an editable install leads there.
        mounts.append(VolumeMount(volume=volume, subpath=f"{subpath}/workspace", target=layout.WORKSPACE_TARGET))
    environment = {
        "PATH": f"{path}/input/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": f"{path}/input/venv",
        "HOME": "/tmp",  # noqa: S108  # in the container
        "TMPDIR": f"{path}/output/tmp",  # on the disk, and counted
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if plan.run.start_time is not None:
        environment["SOURCE_DATE_EPOCH"] = str(int(plan.run.start_time.timestamp()))
    if job["tree"] is not None:
        environment |= dict.fromkeys(_COUNTS_VERSIONS, job["known_version"] or "0")
    return ContainerRequest(
        image=image,
        argv=(layout.TOOLS_PYTHON, "-I", f"{layout.LIBRARY}/runner/inside/build.py", path),
        purpose="build",
        run=plan.run.id,
        environment=environment,
        mounts=tuple(mounts),
        user=f"{layout.TRAINER_UID}:{layout.TRAINER_GID}",
        network="bridge" if "build-network" in plan.policy.allow else "none",
        hardened=True,
        tmpfs={"/tmp": "exec,size=2g,mode=1777"},  # noqa: S108  # in the container
        memory_bytes=plan.limits.memory_bytes,
        cpuset=plan.limits.cpuset,
        pids=plan.limits.pids,
        timeout_s=_BUILD_TIMEOUT_S,
    )


class _Tail:
    """The end of a build's log."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        while self._size - len(self._pieces[0]) > _LOG_BYTES:
            self._size -= len(self._pieces.popleft())

    def text(self) -> str:
        return b"".join(self._pieces).decode(errors="replace")
