"""WebDAV: as `http` has it, a header goes to the remote's own origin alone."""

from __future__ import annotations

from typing import Any

from dvc_webdav import WebDAVFileSystem, WebDAVSFileSystem

from runner.inside.data.kinds.origin import header_for
from runner.inside.data.kinds.register import TOLD


class _Guarded:
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        told = TOLD[config["user"]]

        def sign_in(request: Any) -> None:
            header = header_for(told, str(request.url))
            if header is not None:
                request.headers[header[0]] = header[1]
            elif told["credentials"] is not None:  # httpx repeats all headers but its own
                request.headers.pop(told["credentials"]["header"][0], None)

        self.fs_args["event_hooks"] = {"request": [sign_in]}  # type: ignore[attr-defined]

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"headers": {}, "auth": _unsigned}


def _unsigned(request: Any) -> Any:
    """Sign nothing in: without this, httpx takes what netrc has."""
    return request


class GuardedWebDAVFileSystem(_Guarded, WebDAVFileSystem):  # type: ignore[misc]
    """DVC's, with its credentials bound to one origin."""


class GuardedWebDAVSFileSystem(_Guarded, WebDAVSFileSystem):  # type: ignore[misc]
    """DVC's, with its credentials bound to one origin."""
