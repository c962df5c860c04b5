"""Asking DVC remotes what they hold and pulling it, by DVC's own API in one process, on a configuration of ours.

Remotes that are folders are not DVC's matter: the host reads them (`runner.inside.folders`).

The repository's `.dvc/config` never reaches DVC: it may name commands to run and other endpoints for the user's keys.
What is configured here went through a positive list on the host.
"""

from __future__ import annotations

import configparser
import errno
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from runner.inside import folders, layout
from runner.inside.objects import ObjectId
from runner.inside.protocol import DISK_FULL, MISSING, UNAVAILABLE, PhaseError

_DVC_ROOT = "/tmp/dvc"  # noqa: S108  # the container is ours alone and goes with the phase


class Remotes:
    """The remotes of one restore, in the order in which they are asked.

    Each is a dictionary {name, url, source, folder, options}: `folder` is true for a directory of the host's.
    `incoming` is a folder beside the cache for what has not arrived whole yet.
    """

    def __init__(self, remotes: list[dict[str, Any]], incoming: str) -> None:
        self._remotes = remotes
        self._incoming = incoming
        self._repository: Any = None

    @property
    def names(self) -> list[str]:
        """What is asked, for people."""
        return [f"{remote['url']} ({remote['source']})" for remote in self._remotes]

    def held(self, wanted: Iterable[ObjectId]) -> dict[ObjectId, str]:
        """Return for each object that a remote holds the name of the first that does."""
        missing = set(wanted)
        found: dict[ObjectId, str] = {}
        for remote in self._remotes:
            if not missing:
                break
            here = folders.held(remote["name"], missing) if remote["folder"] else self._held_remotely(remote, missing)
            found.update(dict.fromkeys(here, remote["name"]))
            missing -= here
        return found

    def _held_remotely(self, remote: dict[str, Any], wanted: set[ObjectId]) -> set[ObjectId]:
        repository = self._opened()
        found: set[ObjectId] = set()
        with _mapped(remote):
            for algorithm in {each.algorithm for each in wanted}:
                store = repository.cloud.get_remote_odb(remote["name"], hash_name=algorithm)
                by_name = {each.oid: each for each in wanted if each.algorithm == algorithm}
                found |= {by_name[oid] for oid in store.oids_exist(list(by_name))}
        return found

    def pull(self, wanted: dict[ObjectId, str]) -> None:
        """Copy objects from the remotes that hold them into the cache.

        Raises PhaseError: `missing` where the remote holds other bytes, `unavailable` where it breaks off.
        """
        for remote in self._remotes:
            here = [each for each, name in wanted.items() if name == remote["name"]]
            if here and remote["folder"]:
                folders.pull(remote["name"], here, self._incoming)
            elif here:
                self._pull_remotely(remote, here)

    def _pull_remotely(self, remote: dict[str, Any], wanted: list[ObjectId]) -> None:
        from dvc_data.hashfile.hash_info import HashInfo

        repository = self._opened()
        infos = [HashInfo(each.algorithm, each.oid) for each in wanted]
        with _mapped(remote), _Errors() as errors:
            result = repository.cloud.pull(infos, remote=remote["name"])
            if result.failed:
                raise errors.as_phase_error(remote, len(result.failed))

    def _opened(self) -> Any:
        if self._repository is None:
            from dvc.repo import Repo

            self._write_configuration()
            self._repository = Repo(_DVC_ROOT)
        return self._repository

    def _write_configuration(self) -> None:
        parser = configparser.RawConfigParser()
        parser["core"] = {"no_scm": "true", "analytics": "false", "check_update": "false", "autostage": "false"}
        parser["cache"] = {"dir": layout.OBJECTS, "type": "hardlink,copy"}
        for remote in self._remotes:
            if not remote["folder"]:
                section = f"'remote \"{remote['name']}\"'"
                parser[section] = {"url": remote["url"], **remote["options"]}
        os.makedirs(f"{_DVC_ROOT}/.dvc", exist_ok=True)
        with open(f"{_DVC_ROOT}/.dvc/config", "w", encoding="utf-8") as file:
            parser.write(file)


class _Errors(logging.Handler):
    """Keeps the exceptions that DVC logs where it should raise them: a failed transfer names no reason otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._causes: list[BaseException] = []
        self._logger = logging.getLogger("dvc_data.hashfile.transfer")

    def __enter__(self) -> _Errors:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's exception."""
        if record.exc_info and record.exc_info[1] is not None:
            self._causes.append(record.exc_info[1])

    def as_phase_error(self, remote: dict[str, Any], count: int) -> PhaseError:
        """Return the error that the first known cause stands for."""
        for cause in self._causes:
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                return PhaseError(DISK_FULL, f"no space is left in the cache volume for data from {remote['url']}")
        reason = f": {type(self._causes[0]).__name__}: {self._causes[0]}" if self._causes else ""
        return PhaseError(
            UNAVAILABLE, f"{count} objects could not be read from {remote['url']}{reason}", service="remote"
        )


@contextmanager
def _mapped(remote: dict[str, Any]) -> Iterator[None]:
    """Turn what DVC and its file systems raise about a remote into our phases' errors."""
    try:
        yield
    except PhaseError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise PhaseError(DISK_FULL, f"no space is left in the cache volume: {error}") from error
        if isinstance(error, ImportError):  # DVC has a package of its own for each kind: trying again will not help
            kind = str(remote["url"]).partition("://")[0]
            raise PhaseError(
                MISSING,
                f"the remote {remote['url']} is of a kind that restoring cannot read yet: {kind}",
                "copy what it holds into a folder (`dvc fetch`, then the folder files/ of the cache) and name that: "
                "runner reproduce RUN --remote FOLDER",
                fact="remote",
            ) from error
        raise PhaseError(
            UNAVAILABLE,
            f"the remote {remote['url']} did not answer as it should: {type(error).__name__}: {error}",
            "check the remote and its credentials, then run again",
            service="remote",
        ) from error
