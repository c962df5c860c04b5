"""Phase 1 from the host: hand the bundle and the plan to our restore container, take what it restored."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from runner.credentials.host import NO_ACCESS, HostAccess
from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.engine.remote_kinds import needed_packages
from runner.errors import ImageUnavailable
from runner.inside import layout
from runner.inside.protocol import UNAVAILABLE
from runner.network import NetworkSettings
from runner.pointers.places import scheme_of
from runner.pointers.remotes import is_local
from runner.progress import Progress
from runner.rerun.answers import Answer, Folders, agent_answer, bundle_answer
from runner.rerun.exchange import call, inside_argv
from runner.rerun.remote_access import agents_of, remote_access, secrets_of
from runner.rerun.supplies import NO_SUPPLIES, Supplies
from runner.schema.plan import EarlierStage, Plan, Remote
from runner.schema.rerun import RestoredFile

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

ImageFor = Callable[[Collection[str]], str]
"""Returns the image that reads remotes of these schemes. Raises ImageUnavailable."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What phase 1 gave: every file as it was verified, the remotes that were asked, what was removed beforehand.

    `stages` must run before the training; `doubts` are sentences on inputs that `dvc.lock` may name wrongly.
    """

    files: tuple[RestoredFile, ...]
    remotes_asked: tuple[str, ...]
    removed: tuple[str, ...]
    stages: tuple[EarlierStage, ...] = ()
    doubts: tuple[str, ...] = ()


def restore(
    engine: Engine,
    plan: Plan,
    *,
    rerun: str,
    bundle: Path,
    dvc_roots: tuple[str, ...],
    outs: tuple[str, ...],
    volume: str,
    environment_keys: dict[str, str],
    on_environment: Callable[[dict[str, Any] | None], None],
    network: NetworkSettings,
    progress: Progress,
    host: HostAccess = NO_ACCESS,
    offline: bool = False,
    supplies: Supplies = NO_SUPPLIES,
    image_for: ImageFor | None = None,
) -> Restored:
    """Lay out the workspace `rerun` in the cache volume. `offline` asks no remote but folders.

    `image_for` returns the image that reads remotes of some schemes, the plan's own if it is not given; where it cannot
    be had, those remotes count as unavailable: another may hold all. `on_environment` is told early whether the
    environment is ready, so that it can be made meanwhile. Raises MissingFact where an input is in no store,
    RemoteUnavailable, DiskFull, EngineUnavailable.
    """
    names = _names(plan.remotes)
    folders = {name: _folder(remote) for name, remote in zip(names, plan.remotes, strict=True) if _is_folder(remote)}
    remotes = [
        {
            "name": name,
            "url": remote.url,
            "folder": name in folders,
            "in_commit": remote.in_commit,
            "source": remote.source,
            "options": remote.options,
            **remote_access(remote, plan, host, network, offline=offline),
        }
        for name, remote in zip(names, plan.remotes, strict=True)
    ]
    image = _image(plan, remotes, image_for)
    reached = _network(remotes, network)
    warm = set(plan.policy.warm_start)
    payload = {
        "rerun": rerun,
        "commit": plan.lineage.tree,
        "head": plan.lineage.commit,
        "branch": plan.lineage.branch,
        "url": plan.lineage.repository,
        "dvc_roots": list(dvc_roots),
        "outs": list(outs),
        "pointer_edits": [edit.model_dump(mode="json") for edit in plan.pointer_edits],
        "files": [
            {
                "path": file.path,
                "digest": str(file.digest),
                "role": "output" if file.role == "unknown" and file.path in plan.expected_outputs else file.role,
                "use": file.use,
                "origin": file.origin,
                "warm_start": file.path in warm,
                "size_bytes": file.size_bytes,
            }
            for file in plan.lineage.files
            if file.use != "nothing"
        ],
        "submodules": [submodule.model_dump(mode="json") for submodule in plan.submodules],
        "supplied": [
            file.model_dump(mode="json", include={"path", "digest", "kind", "source"}) for file in plan.supplied
        ],
        "needs": list(plan.needs),
        "stages": [stage.model_dump(mode="json") for stage in plan.earlier_stages],
        "expected_outputs": [path for path in plan.expected_outputs if path not in warm],
        "remotes": remotes,
        "environment": environment_keys,
        "base": plan.images.base,
        # May hold credentials: by standard input, as all that does.
        "proxies": network.proxies if reached != "none" else {},
        "allow_cached": "cached" in plan.policy.allow,
        "allow_line_endings": "line-endings" in plan.policy.allow,
    }
    request = ContainerRequest(
        image=image,
        argv=inside_argv("restore"),
        purpose="restore",
        run=plan.run.id,
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
        network=reached,
    )

    def on_note(name: str, value: Any) -> None:
        if name == "environment":
            on_environment(value)

    answers: dict[str, Answer] = {
        "bundle": bundle_answer(bundle),
        **supplies.answers(),
        **Folders(folders).answers(),
        "ssh-agent": agent_answer({} if offline else agents_of(plan.remotes, host)),
    }
    result = call(
        engine,
        request,
        payload=payload,
        progress=progress,
        on_note=on_note,
        answers=answers,
        secrets=secrets_of(plan.remotes, host),
    )
    return Restored(
        files=tuple(RestoredFile.model_validate(file, strict=False) for file in result["files"]),
        remotes_asked=tuple(result["remotes_asked"]),
        removed=tuple(result["removed"]),
        stages=(stages := _named(plan, result["stages"])),
        doubts=(
            *(sentence for stage in plan.earlier_stages if stage not in stages for sentence in stage.stale),
            *result["doubts"],
        ),
    )


def _named(plan: Plan, stages: list[dict[str, Any]]) -> tuple[EarlierStage, ...]:
    """Return the plan's own of these stages."""
    names = {(stage["file"], stage["name"]) for stage in stages}
    return tuple(stage for stage in plan.earlier_stages if (stage.file, stage.name) in names)


def _image(plan: Plan, remotes: list[dict[str, Any]], image_for: ImageFor | None) -> str:
    """Return the image for the remotes that are asked; those that it cannot be had for are marked as failed."""
    asked = [each for each in remotes if not (each["closed"] or each["failed"])]
    special = [each for each in asked if needed_packages((scheme_of(each["url"]),))]
    if image_for is None or not special:
        return plan.images.tools
    try:
        return image_for({scheme_of(each["url"]) for each in special})
    except ImageUnavailable as error:
        for each in special:
            cause = f"{each['url']} was not asked: {error.cause}"
            each["failed"] = {"kind": UNAVAILABLE, "cause": cause, "remedy": error.remedy, "service": "remote"}
        return plan.images.tools


def _names(remotes: tuple[Remote, ...]) -> list[str]:
    """Return a name for each that is its own, and safe in DVC's configuration, which folds case."""
    names: list[str] = []
    for remote in remotes:
        base = name = re.sub(r"[^a-z0-9_.-]", "-", remote.name.lower()) or "remote"
        number = 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names.append(name)
    return names


def _is_folder(remote: Remote) -> bool:
    return is_local(remote.url) and remote.in_commit is None


def _folder(remote: Remote) -> Path:
    return Path(remote.url.removeprefix("file://"))


def _network(remotes: list[dict[str, Any]], settings: NetworkSettings) -> Literal["none", "bridge", "host"]:
    asked = [each for each in remotes if not (is_local(each["url"]) or each["closed"] or each["failed"])]
    if not asked:
        return "none"
    # An alias of ssh leads to a host that its credentials name.
    named = [each["credentials"]["host"] for each in asked if each["credentials"] and scheme_of(each["url"]) == "ssh"]
    hosts = [urlsplit(each["options"].get("endpointurl") or each["url"]).hostname for each in asked]
    # This host's `localhost` is another place inside a bridged container, also that of its proxy.
    here = settings.needs_host_network or any(host in _LOCAL_NAMES for host in (*hosts, *named))
    return "host" if here else "bridge"
