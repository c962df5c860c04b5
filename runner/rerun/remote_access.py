"""How each remote of a plan may be asked: with which keys, by which certificates, or not at all.

Keys leave this host only here: on the standard input of the restore container, for a place that was confirmed.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from runner.credentials.aws import EXPORT, Aws, Keys
from runner.credentials.host import HostAccess
from runner.network import NetworkSettings
from runner.pointers.places import place_of, scheme_of
from runner.pointers.remotes import is_local
from runner.schema.plan import Plan, Remote
from runner.verdict.remedy import again

OFFLINE = "not asked, because of --offline"


def remote_access(
    remote: Remote, plan: Plan, host: HostAccess, network: NetworkSettings, *, offline: bool
) -> dict[str, Any]:
    """Return what restore is told of a remote beside its address. Holds secrets: standard input only."""
    keys = keys_for(remote, host)
    refusal, remedy = _when_refused(remote, plan, host, keys)
    return {
        "closed": OFFLINE if offline and not is_local(remote.url) else None,
        "access": _said(remote, keys),
        "credentials": None if keys is None else _options(keys),
        "refusal": refusal,
        "remedy": remedy,
        "ca_bundle": _ca_bundle(remote, host, network),
    }


def keys_for(remote: Remote, host: HostAccess) -> Keys | None:
    """Return the keys for a remote: only for a confirmed place, whose endpoint this host names itself."""
    if scheme_of(remote.url) != "s3" or remote.confirmed_by is None:
        return None
    endpoint = remote.options.get("endpointurl")
    place = place_of(remote.url, endpoint)
    if place not in host.confirmed and not host.names_endpoint(endpoint, remote.name):
        return None
    return host.aws_for(remote.name, place).keys


def secrets_of(remotes: tuple[Remote, ...], host: HostAccess) -> tuple[str, ...]:
    """Return all texts that go to restore and must never be shown."""
    found = (keys_for(remote, host) for remote in remotes)
    return tuple(secret for keys in found if keys is not None for secret in keys.secrets)


def _options(keys: Keys) -> dict[str, str]:
    token = {} if keys.session_token is None else {"session_token": keys.session_token}
    return {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key, **token}


def _said(remote: Remote, keys: Keys | None) -> str | None:
    if scheme_of(remote.url) != "s3":
        return None
    return "without credentials" if keys is None else f"with the credentials of {keys.source}"


def _when_refused(remote: Remote, plan: Plan, host: HostAccess, keys: Keys | None) -> tuple[str, str]:
    """Return the words for a refusal, and what to paste."""
    same = again(plan)
    if scheme_of(remote.url) != "s3":
        return "", same
    if keys is not None:
        return f"refuses the credentials of {keys.source}", f"see that they may read it, then: {same}"
    endpoint = remote.options.get("endpointurl")
    place = place_of(remote.url, endpoint)
    aws = host.aws_for(remote.name, place)
    if remote.confirmed_by is not None:
        return f"refuses to be read without credentials, and {aws.missing}", f"{EXPORT}, then: {same}"
    named = host.names_endpoint(endpoint, remote.name)
    command = again(plan, "--remote", remote.name)
    return (
        f"refuses to be read without credentials, and nobody confirmed {place} for those of this host",
        command if named else f"AWS_ENDPOINT_URL={shlex.quote(str(endpoint))} {command}",
    )


def _ca_bundle(remote: Remote, host: HostAccess, network: NetworkSettings) -> str | None:
    """Return the certificates by which a remote is known: AWS's own setting for S3, else the host's."""
    general = None if network.ca_bundle is None else network.ca_bundle.decode("utf-8", errors="replace")
    scheme = scheme_of(remote.url)
    if scheme == "s3":
        return (
            _own_bundle(host.aws_for(remote.name, place_of(remote.url, remote.options.get("endpointurl")))) or general
        )
    return general if scheme == "https" else None


def _own_bundle(aws: Aws) -> str | None:
    if aws.ca_file is None:
        return None
    try:
        return Path(aws.ca_file).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
