"""The registry of an MLflow server, read by its REST API."""

from __future__ import annotations

from typing import Any

from runner.errors import NotAStore, TrackerUnavailable
from runner.registry.interface import GONE, ModelVersion, Registry
from runner.schema.model_files import ModelFile
from runner.trackers.http_files import hash_shelf, shelf_of_proxy
from runner.trackers.http_requests import Refused, Server

_PAGE = 100
_MOST_PAGES = 1_000
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class HttpRegistry(Registry):
    """An MLflow server. Making one sends nothing."""

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._server = Server(address)

    def version(self, name: str, version: int) -> ModelVersion | None:
        found = self._ask("model-versions/get", name=name, version=str(version))
        entry = None if found is None else found.get("model_version")
        return None if entry is None else self._read(entry, download=True)

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        return hash_shelf(self._server, shelf_of_proxy(uri, self._server), "")

    def _names(self) -> list[str]:
        found = self._ask("registered-models/search", max_results=_PAGE) or {}
        return [str(model.get("name", "")) for model in found.get("registered_models", [])]

    def _versions(self, name: str) -> list[ModelVersion]:
        quote = '"' if "'" in name else "'"
        if quote in name:  # no filter can hold it
            return []
        params: dict[str, str | int] = {"filter": f"name={quote}{name}{quote}", "max_results": _PAGE}
        entries: list[dict[str, Any]] = []
        for _ in range(_MOST_PAGES):
            page = self._ask("model-versions/search", **params) or {}
            entries += page.get("model_versions", [])
            token = str(page.get("next_page_token") or "")
            if not token or token == params.get("page_token"):
                break
            params["page_token"] = token
        read = (self._read(entry, download=False) for entry in entries if entry.get("name") == name)
        return sorted((found for found in read if found is not None), key=lambda found: found.version)

    def _aliases(self, name: str) -> dict[str, int]:
        found = (self._ask("registered-models/get", name=name) or {}).get("registered_model", {})
        return {str(alias.get("alias", "")): int(alias.get("version", 0)) for alias in found.get("aliases", [])}

    def _latest(self, reference: Any) -> ModelVersion:
        found = super()._latest(reference)
        return self.version(found.name, found.version) or found  # with the place of its files

    def _read(self, entry: dict[str, Any], *, download: bool) -> ModelVersion | None:
        name, number = str(entry.get("name", "")), int(entry.get("version", 0))
        if entry.get("current_stage") == GONE:
            return None
        source = entry.get("source") or None
        location = source
        if download:
            told = self._ask("model-versions/get-download-uri", name=name, version=str(number)) or {}
            location = told.get("artifact_uri") or source
        return ModelVersion(
            name=name,
            version=number,
            run_id=entry.get("run_id") or None,
            source=source,
            location=location,
            model_id=entry.get("model_id") or None,
            stage=entry.get("current_stage") or None,
            status=str(entry.get("status") or "READY"),
        )

    def _ask(self, endpoint: str, **params: str | int) -> dict[str, Any] | None:
        """Return an answer; None where what is asked for is not there."""
        try:
            return self._server.get(endpoint, **params)
        except Refused as error:
            if error.code in _ABSENT or error.status == 404:
                return None
            raise TrackerUnavailable(
                f"the registry {self.uri} answered {error.status} {error.code}",
                "try again; the server's own log says why",
            ) from error
        except NotAStore:
            if endpoint == "registered-models/search":  # for suggestions only
                return None
            raise
