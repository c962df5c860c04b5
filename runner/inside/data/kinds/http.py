"""HTTP and HTTPS: a password goes to the remote's own origin and is taken off where a redirect leads elsewhere.

aiohttp would send what a session signs in with, and every header of it, to whoever is redirected to.
"""

from __future__ import annotations

from typing import Any

from dvc_http import HTTPFileSystem, HTTPSFileSystem

from runner.inside.data.kinds.origin import header_for
from runner.inside.data.kinds.register import TOLD


class _Guarded:
    _told: dict[str, Any]

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:
        self._told = TOLD[config["user"]]
        return {}

    async def get_client(self, **options: Any) -> Any:
        """Return a session whose every request, redirected ones too, is signed in or not by where it goes."""
        told = self._told

        async def sign_in(request: Any, handler: Any) -> Any:
            header = header_for(told, str(request.url))
            if header is not None:
                request.headers[header[0]] = header[1]
            return await handler(request)

        return await super().get_client(**options, middlewares=(sign_in,))  # type: ignore[misc]


class GuardedHTTPFileSystem(_Guarded, HTTPFileSystem):  # type: ignore[misc]
    """DVC's, with its credentials bound to one origin."""

    SESSION_RETRIES = 3


class GuardedHTTPSFileSystem(_Guarded, HTTPSFileSystem):  # type: ignore[misc]
    """DVC's, with its credentials bound to one origin."""

    SESSION_RETRIES = 3
