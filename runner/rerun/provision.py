"""Phases 2a and 2b seen from the host: Plan -> ResolvedEnvironment, by way of an engine.

2a resolves, fetches and installs, and runs no foreign code; where something has no wheel, 2b builds it in a container
without a network and credentials, and 2a goes on with what came out.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import InternalError, MissingFact
from runner.inside import layout
from runner.inside.environment import LAYOUT_VERSION, SECRETS
from runner.network import NetworkSettings
from runner.progress import Progress
from runner.redact import redact
from runner.rerun.answers import bundle_answer
from runner.rerun.exchange import call, inside_argv
from runner.schema.base import canonical_digest
from runner.schema.plan import Plan
from runner.schema.rerun import ResolvedEnvironment

_MAX_ROUNDS = 40  # of building: an environment with more packages without a wheel is not one to be had
_BUILD_TIMEOUT_S = 3600.0
_LOG_BYTES = 64 << 10
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"fatal error: (?P<what>[\w./+-]+): No such file or directory"), "the header {what} is missing"),
    (re.compile(r"(?:unable to execute|command|error:) '?(?P<what>[\w./-]*(?:gcc|g\+\+|clang|cc))'?"), "no compiler"),
    (re.compile(r"(?P<what>gcc|g\+\+|cc|clang|gfortran)\S*: (?:command )?not found"), "no compiler ({what})"),
    (
        re.compile(r"Unknown compiler\(s\)|No CMAKE_C(?:XX)?_COMPILER could be found|no acceptable C compiler"),
        "no compiler",
    ),
    (
        re.compile(r"(?P<what>cmake|ninja|rustc|cargo|pkg-config|pg_config|mysql_config|swig|make)\b.{0,40}not found"),
        "{what} is missing",
    ),
    (
        re.compile(
            r"Name or service not known|Temporary failure in name resolution|Network is unreachable|"
            r"Could not resolve host|Failed to establish a new connection"
        ),
        "it tried to reach the network",
    ),
    (re.compile(r"ModuleNotFoundError: No module named '(?P<what>[\w.]+)'"), "it imports {what} undeclared"),
)


def ready_keys(plan: Plan) -> dict[str, str]:
    """Return the keys by which restore looks for a ready environment (`runner.inside.environment.find_ready`)."""
    spec = plan.environment
    specification = canonical_digest(
        {
            "layout": LAYOUT_VERSION,
            "kind": spec.kind,
            "root": spec.root,
            "main": spec.main,
            "files": spec.files,
            "as_of": spec.model_dump(mode="json")["as_of"],
            "python": spec.python,
            "constraints": spec.constraints,
            "overrides": (*spec.overrides, *spec.substitutions),
            **({"left_out": spec.left_out, "indexes": spec.indexes} if spec.substitutions else {}),
            "install_project": spec.install_project,
            "undated": "undated" in plan.policy.allow,
            "image": _image(plan),
        }
    )
    repository = canonical_digest([plan.lineage.repository, plan.lineage.commit, _image(plan)])
    return {"specification": specification.partition(":")[2][:40], "repository": repository.partition(":")[2][:40]}


def provision(
    engine: Engine,
    plan: Plan,
    *,
    volume: str,
    network: NetworkSettings,
    progress: Progress,
    offline: bool,
    bundle: Path | None = None,
    sources: Mapping[str, str] | None = None,
) -> ResolvedEnvironment:
    """Make the environment of the plan ready in the cache volume, if it is not, and return what is in it.

    `bundle` holds the commit, needed where the plan installs the project. `sources` maps paths of scripts to their
    texts: what they import is compiled. Raises MissingFact where the packages cannot be had or built,
    IndexUnavailable where the index refused (or `offline` forbids to ask it), DiskFull.
    """
    keys = ready_keys(plan)
    attempt = secrets.token_hex(8)
    jobs: list[dict[str, Any]] = []
    for _ in range(_MAX_ROUNDS):
        payload = _payload(plan, network, offline=offline) | {
            **keys,
            "attempt": attempt,
            "jobs": jobs,
            "sources": dict(sources or {}),
        }
        result = call(
            engine,
            _resolve_request(plan, volume=volume, network=network, offline=offline),
            payload=payload,
            progress=progress,
            answers={} if bundle is None else {"bundle": bundle_answer(bundle)},
        )
        if result["state"] == "ready":
            return as_resolved(result["environment"], cached=result["cached"])
        jobs = result["jobs"]
        for job in jobs:
            _build(engine, plan, job, volume=volume, progress=progress)
    raise MissingFact(
        f"more than {_MAX_ROUNDS} packages would have to be built from source",
        "runner reproduce RUN --python X.Y    (a Python that the packages have wheels for)",
        fact="environment",
    )


def lacks_wheels(
    engine: Engine, plan: Plan, *, volume: str, network: NetworkSettings, progress: Progress, offline: bool
) -> str | None:
    """Return why the packages cannot be had on the plan's Python without building any, None where they can.

    Resolves and installs nothing. What the repository's own package needs counts as far as it is written down. Raises
    IndexUnavailable where the index refused.
    """
    payload = _payload(plan, network, offline=offline) | {**ready_keys(plan), "wheels_alone": True}
    request = _resolve_request(plan, volume=volume, network=network, offline=offline)
    try:
        result = call(engine, request, payload=payload, progress=progress)
    except MissingFact as missing:
        return missing.cause
    return None if result["state"] == "ready" else f"{_what(result['name'], result['version'])} has no wheel for it"


def as_resolved(record: Mapping[str, Any], *, cached: bool) -> ResolvedEnvironment:
    """Return the record of a ready environment, as our containers give it, as a value."""
    return ResolvedEnvironment(
        key=record["key"],
        python=record["python"],
        lock=record["lock"],
        packages=dict(record["packages"]),
        built_from_source=tuple(record["built_from_source"]),
        cached=cached,
        notes=tuple(record["notes"]),
    )


def explain_build_failure(name: str | None, version: str | None, log: str) -> MissingFact:
    """Return the error for a build that failed, from the end of its log: what was missing, where that can be told.

    `name` of None is the repository's own package.
    """
    what = _what(name, version)
    lines = [line.rstrip() for line in _CONTROL.sub("", redact(log)).splitlines() if line.strip()]
    reason, network = "", False
    for pattern, sentence in _CAUSES:
        if match := pattern.search("\n".join(lines)):
            reason = sentence.format(**match.groupdict())
            network = "network" in sentence
            break
    remedy = f"runner reproduce RUN --with {name or 'NAME'}==VERSION    a version that has a wheel, or --python X.Y"
    if network:
        remedy = "runner reproduce RUN --allow build-network"
    elif "compiler" in reason or "header" in reason or "missing" in reason:
        remedy += "; or an image that has what is missing: --base-image REF"
    return MissingFact(
        f"{what} has no wheel for this Python and building it failed{': ' + reason if reason else ''}",
        remedy,
        fact="environment",
        nearest=tuple(line[:300] for line in lines[-8:]),
    )


def _image(plan: Plan) -> str:
    # Environments belong to the Python of the base image; our own code above it does not touch them.
    digest = plan.images.base_digest or plan.images.tools_digest
    if digest is None:
        raise InternalError("the plan names no image that is there", "runner setup")
    return digest


def _payload(plan: Plan, network: NetworkSettings, *, offline: bool) -> dict[str, Any]:
    spec = plan.environment
    document = spec.model_dump(mode="json")
    undated = "undated" in plan.policy.allow
    started = plan.run.model_dump(mode="json")["start_time"]
    return {
        "commit": plan.lineage.commit,
        "kind": spec.kind,
        "root": spec.root,
        "main": spec.main,
        "files": spec.files,
        "as_of": None if undated else document["as_of"],
        "build_as_of": None if undated else document["as_of"] or started,
        "python": spec.python,
        "image": _image(plan),
        "constraints": list(spec.constraints),
        "overrides": [*spec.overrides, *spec.substitutions],
        "left_out": list(spec.left_out),
        "indexes": list(spec.indexes),
        "install_project": spec.install_project,
        "offline": offline,
        "network": {
            "ca": None if network.ca_bundle is None else network.ca_bundle.decode("ascii", errors="replace"),
            "index_url": network.index_url,
            "extra_index_urls": list(network.extra_index_urls),
            "find_links": list(network.find_links),
            "trusted_hosts": list(network.trusted_hosts),
            "proxies": network.proxies,
        },
    }


def _resolve_request(plan: Plan, *, volume: str, network: NetworkSettings, offline: bool) -> ContainerRequest:
    return ContainerRequest(
        image=plan.images.tools,
        argv=inside_argv("provision"),
        purpose="provision",
        run=plan.run.id,
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
        # Index credentials come by standard input and are written here alone.
        tmpfs={SECRETS: "size=16m,mode=0700", "/tmp": "size=512m,mode=1777"},  # noqa: S108  # in the container
        network="none" if offline else ("host" if network.needs_host_network else "bridge"),
        hardened=True,
        capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),  # of root over the folders that phase 2b writes
    )


def _build(engine: Engine, plan: Plan, job: Mapping[str, Any], *, volume: str, progress: Progress) -> None:
    from runner.inside.build import NEEDS_MORE

    progress.update(f"building {_what(job['name'], job['version'])} from source")
    log = _Tail()
    outcome = engine.run(build_request(plan, job, volume=volume), stdout=log.feed, stderr=log.feed)
    if outcome.exit_code in (0, NEEDS_MORE) and not outcome.out_of_memory:
        return
    text = log.text()
    if outcome.timed_out:
        text += f"\nstopped after {_BUILD_TIMEOUT_S:.0f} seconds"
    elif outcome.out_of_memory:
        text += "\nkilled for memory"
    raise explain_build_failure(job["name"], job["version"], text)


def _what(name: str | None, version: str | None) -> str:
    return "the repository's own package" if name is None else f"{name} {version or ''}".rstrip()


def build_request(plan: Plan, job: Mapping[str, Any], *, volume: str) -> ContainerRequest:
    """Return the container of phase 2b: it sees the inputs of one build, and writes its output."""
    path, subpath = job["path"], job["subpath"]
    mounts = [
        VolumeMount(volume=volume, subpath=f"{subpath}/input", target=f"{path}/input", read_only=True),
        VolumeMount(volume=volume, subpath=f"{subpath}/output", target=f"{path}/output"),
    ]
    if job["name"] is None:
        # Where the training will have it, so that an editable install leads there.
        mounts.append(VolumeMount(volume=volume, subpath=f"{subpath}/workspace", target=layout.WORKSPACE_TARGET))
    environment = {
        "PATH": f"{path}/input/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": f"{path}/input/venv",
        "HOME": "/tmp",  # noqa: S108  # in the container
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if plan.run.start_time is not None:
        environment["SOURCE_DATE_EPOCH"] = str(int(plan.run.start_time.timestamp()))
    if job["name"] is None:
        # The archive of a commit has no history to count versions in.
        environment |= {"SETUPTOOLS_SCM_PRETEND_VERSION": "0", "PBR_VERSION": "0"}
    return ContainerRequest(
        image=plan.images.tools,
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
