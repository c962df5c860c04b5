"""Bytes that a workspace gets from this host: files in Git LFS, and inputs that the auditor pinned by a digest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import InternalError, MissingFact, RemoteUnavailable
from runner.rerun.answers import Answer, bundle_answer, files, open_file

_TIMEOUT_S = 60.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Supplies:
    """Where this host has the files of a plan, by their paths in the workspace, and bundles of its submodules."""

    files: Mapping[str, Path]
    bundles: Mapping[str, Path]

    def answers(self) -> dict[str, Answer]:
        """Return what answers a restore that asks for them: by the plan's paths, and for nothing else."""
        return {"supplied": self._supplied, "submodule": self._submodule}

    def _supplied(self, asked: Any) -> Iterator[bytes]:
        if not _all_in(asked, self.files):
            raise InternalError("restore asked for a file that the plan does not supply", "report it")
        try:
            yield from files((path, open_file(self.files[path])) for path in asked)
        except OSError as error:
            raise MissingFact(
                f"a file of this host cannot be read: {error}", "runner reproduce RUN", fact="data"
            ) from error

    def _submodule(self, asked: Any) -> Iterator[bytes]:
        if not _all_in([asked], self.bundles):
            raise InternalError("restore asked for a submodule that the plan does not have", "report it")
        yield from bundle_answer(self.bundles[asked])(None)


NO_SUPPLIES = Supplies({}, {})


def _all_in(asked: Any, known: Collection[str]) -> bool:
    return isinstance(asked, list) and all(isinstance(path, str) and path in known for path in asked)


@contextmanager
def room_for_supplies(cache: Path) -> Iterator[Path]:
    """Yield a folder for what a rerun alone needs; it is gone afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="supplies-") as folder:
        yield Path(folder)


def fetch_inputs(sources: Mapping[str, str], folder: Path, room: Path) -> dict[str, Path]:
    """Return where the bytes of pinned inputs lie, by their paths.

    `sources` are files from `folder`, or addresses by https; `room` is for what is fetched. Raises MissingFact,
    RemoteUnavailable.
    """
    found: dict[str, Path] = {}
    for number, (path, source) in enumerate(sources.items()):
        if source.lower().startswith("https://"):
            found[path] = room / f"{number}.input"
            _download(source, found[path], path)
        else:
            found[path] = folder / os.path.expanduser(source)
            if "://" in source or not found[path].is_file():
                raise _no_input(path, source, "there is no such file")
    return found


def _download(source: str, target: Path, path: str) -> None:
    """Fetch what the auditor named as any program of theirs would: with this host's proxies, certificates, netrc."""
    import requests

    try:
        with requests.get(source, stream=True, timeout=_TIMEOUT_S) as answer, target.open("wb") as file:
            if answer.status_code in (404, 410):
                raise _no_input(path, source, f"the server answers {answer.status_code}")
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
    except requests.RequestException as error:
        status = error.response.status_code if error.response is not None else type(error).__name__
        raise RemoteUnavailable(
            f"the input {path} cannot be fetched from {_shown(source)}: {status}",
            "try again, or name a file in runner.yaml",
        ) from error


def _no_input(path: str, source: str, why: str) -> MissingFact:
    return MissingFact(
        f"the input {path} is not at {_shown(source)}: {why}",
        "correct `source` under `inputs` in runner.yaml",
        fact="data",
        looked_in=(f"inputs in runner.yaml: {_shown(source)}",),
    )


def _shown(source: str) -> str:
    from runner.redact import redact

    return redact(source.partition("?")[0])
