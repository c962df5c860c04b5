"""Phase 1 from the host: hand the bundle and the plan to our restore container, take what it restored."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from runner.credentials.host import NO_ACCESS, HostAccess
from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.inside import layout
from runner.network import NetworkSettings
from runner.pointers.places import AWS, scheme_of
from runner.pointers.remotes import is_local
from runner.progress import Progress
from runner.rerun.answers import Folders, bundle_answer
from runner.rerun.exchange import call, inside_argv
from runner.rerun.remote_access import remote_access, secrets_of
from runner.rerun.supplies import NO_SUPPLIES, Supplies
from runner.schema.plan import Plan, Remote
from runner.schema.rerun import RestoredFile

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What phase 1 gave: every file as it was verified, the remotes that were asked, what was removed beforehand."""

    files: tuple[RestoredFile, ...]
    remotes_asked: tuple[str, ...]
    removed: tuple[str, ...]


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
) -> Restored:
    """Lay out the workspace `rerun` in the cache volume. `offline` asks no remote but folders.

    `on_environment` is told early whether the environment is ready, so that it can be made meanwhile. Raises
    MissingFact where an input is in no store, RemoteUnavailable, DiskFull, EngineUnavailable.
    """
    names = _names(plan.remotes)
    folders = {name: _folder(remote) for name, remote in zip(names, plan.remotes, strict=True) if _is_folder(remote)}
    asked = () if offline else plan.remotes
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
                "warm_start": file.path in warm,
            }
            for file in plan.lineage.files
        ],
        "submodules": [submodule.model_dump(mode="json") for submodule in plan.submodules],
        "supplied": [
            file.model_dump(mode="json", include={"path", "digest", "kind", "source"}) for file in plan.supplied
        ],
        "expected_outputs": [path for path in plan.expected_outputs if path not in warm],
        "remotes": [
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
        ],
        "environment": environment_keys,
        "base": plan.images.base,
        # May hold credentials: by standard input, as all that does.
        "proxies": network.proxies if _network(asked, network) != "none" else {},
        "allow_cached": "cached" in plan.policy.allow,
        "allow_line_endings": "line-endings" in plan.policy.allow,
    }
    request = ContainerRequest(
        image=plan.images.tools,
        argv=inside_argv("restore"),
        purpose="restore",
        run=plan.run.id,
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
        network=_network(asked, network),
    )

    def on_note(name: str, value: Any) -> None:
        if name == "environment":
            on_environment(value)

    answers = {"bundle": bundle_answer(bundle), **supplies.answers(), **Folders(folders).answers()}
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
    )


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


def _network(remotes: tuple[Remote, ...], settings: NetworkSettings) -> Literal["none", "bridge", "host"]:
    addresses = [
        remote.options.get("endpointurl") or (f"https://{AWS}" if scheme_of(remote.url) == "s3" else remote.url)
        for remote in remotes
        if not is_local(remote.url)
    ]
    hosts = [urlsplit(address).hostname for address in addresses]
    if not hosts:
        return "none"
    # This host's `localhost` is another place inside a bridged container, also that of its proxy.
    here = settings.needs_host_network or any(host in _LOCAL_NAMES for host in hosts)
    return "host" if here else "bridge"
