"""Bytes that a workspace gets from this host: files in Git LFS, and inputs that the auditor pinned by a digest."""

from __future__ import annotations

import os
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
def fetched_inputs(sources: Mapping[str, str], folder: Path, keep: Path) -> Iterator[dict[str, Path]]:
    """Yield where the bytes of pinned inputs lie, by their paths; what came by https is gone afterwards.

    `sources` are files from `folder`, or addresses by https; `keep` is for what is fetched. Raises MissingFact,
    RemoteUnavailable.
    """
    found: dict[str, Path] = {}
    made: list[Path] = []
    try:
        for number, (path, source) in enumerate(sources.items()):
            if source.lower().startswith("https://"):
                keep.mkdir(parents=True, exist_ok=True)
                target = keep / f"{os.getpid()}-{number}"
                made.append(target)
                _download(source, target, path)
                found[path] = target
            else:
                found[path] = folder / Path(source).expanduser()
                if "://" in source or not found[path].is_file():
                    raise _no_input(path, source, "there is no such file")
        yield found
    finally:
        for each in made:
            each.unlink(missing_ok=True)


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
