"""Google Cloud Storage: with the key that was handed over, else without; the machine's own service is never asked."""

from __future__ import annotations

import os
from typing import Any

from dvc_gs import GSFileSystem

from runner.inside.data.kinds.register import TOLD

# Else the library speaks gRPC beside HTTP, to find out what kind of bucket it is, and waits minutes for who does not.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
os.environ["NO_GCE_CHECK"] = "true"


class GivenGSFileSystem(GSFileSystem):  # type: ignore[misc]
    """DVC's, with its key in memory."""

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:
        credentials = TOLD[config["credentialpath"]]["credentials"]
        found: dict[str, Any] = super()._prepare_credentials(**{**config, "credentialpath": None})
        return {**found, "token": "anon" if credentials is None else credentials["token"]}

    def ask_bucket(self, name: str) -> None:
        """Raise what the server says of a bucket."""
        self.fs.call("GET", f"b/{name}/o", maxResults=1, json_out=True)
