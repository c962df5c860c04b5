"""Phases 2a and 2b seen from the host: Plan -> ResolvedEnvironment, by way of an engine.

2a resolves, fetches and installs, and runs no foreign code; where something has no wheel, 2b builds it in a container
without a network and credentials, and 2a goes on with what came out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from runner.credentials.indexes import with_index_credentials
from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import IndexUnavailable, InternalError, MissingFact, NotByThen
from runner.inside import layout
from runner.inside.packages.environment import LAYOUT_VERSION, SECRETS
from runner.network import NetworkSettings
from runner.progress import Progress
from runner.repository.package_source import fetch_source
from runner.rerun.answers import Answer, bundle_answer, source_answer
from runner.rerun.build import build
from runner.rerun.build_failure import lacks_tool
from runner.rerun.exchange import call, inside_argv
from runner.rerun.redate import first_that_works
from runner.schema.base import canonical_digest
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.rerun import ResolvedEnvironment

_MAX_ROUNDS = 40  # of building: an environment with more packages without a wheel is not one to be had


def ready_keys(plan: Plan) -> dict[str, str]:
    """Return the keys by which restore looks for a ready environment (`packages.environment.find_ready`)."""
    spec = plan.environment
    specification = _key(
        {
            "layout": LAYOUT_VERSION,
            "kind": spec.kind,
            "root": spec.root,
            "main": spec.main,
            "files": spec.files,
            "lines": spec.lines,
            "as_of": spec.model_dump(mode="json")["as_of"],
            "python": spec.python,
            "constraints": spec.constraints,
            "overrides": (*spec.overrides, *spec.substitutions),
            **({"recorded_overrides": spec.recorded_overrides} if spec.recorded_overrides else {}),
            **({"left_out": spec.left_out, "indexes": spec.indexes} if spec.substitutions else {}),
            **_imports(spec),
            "install_project": spec.install_project,
            "undated": "undated" in plan.policy.allow,
            "redate": "redate" in plan.policy.allow,
            "index_dates": spec.index_dates,
            "image": _image(plan),
        }
    )
    # What was built may have found system packages; what came as a wheel is the same with and without them. What was
    # built with a network is never taken where none is allowed.
    built_with = [_image(plan), "compilers", *plan.system_packages.names, "build-network" in plan.policy.allow]
    return {
        "specification": specification,
        "repository": _key([plan.lineage.repository, plan.lineage.tree, *built_with]),
    }


def _imports(spec: EnvironmentSpec) -> dict[str, Any]:
    """Return what the training imports, which decides what is added to a list and what may be left out of it."""
    imports = [module.model_dump(mode="json") for module in spec.imports]
    return {"imports": imports, "adds_imports": spec.adds_imports, "from_conda": list(spec.from_conda)}


def _spares(spec: EnvironmentSpec) -> bool:
    """Tell whether what has no wheel, and none of the imports needs, may be lacking.

    It had one where it trained: Python is a guess where none is recorded, and conda's packages are other builds here.
    """
    return spec.adds_imports and (spec.python_recorded is None or bool(spec.from_conda))


def _key(document: Any) -> str:
    return canonical_digest(document).partition(":")[2][:40]


def provision(
    engine: Engine,
    plan: Plan,
    *,
    rerun: str,
    volume: str,
    network: NetworkSettings,
    build_image: Callable[[], str],
    progress: Progress,
    offline: bool,
    bundle: Path | None = None,
    package_sources: Path | None = None,
    sources: Mapping[str, str] | None = None,
    upload_times: Mapping[str, str] | None = None,
    pythons: Sequence[str] = (),
) -> ResolvedEnvironment:
    """Make the environment of the plan ready in the cache volume, if it is not, and return what is in it.

    The workspace `rerun` will name it as in use. `build_image` returns the image for phase 2b, and is asked once
    something must be built. `bundle` holds the commit, needed where the plan installs the project; into the folder
    `package_sources` other repositories are fetched that packages come from. `sources` maps paths of scripts to their
    texts: what they import is compiled; `upload_times` date files of indexes that do not; `pythons` may be offered in
    the place of the plan's. Where the packages of the run's day cannot be had and the plan allows it, they are those of
    the first later day. Raises NotByThen where it does not, MissingFact where the packages cannot be had or built,
    IndexUnavailable where the index refused (or `offline` forbids to ask it), DiskFull.
    """
    told, network = network.notes, with_index_credentials(network)
    for note in network.notes[len(told) :]:
        progress.line(note)
    make = partial(
        _make,
        engine,
        plan,
        rerun=rerun,
        volume=volume,
        network=network,
        build_image=build_image,
        progress=progress,
        offline=offline,
        answers=_answers(plan, bundle, package_sources, offline=offline),
        sources=sources,
        upload_times=upload_times,
        pythons=pythons,
        hopeless={},
    )
    day = plan.environment.as_of or plan.run.start_time
    try:
        return make(day)
    except NotByThen as first:
        if day is None or "redate" not in plan.policy.allow:
            raise
        return first_that_works(first, day, make, now=datetime.now(timezone.utc), progress=progress)


def _make(
    engine: Engine,
    plan: Plan,
    day: datetime | None,
    redated: str | None = None,
    *,
    rerun: str,
    volume: str,
    network: NetworkSettings,
    build_image: Callable[[], str],
    progress: Progress,
    offline: bool,
    answers: Mapping[str, Answer],
    sources: Mapping[str, str] | None,
    upload_times: Mapping[str, str] | None,
    pythons: Sequence[str],
    hopeless: dict[str, MissingFact],
) -> ResolvedEnvironment:
    """Make the environment with the packages of a day; `redated` says why it is not the run's own.

    `hopeless` collects what no other day's packages build either, for lack of a compiler or the like.
    """
    payload = _payload(plan, day, network, offline=offline, upload_times=upload_times) | {
        "rerun": rerun,
        "attempt": secrets.token_hex(8),
        "redated": redated,
        "sources": dict(sources or {}),
        "pythons": list(pythons),
    }
    jobs: list[dict[str, Any]] = []
    known: dict[str, Any] = {}  # of the rounds before
    given_up: dict[str, str] = {}
    failures = dict(hopeless)
    for _ in range(_MAX_ROUNDS):
        result = call(
            engine,
            _resolve_request(plan, volume=volume, network=network, offline=offline),
            payload={**payload, "jobs": jobs, "given_up": given_up, **known},
            progress=progress,
            answers=answers,
            secrets=network.secrets,
        )
        if result["state"] == "ready":
            return as_resolved(result["environment"], cached=result["cached"])
        jobs, known = [], known | {key: result[key] for key in ("chosen", "closed") if result.get(key) is not None}
        fewer = len(given_up)
        given_up |= result.get("given_up", {})
        asked = {job["title"]: job for job in result["jobs"]}
        if redated is not None and (never := sorted(asked.keys() & hopeless)):
            raise hopeless[never[0]]  # before all the others of yet another day are built in vain
        for what, job in asked.items():
            if what in failures:
                continue
            try:
                build(engine, plan, job, image=build_image(), volume=volume, progress=progress)
                jobs.append(job)
            except MissingFact as error:
                if job.get("spared"):
                    given_up[job["spared"]] = error.cause
                    continue
                failures[what] = error
                if lacks_tool(error.cause):
                    hopeless[what] = error
        if (
            not jobs and len(given_up) == fewer
        ):  # else what failed may not be asked for again, once the others say what they need
            raise failures[next(iter(asked))]
    raise MissingFact(
        f"more than {_MAX_ROUNDS} packages would have to be built from source",
        "runner reproduce RUN --python X.Y    (a Python that the packages have wheels for)",
        fact="environment",
    )


def lacks_wheels(
    engine: Engine,
    plan: Plan,
    *,
    volume: str,
    network: NetworkSettings,
    progress: Progress,
    offline: bool,
    upload_times: Mapping[str, str] | None = None,
) -> str | None:
    """Return why the packages cannot be had on the plan's Python without building any, None where they can.

    Installs nothing. What the repository's own package needs counts as far as it is written down; what has no wheel on
    any Python speaks against none. `upload_times` are those of `provision`. Raises IndexUnavailable where the index
    refused; `offline` what is not in the cache cannot be had.
    """
    day = plan.environment.as_of or plan.run.start_time
    network = with_index_credentials(network)
    payload = _payload(plan, day, network, offline=offline, upload_times=upload_times) | {"wheels_alone": True}
    request = _resolve_request(plan, volume=volume, network=network, offline=offline)
    try:
        result = call(engine, request, payload=payload, progress=progress, secrets=network.secrets)
    except MissingFact as missing:
        return missing.cause
    except IndexUnavailable as error:
        if not offline:
            raise
        return error.cause
    if result["state"] == "ready":
        return None
    return f"{result['name']} {result['version'] or ''}".rstrip() + " has no wheel for it"


def _answers(plan: Plan, bundle: Path | None, package_sources: Path | None, *, offline: bool) -> dict[str, Answer]:
    """Return what 2a may ask for: the commit, and other repositories that the plan names."""
    answers = {} if bundle is None else {"bundle": bundle_answer(bundle)}
    if package_sources is not None and plan.environment.repositories:
        day = plan.environment.as_of or plan.run.start_time
        fetch = partial(fetch_source, mirrors=package_sources, as_of=day, offline=offline)
        answers["source"] = source_answer(plan.environment.repositories, fetch)
    return answers


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
        as_of=_moment(record["as_of"]),
        build_as_of=_moment(record["build_as_of"]),
        redated=record["redated"],
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _image(plan: Plan) -> str:
    # Environments belong to the Python of the base image; our own code above it does not touch them.
    # The id is the same on a machine that it was carried to; a registry's digest stays behind.
    digest = plan.images.base_id or plan.images.base_digest or plan.images.tools_digest
    if digest is None:
        raise InternalError("the plan names no image that is there", "runner setup")
    return digest


def _payload(
    plan: Plan,
    day: datetime | None,
    network: NetworkSettings,
    *,
    offline: bool,
    upload_times: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    spec = plan.environment
    dated = (
        None
        if day is None or "undated" in plan.policy.allow
        else day.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    )
    keys = ready_keys(plan)
    as_of = None if spec.as_of is None else dated
    return {
        **keys,
        "builds": _key({**keys, "as_of": as_of, "build_as_of": dated}),
        "commit": plan.lineage.tree,
        "kind": spec.kind,
        "root": spec.root,
        "main": spec.main,
        "files": spec.files,
        "lines": list(spec.lines),
        "as_of": as_of,
        "build_as_of": dated,
        "python": spec.python,
        "image": _image(plan),
        "constraints": list(spec.constraints),
        "recorded_overrides": list(spec.recorded_overrides),
        "overrides": [*spec.overrides, *spec.substitutions],
        "left_out": list(spec.left_out),
        "indexes": list(spec.indexes),
        **_imports(spec),
        "spares": _spares(spec),
        "install_project": spec.install_project,
        "upload_times": dict(upload_times or {}),
        "offline": offline,
        "network": {
            "ca": None if network.ca_bundle is None else network.ca_bundle.decode("ascii", errors="replace"),
            "index_url": network.index_url,
            "extra_index_urls": list(network.extra_index_urls),
            "find_links": list(network.find_links),
            "trusted_hosts": list(network.trusted_hosts),
            "index_strategy": network.index_strategy,
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
