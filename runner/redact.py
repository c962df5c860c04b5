"""Taking secrets out of texts that people will read: URLs' user information, tokens in queries, `key=value` secrets.

Errs towards hiding: a name that only looks secret is hidden too.
"""

from __future__ import annotations

import re

_USERINFO = re.compile(
    r"(?<![a-zA-Z0-9+.-])(?P<scheme>[a-zA-Z0-9+.-]*://)"
    # up to the last @ of the authority; or a password with a slash in it, which is no URL and yet typed
    r"(?P<userinfo>[^/\s\"'<>]+|[^/\s\"'<>@:]+:(?!\d{1,5}/)[^\s\"'<>@]+)@"
)
_NAMES = (
    r"password|passwd|passphrase|(?<![a-z])pwd(?![a-z])|secret|token|credential|authorization|"
    r"(?:api|access|account|private)[_-]?key|(?:amz-|goog-|access)signature|(?<![a-z])(?:sas|sig)(?![a-z])"
)
_VALUE = r"(?P<value>(?P<quote>\\*[\"'])(?:(?!(?P=quote)).)*|[^\s\"'&;]+?(?=[,)\]}]*(?:[\s\"'&;]|$)))"
_ASSIGNMENT = re.compile(
    rf"(?i)(?<![a-z0-9_.-])(?P<name>[a-z0-9_.-]*(?:{_NAMES})[a-z0-9_.-]{{0,64}}\\*[\"']?\s*(?:=>?|:)\s*){_VALUE}"
)
_OPTION = re.compile(rf"(?i)(?P<name>(?<!\S)--(?:[a-z0-9]+[-_])*(?:{_NAMES})\s+)(?!-){_VALUE}")
_BEARER = re.compile(r"(?i)\b(?P<scheme>bearer|basic(?!\s+auth))\s+[A-Za-z0-9+/=._~-]{8,}")
_NUMBER = re.compile(r"[+-]?[0-9.]{1,12}(?:e[+-]?[0-9]+)?", re.IGNORECASE)

_SIGNS = (
    *("://", "bearer", "basic", "password", "passwd", "passphrase", "pwd", "secret", "token", "credential"),
    *("authorization", "key", "signature", "sas", "sig"),
)  # each match of the above holds one

HIDDEN = "***"


def redact(text: str) -> str:
    """Return `text` with user information in URLs, bearer tokens and values of secret-looking names hidden.

    A lone user name of ssh (`git@`) is no secret and stays, and so does a number of tokens (`max_tokens=512`).
    """

    def hide_userinfo(match: re.Match[str]) -> str:
        userinfo = match["userinfo"]
        keep = match["scheme"].lower() in {"ssh://", "git+ssh://"} and not set(userinfo) & {":", "@"}
        return match[0] if keep else f"{match['scheme']}{HIDDEN}@"

    def hide_value(match: re.Match[str]) -> str:
        if "token" in match["name"].lower() and _NUMBER.fullmatch(match["value"]):
            return match[0]
        return f"{match['name']}{match['quote'] or ''}{HIDDEN}"

    folded = text.casefold()
    if not any(sign in folded for sign in _SIGNS):  # most of a log: searching for these costs a tenth
        return text
    text = _USERINFO.sub(hide_userinfo, text)
    text = _BEARER.sub(lambda match: f"{match['scheme']} {HIDDEN}", text)
    return _OPTION.sub(hide_value, _ASSIGNMENT.sub(hide_value, text))
