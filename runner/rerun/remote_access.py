"""How each remote of a plan may be asked: with which keys, by which certificates, or not at all.

Keys leave this host only here: on the standard input of the restore container, for a place that was confirmed.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from runner.credentials.aws import Aws
from runner.credentials.handed import Handed, NotHad
from runner.credentials.host import HostAccess
from runner.inside.protocol import MISSING, UNAVAILABLE
from runner.network import NetworkSettings
from runner.pointers.places import IN_BUCKETS, place_of, scheme_of
from runner.pointers.remotes import is_local
from runner.redact import redact
from runner.schema.plan import Plan, Remote
from runner.verdict.remedy import again

OFFLINE = "not asked, because of --offline"
READ = frozenset({"s3", "gs", "azure", "ssh", "http", "https", "webdav", "webdavs", "file"})
"""Kinds of remotes that restore can read."""
_COPY = (
    "dvc fetch    where the remote can be read, then name the folder of its cache: runner reproduce RUN --remote FOLDER"
)


def remote_access(
    remote: Remote, plan: Plan, host: HostAccess, network: NetworkSettings, *, offline: bool
) -> dict[str, Any]:
    """Return what restore is told of a remote beside its address. Holds secrets: standard input only."""
    found = credentials_for(remote, host)
    keys = found if isinstance(found, Handed) else None
    refusal, remedy = _when_refused(remote, plan, host, found)
    return {
        "closed": OFFLINE if offline and not is_local(remote.url) else None,
        "failed": _failed(remote, found, remedy),
        "access": _said(remote, keys),
        "credentials": None if keys is None else dict(keys.options),
        "confirmed": remote.confirmed_by is not None,
        "refusal": refusal,
        "remedy": remedy,
        "ca_bundle": _ca_bundle(remote, host, network),
    }


def credentials_for(remote: Remote, host: HostAccess) -> Handed | NotHad | None:
    """Return what signs in at a remote: only for a confirmed place, whose endpoint this host names itself.

    None where the place is not confirmed, or a folder.
    """
    scheme = scheme_of(remote.url)
    if is_local(remote.url) or remote.confirmed_by is None or scheme not in READ:
        return None
    endpoint = remote.options.get("endpointurl")
    try:
        place = place_of(remote.url, endpoint)
        own = scheme not in IN_BUCKETS or host.names_endpoint(endpoint, remote.name, scheme)
        if place not in host.confirmed and not own:
            return None
        return host.credentials_for(remote.name, remote.url, remote.options)
    except ValueError as error:
        return NotHad(missing=redact(str(error)), remedy="correct it")


def secrets_of(remotes: tuple[Remote, ...], host: HostAccess) -> tuple[str, ...]:
    """Return all texts that go to restore and must never be shown."""
    found = (credentials_for(remote, host) for remote in remotes)
    return tuple(secret for keys in found if isinstance(keys, Handed) for secret in keys.secrets)


def agents_of(remotes: tuple[Remote, ...], host: HostAccess) -> dict[str, tuple[str, str]]:
    """Return the sockets of SSH agents that may sign for confirmed servers, each with the user to sign in, by url."""
    found = {remote.url: credentials_for(remote, host) for remote in remotes if scheme_of(remote.url) == "ssh"}
    return {
        url: (keys.options["agent"], keys.options["user"])
        for url, keys in found.items()
        if isinstance(keys, Handed) and keys.options["agent"]
    }


def _failed(remote: Remote, found: Handed | NotHad | None, remedy: str) -> dict[str, str] | None:
    """Return why a remote is known not to answer before it is asked, None for all others."""
    scheme = scheme_of(remote.url)
    if not is_local(remote.url) and scheme not in READ:  # trying again will not help
        cause = f"the remote {remote.url} is of a kind that is not read here: {scheme}"
        return {"kind": MISSING, "cause": cause, "remedy": _COPY, "fact": "remote"}
    if scheme == "ssh" and not isinstance(found, Handed):  # it answers nobody who does not sign in
        why = f"and {found.missing}" if found is not None else f"and nobody confirmed {place_of(remote.url)}"
        cause = f"{remote.url} was not asked: ssh needs credentials, {why}"
        return {"kind": UNAVAILABLE, "cause": cause, "remedy": remedy, "service": "remote"}
    return None


def _said(remote: Remote, keys: Handed | None) -> str | None:
    if is_local(remote.url):
        return None
    return "without credentials" if keys is None else f"with the credentials of {keys.source}"


def _when_refused(remote: Remote, plan: Plan, host: HostAccess, found: Handed | NotHad | None) -> tuple[str, str]:
    """Return the words for a refusal, and what to paste."""
    same = again(plan)
    scheme = scheme_of(remote.url)
    if is_local(remote.url) or scheme not in READ:
        return "", same
    if isinstance(found, Handed):
        return f"refuses the credentials of {found.source}", f"see that they may read it, then: {same}"
    if found is not None:
        return f"refuses to be read without credentials, and {found.missing}", f"{found.remedy}, then: {same}"
    place = place_of(remote.url, remote.options.get("endpointurl"))
    words = f"refuses to be read without credentials, and nobody confirmed {place} for those of this host"
    return words, _how_to_confirm(remote, plan, host)


def _how_to_confirm(remote: Remote, plan: Plan, host: HostAccess) -> str:
    """Return what to paste so that a place gets this host's credentials: its address, or a bucket's name.

    Where the repository names who serves the bucket, that is for the auditor to name too.
    """
    scheme, endpoint = scheme_of(remote.url), remote.options.get("endpointurl")
    if scheme not in IN_BUCKETS:
        return again(plan, "--remote", remote.url)
    command = again(plan, "--remote", remote.name)
    if host.names_endpoint(endpoint, remote.name, scheme):
        return command
    if scheme == "azure":
        return f"export AZURE_STORAGE_CONNECTION_STRING=...    of that account, then: {command}"
    variable = "AWS_ENDPOINT_URL" if scheme == "s3" else "STORAGE_EMULATOR_HOST"
    return f"{variable}={shlex.quote(str(endpoint))} {command}"


def _ca_bundle(remote: Remote, host: HostAccess, network: NetworkSettings) -> str | None:
    """Return the certificates by which a remote is known: what its own settings on this host name, else the host's."""
    general = None if network.ca_bundle is None else network.ca_bundle.decode("utf-8", errors="replace")
    scheme = scheme_of(remote.url)
    if scheme == "s3":
        place = place_of(remote.url, remote.options.get("endpointurl"))
        return _own_bundle(host.aws_for(remote.name, place)) or general
    return general if scheme in ("https", "webdavs", "gs", "azure") else None


def _own_bundle(aws: Aws) -> str | None:
    if aws.ca_file is None:
        return None
    try:
        return Path(aws.ca_file).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
