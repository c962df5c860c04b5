"""Azure: with the key that was handed over, else without; no command line, managed identity or variable is asked."""

from __future__ import annotations

from typing import Any

from dvc_azure import AzureFileSystem
from fsspec.asyn import sync

from runner.inside.data.kinds.register import TOLD


class GivenAzureFileSystem(AzureFileSystem):  # type: ignore[misc]
    """DVC's, with its keys in memory. The account's address is the one that was confirmed, whoever serves it."""

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:
        told = TOLD[config["client_id"]]
        endpoint = str(told["options"]["endpointurl"])
        credentials = told["credentials"] or {}
        account = endpoint.partition("://")[2].partition(".")[0]
        common = {"version_aware": False, "account_name": account}
        if "connection_string" in credentials:
            return {**common, "account_name": None, "connection_string": credentials["connection_string"]}
        if not credentials:
            return {**common, "account_name": None, "connection_string": f"BlobEndpoint={endpoint};"}
        return {**common, **credentials}

    def ask_bucket(self, name: str) -> None:
        """Raise what the server says of a container."""

        async def first_name() -> None:
            async for _ in self.fs.service_client.get_container_client(name).list_blob_names(results_per_page=1):
                return

        sync(self.fs.loop, first_name)
