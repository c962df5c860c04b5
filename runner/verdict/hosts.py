"""The hosts that a training asked for and that the closed network kept from it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from runner.redact import redact
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord

_SHOWN = 5


def hosts_wanted(record: RunRecord, rerun: Rerun) -> tuple[str, ...]:
    """Return the hosts that the training tried, but for this machine and the tracker, which the capture stands for."""
    return tuple(
        host for host in rerun.capture.hosts_tried if not _is_loopback(host) and host.lower() != _tracker_host(record)
    )


def shown_hosts(record: RunRecord, rerun: Rerun) -> str:
    """Return them for people, empty where there are none."""
    hosts = hosts_wanted(record, rerun)
    more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
    return redact(", ".join(hosts[:_SHOWN])) + more


def _tracker_host(record: RunRecord) -> str | None:
    try:
        return urlsplit(record.uri).hostname  # in small letters
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or (mapped is not None and mapped.is_loopback)
