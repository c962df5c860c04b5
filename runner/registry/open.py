"""From a registry's address to the one that reads it."""

from __future__ import annotations

from pathlib import Path

from runner.registry.interface import Registry
from runner.trackers.open import Readers, open_store


def open_registry(uri: str, folder: Path | None = None) -> Registry:
    """Return the registry at `uri`: `file:`, a path, `sqlite:///`, `http:` or `https:`.

    As `open_tracker`: relative paths are meant from `folder`, a server is not asked yet, nothing is created. Raises
    NotAStore where there is no registry, or none of a kind that we read.
    """

    def server(address: str) -> Registry:
        from runner.registry.http_store import HttpRegistry

        return HttpRegistry(address)

    def in_folder(path: Path) -> Registry:
        from runner.registry.file_store import FileRegistry

        return FileRegistry(path)

    def database(path: Path) -> Registry:
        from runner.registry.sqlite_store import SqliteRegistry

        return SqliteRegistry(path)

    return open_store(uri, folder, Readers(server=server, folder=in_folder, database=database, flag="--registry-uri"))
