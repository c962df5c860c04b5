"""Asking DVC remotes what they hold and bringing it into the cache, on a configuration of ours.

The repository's `.dvc/config` never reaches DVC: it may name commands to run and other endpoints for the user's keys.
What is configured here went through a positive list on the host, and lives in this process alone, keys included.

Remotes that are folders are not DVC's matter: the host reads its own, and we those of the clone (`folders`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from runner.inside import layout, workspace
from runner.inside.data import folders
from runner.inside.data.kinds import register
from runner.inside.data.objects import ObjectId
from runner.inside.data.problems import TransferErrors, bucket_asked, check_absent, mapped
from runner.inside.data.s3 import bucket_of
from runner.inside.protocol import MISSING, UNAVAILABLE, PhaseError

_ASKED_SINGLY = 64  # objects; of more, DVC lists what the remote has, which gives no sizes
_CONNECT_S = 15  # a remote that is gone must not keep those waiting that hold the bytes
_DVC_ROOT = "/tmp/dvc"  # noqa: S108  # the container is ours alone and goes with the phase


class Remotes:
    """The remotes of one restore, in the order in which they are asked.

    Each is a dictionary {name, url, folder, in_commit, source, options, closed, failed, access, credentials, confirmed,
    refusal, remedy, ca_bundle}: `folder` is true for a directory of the host's, `in_commit` the path of one in the
    clone; `closed` says why it is not asked, None where it is; `failed` are the fields of the error that asking it is
    known to end in, None for all others; `access` is how it is asked, for people; `credentials` are what its kind
    takes, for S3 options of DVC; `confirmed` tells that somebody vouches for its host; `refusal` and `remedy` are what
    a refusal means. `root` is the clone, `incoming` a folder beside the cache for what has not arrived whole yet.
    """

    def __init__(self, remotes: list[dict[str, Any]], root: str, incoming: str) -> None:
        self._remotes = remotes
        self._root = root
        self._incoming = incoming
        self._repository: Any = None
        self._problems = {
            each["name"]: PhaseError(**each["failed"]) for each in remotes if each["failed"] and not each["closed"]
        }
        self._others: dict[str, set[ObjectId]] = {}
        self.sizes: dict[ObjectId, int] = {}
        """Of the objects that were found, where a remote told it."""

    @property
    def asked(self) -> list[str]:
        """What is asked, for people, with what became of it where it did not answer."""
        return [self._described(remote) for remote in self._remotes]

    @property
    def answered(self) -> list[str]:
        """Addresses of those that said what they hold."""
        return [each["url"] for each in self._remotes if not each["closed"] and each["name"] not in self._problems]

    @property
    def problem(self) -> PhaseError | None:
        """What keeps us from knowing that no remote holds an object; else that a whole remote is gone."""
        problems = list(self._problems.values())
        problems.sort(key=lambda each: each.event["kind"] != UNAVAILABLE)
        return problems[0] if problems else None

    @property
    def unasked(self) -> str:
        """Words for the end of a sentence that says that no remote holds something."""
        return " that may be asked" if any(remote["closed"] for remote in self._remotes) else ""

    def _described(self, remote: dict[str, Any]) -> str:
        endpoint = remote["options"].get("endpointurl")
        where = remote["url"] + (f" at {endpoint}" if endpoint else "")
        how = ", ".join(text for text in (remote["source"], remote["access"]) if text)
        problem = self._problems.get(remote["name"])
        what = remote["closed"] or (problem.event["cause"] if problem else self._said_of_others(remote["name"]))
        return f"{where} ({how})" + (f": {what}" if what else "")

    def refuse(self, object_id: ObjectId, name: str) -> None:
        """Take note that a remote holds other bytes under an object's digest: it is not asked for it again."""
        self._others.setdefault(name, set()).add(object_id)

    @property
    def others(self) -> str:
        """Words for the end of a sentence that says that no remote holds something."""
        said = [f"{name} {self._said_of_others(name)}" for name in self._others]
        return f": {', and '.join(said)}" if said else ""

    def _said_of_others(self, name: str) -> str:
        others = sorted(map(str, self._others.get(name, ())))
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"holds other bytes under a recorded digest: {others[0]}{more}" if others else ""

    def held(self, wanted: Iterable[ObjectId], sizes: Mapping[ObjectId, int] | None = None) -> dict[ObjectId, str]:
        """Return for each object that a remote holds the name of the first that does, by one query to each remote.

        `sizes` are those of verified bytes: a remote that has another size under a digest holds other bytes. A remote
        that does not answer holds nothing, and is remembered as a problem: another may hold all.
        """
        missing = set(wanted)
        found: dict[ObjectId, str] = {}
        for remote in self._remotes:
            if not missing:
                break
            if remote["closed"] or remote["name"] in self._problems:
                continue
            asked = missing - self._others.get(remote["name"], set())
            if not asked:
                continue
            try:
                here = self._held(remote, asked)
            except PhaseError as error:
                if error.event["kind"] not in (MISSING, UNAVAILABLE):
                    raise
                self._problems[remote["name"]] = error
                continue
            self.sizes.update({each: size for each, size in here.items() if size is not None})
            other = {each for each, size in here.items() if size is not None and (sizes or {}).get(each, size) != size}
            for each in other:
                self.refuse(each, remote["name"])
            found.update(dict.fromkeys(here.keys() - other, remote["name"]))
            missing -= found.keys()
        return found

    def _held(self, remote: dict[str, Any], wanted: set[ObjectId]) -> Mapping[ObjectId, int | None]:
        """Return what a remote has under the objects' names, with sizes where it gives them."""
        if remote["folder"]:
            return folders.held(remote["name"], wanted)
        if remote["in_commit"]:
            return folders.held_in_clone(self._committed(remote), wanted)
        return self._held_remotely(remote, wanted)

    def _committed(self, remote: dict[str, Any]) -> str:
        """Return where a folder of the commit lies, once it is certain that no link of the commit leads elsewhere."""
        return os.path.dirname(workspace.inside(self._root, f"{remote['in_commit']}/files"))

    def _held_remotely(self, remote: dict[str, Any], wanted: set[ObjectId]) -> dict[ObjectId, int | None]:
        with mapped(remote):
            try:
                found = self._existing(remote, wanted)
            except OSError:  # what does not answer at all raises others
                self._ask_why(remote)
                raise
            if found.keys() != wanted:
                self._ask_why(remote)
        return found

    def _existing(self, remote: dict[str, Any], wanted: set[ObjectId]) -> dict[ObjectId, int | None]:
        found: dict[ObjectId, int | None] = {}
        for algorithm in {each.algorithm for each in wanted}:
            store = self._opened().cloud.get_remote_odb(remote["name"], hash_name=algorithm)
            by_name = {each.oid: each for each in wanted if each.algorithm == algorithm}
            if len(by_name) <= _ASKED_SINGLY or register.scheme_of(remote) not in register.LISTED:
                found |= {by_name[oid]: size for oid, size in _sizes(store, list(by_name)).items()}
            else:
                with suppress(FileNotFoundError):  # the folder to be listed; whether its bucket is there is asked then
                    found |= dict.fromkeys(by_name[oid] for oid in store.oids_exist(list(by_name)))
        return found

    def _ask_why(self, remote: dict[str, Any]) -> None:
        """Raise what a server says of a bucket: its answers about one object have a status alone, none with a reason.

        That an object is missing looks the same where the whole bucket is.
        """
        scheme = register.scheme_of(remote)
        if scheme not in register.LISTED:
            return
        files = self._opened().cloud.get_remote_odb(remote["name"]).fs
        if scheme == "s3":
            files.fs.call_s3("list_objects_v2", Bucket=bucket_of(remote), MaxKeys=1)
        else:
            with bucket_asked():
                files.ask_bucket(bucket_of(remote))

    def pull(self, wanted: dict[ObjectId, str]) -> None:
        """Copy objects from the remotes that hold them into the cache.

        Raises PhaseError: `missing` where the remote holds other bytes, `unavailable` where it breaks off.
        """
        for remote in self._remotes:
            objects = [each for each, name in wanted.items() if name == remote["name"]]
            if objects and remote["folder"]:
                folders.pull(remote["name"], objects, self._incoming)
            elif objects and remote["in_commit"]:
                folders.pull_from_clone(self._committed(remote), objects, self._incoming)
            elif objects:
                self._pull_remotely(remote, objects)

    def _pull_remotely(self, remote: dict[str, Any], objects: list[ObjectId]) -> None:
        from dvc_data.hashfile.hash_info import HashInfo

        infos = [HashInfo(each.algorithm, each.oid) for each in objects]
        with mapped(remote), TransferErrors() as errors:
            result = self._opened().cloud.pull(infos, remote=remote["name"])
            if result.failed:
                raise errors.as_phase_error(remote, len(result.failed))
        for each in objects:
            if not os.path.lexists(each.path):
                raise PhaseError(MISSING, f"{remote['url']} holds {each} no longer", remote["remedy"], fact="data")

    def _opened(self) -> Any:
        if self._repository is None:
            # No keys but the configured ones: the machine's metadata service has some for whoever asks.
            os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
            os.environ["AWS_MAX_ATTEMPTS"] = "3"
            from dvc.repo import Repo

            os.makedirs(f"{_DVC_ROOT}/.dvc", exist_ok=True)
            register.register(self._remotes)
            self._repository = Repo(_DVC_ROOT, config=self._configuration())
        return self._repository

    def _configuration(self) -> dict[str, Any]:
        return {
            "core": {"no_scm": True, "analytics": False, "check_update": False, "autostage": False},
            "cache": {"dir": layout.OBJECTS, "type": ["copy"]},
            "remote": {
                remote["name"]: _options(remote)
                for remote in self._remotes
                if not (remote["folder"] or remote["in_commit"] or remote["closed"] or remote["failed"])
            },
        }


def _sizes(store: Any, oids: list[str]) -> dict[str, int | None]:
    """Return the sizes of the objects that a store has, by one question for each as `exists` would ask."""
    answers = store.fs.info([store.oid_to_path(oid) for oid in oids], return_exceptions=True)
    sizes = {}
    for oid, answer in zip(oids, answers, strict=True):
        if isinstance(answer, BaseException):
            check_absent(answer)
            continue
        sizes[oid] = answer.get("size")
    return sizes


def _options(remote: dict[str, Any]) -> dict[str, Any]:
    """Return a remote's options as DVC takes them; nothing of them is written anywhere."""
    if register.scheme_of(remote) == "s3":
        options = {**remote["options"], "url": remote["url"], **(remote["credentials"] or {})}
        options["allow_anonymous_login"] = not remote["credentials"]
        options.setdefault("connect_timeout", _CONNECT_S)
    else:
        options = register.options(remote)
    if remote["ca_bundle"] and register.scheme_of(remote) in ("s3", "https", "webdavs"):
        path = f"{_DVC_ROOT}/{remote['name']}.pem"
        with open(path, "w", encoding="utf-8") as file:
            file.write(remote["ca_bundle"])
        options["ssl_verify"] = path
    return options
