"""Taking secrets out of texts that people will read: URLs' user information, tokens in queries, `key=value` secrets.

Errs towards hiding: a name that only looks secret is hidden too.
"""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<userinfo>[^/\s@]+)@")
_ASSIGNMENT = re.compile(
    r"(?i)(?P<name>[a-z0-9_.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential|sas)[a-z0-9_.-]*"
    r"[\"']?\s*[=:]\s*[\"']?)(?P<value>[^\s\"'&,;]+)"
)
_BEARER = re.compile(r"(?i)\b(?P<scheme>bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}")

HIDDEN = "***"


def redact(text: str) -> str:
    """Return `text` with user information in URLs, bearer tokens and values of secret-looking names hidden.

    A lone user name of ssh (`git@`) is no secret and stays.
    """

    def hide_userinfo(match: re.Match[str]) -> str:
        userinfo = match["userinfo"]
        keep = match["scheme"].lower() in {"ssh://", "git+ssh://"} and ":" not in userinfo
        return match[0] if keep else f"{match['scheme']}{HIDDEN}@"

    text = _USERINFO.sub(hide_userinfo, text)
    text = _BEARER.sub(lambda match: f"{match['scheme']} {HIDDEN}", text)
    return _ASSIGNMENT.sub(lambda match: f"{match['name']}{HIDDEN}", text)
