"""Keys for Google Cloud Storage: a key file of a service account, or what `gcloud auth application-default` left.

Read here, so that nothing in the container looks for others: the machine's metadata service would have some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner.credentials.handed import Handed, NotHad

REMEDY = "export GOOGLE_APPLICATION_CREDENTIALS=FILE"
_SECRETS = ("private_key", "private_key_id", "refresh_token", "client_secret")
_NEEDED = {
    "service_account": ("client_email", "private_key", "token_uri"),
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
}


def google_credentials(
    own: Mapping[str, str], own_source: str, environ: Mapping[str, str], read: Callable[[Path], str | None]
) -> Handed | NotHad:
    """Return the key of this host. `own` are the options that its DVC configuration has for the remote."""
    for file, source in _files(own, own_source, environ):
        text = read(file)
        if text is None:
            if source is None:
                continue
            return NotHad(missing=f"{source} names {file}, which cannot be read", remedy=REMEDY)
        return _read(text, str(file) if source is None else f"{source} ({file})")
    return NotHad(missing="this host has no GOOGLE_APPLICATION_CREDENTIALS and no application default", remedy=REMEDY)


def _files(own: Mapping[str, str], own_source: str, environ: Mapping[str, str]) -> list[tuple[Path, str | None]]:
    """Return files in the order of Google's own tools, each with who names it, None where nobody does."""
    files: list[tuple[Path, str | None]] = []
    if own.get("credentialpath"):
        files.append((Path(own["credentialpath"]), f"credentialpath of {own_source}"))
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        named = Path(environ["GOOGLE_APPLICATION_CREDENTIALS"]).expanduser()
        files.append((named, "GOOGLE_APPLICATION_CREDENTIALS"))
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("CLOUDSDK_CONFIG") or home / ".config" / "gcloud")
    return [*files, (folder / "application_default_credentials.json", None)]


def _read(text: str, source: str) -> Handed | NotHad:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return NotHad(missing=f"{source} holds no key", remedy=REMEDY)
    kind = str(document.get("type"))
    if kind not in _NEEDED:  # such have a program or another service asked for the key
        return NotHad(missing=f"{source} is of a kind that is not followed here ({kind[:40]})", remedy=REMEDY)
    if not all(isinstance(document.get(name), str) for name in _NEEDED[kind]):
        return NotHad(missing=f"{source} lacks {', '.join(_NEEDED[kind])}", remedy=REMEDY)
    secrets = [str(document[name]) for name in _SECRETS if document.get(name)]
    lines = [line for secret in secrets for line in secret.splitlines() if len(line) > 20 and "-----" not in line]
    return Handed(options={"token": document}, secrets=(*secrets, *lines), source=source)
