"""Databases and services that a training could not read, told by what their drivers say as they fail.

Most drivers are written in C: the capture sees no host that they try. Credentials are never given to a training, so
that no open network would help: what the run read has to be exported and pinned.
"""

from __future__ import annotations

import re

from runner.redact import redact
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Rerun
from runner.verdict.remedy import again

_LOOKED_AT = 20  # lines of the log's end: drivers explain themselves in several
_HOST = r"['\"]?(?P<host>[\w.@:/-]+?)['\"]?"
_SIGNS = (
    ("PostgreSQL", re.compile(rf"could not translate host name {_HOST} to address")),
    ("PostgreSQL", re.compile(rf"connection to server (?:at|on socket) {_HOST}(?: \([^)]*\))?, (?:port \d+ )?failed")),
    ("PostgreSQL", re.compile(rf"server running (?:on host|locally)[^?]*?{_HOST}(?: \([^)]*\))? and accepting")),
    ("MySQL", re.compile(rf"Can't connect to (?:local )?(?:MySQL|MariaDB).*? (?:on|socket) {_HOST}(?=[\s:(]|$)")),
    ("MySQL", re.compile(rf"Unknown (?:MySQL|MariaDB)? ?server host {_HOST}(?=[\s(]|$)")),
    ("MongoDB", re.compile(rf"ServerSelectionTimeoutError: {_HOST}: ")),
    ("Snowflake", re.compile(rf"Failed to connect to DB: {_HOST}\. ")),
    ("an ODBC database", re.compile(r"pyodbc\.(?:Operational|Interface)?Error: \('(?:HYT00|08001|08S01|IM002)'")),
    ("Oracle", re.compile(r"(?:DPY-6005|DPY-4011|ORA-12\d{3}|DPI-1047)")),
    ("a service of AWS", re.compile(rf"Could not connect to the endpoint URL: {_HOST}(?=\s|$)")),
    ("a service of AWS", re.compile(r"NoCredentialsError|Unable to locate credentials")),
    ("a service of Google Cloud", re.compile(r"DefaultCredentialsError")),
    ("a service of Azure", re.compile(r"ClientAuthenticationError|DefaultAzureCredential failed")),
)  # fmt: skip


def unread_service(plan: Plan, rerun: Rerun) -> Missing | None:
    """Return the service that a failed training says it could not read (rule 28), None where it says of none."""
    lines = rerun.log_tail[-_LOOKED_AT:]
    for line in reversed(lines):
        for name, sign in _SIGNS:
            match = sign.search(line)
            if match is None:
                continue
            host = match.groupdict().get("host")
            what = f"{name} at {host}" if host else name
            return Missing(
                fact="data",
                cause=redact(f"the training reads {what}, which a rerun neither reaches nor has a login for"),
                remedy=again(plan) + "    once `inputs` in runner.yaml pins an export of what it read",
                nearest=(redact(line.strip()[:300]),),
            )
    return None
