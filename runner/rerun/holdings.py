"""Which remotes hold which digests, asked from this host without a container: one question to each remote.

Folders of this host and of the commit are looked into; `held` asks the kinds elsewhere that need no package of
DVC's, and the others are not asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.credentials.host import NO_ACCESS, HostAccess
from runner.errors import RemoteUnavailable
from runner.inside.data.objects import ObjectId
from runner.network import NetworkSettings
from runner.pointers.places import IN_BUCKETS, scheme_of
from runner.pointers.remotes import is_local
from runner.rerun.answers import object_size
from runner.rerun.held import Holding, holding
from runner.schema.check import Held

if TYPE_CHECKING:
    from runner.schema.digest import DigestValue
    from runner.schema.plan import Remote
    from runner.schema.snapshot import RepositorySnapshot


@dataclass(frozen=True)
class Question:
    """Whether a remote holds an object; `snapshot` is the commit, of which a folder may itself be the remote.

    `host` is what this host says of remotes.
    """

    remote: Remote
    digest: DigestValue
    snapshot: RepositorySnapshot | None = None
    host: HostAccess = NO_ACCESS


class Answers:
    """What remotes said; a remote that nobody asked said nothing."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], Held] = {}
        self._errors: dict[str, RemoteUnavailable] = {}

    def state(self, remote: Remote, digest: DigestValue) -> Held:
        """Return what a remote said of a digest."""
        return self._states.get((_place(remote), str(digest)), Held.UNASKED)

    def error_of(self, remotes: Iterable[Remote]) -> RemoteUnavailable | None:
        """Return why one of the remotes could not answer."""
        return next((self._errors[_place(remote)] for remote in remotes if _place(remote) in self._errors), None)

    def add(self, remote: Remote, digest: DigestValue, state: Held) -> None:
        """Note an answer."""
        self._states[_place(remote), str(digest)] = state

    def refuse(self, remote: Remote, digests: Iterable[DigestValue], error: RemoteUnavailable) -> None:
        """Note that a remote could not answer."""
        self._errors[_place(remote)] = error
        for digest in digests:
            self.add(remote, digest, Held.REFUSED)


def ask_remotes(questions: Iterable[Question], network: NetworkSettings, *, offline: bool = False) -> Answers:
    """Ask each remote once about all of its digests; `offline` asks folders alone."""
    by_place: dict[str, dict[str, Question]] = {}
    for question in questions:
        by_place.setdefault(_place(question.remote), {}).setdefault(str(question.digest), question)
    answers = Answers()
    for asked in by_place.values():
        first = next(iter(asked.values()))
        remote = first.remote
        if remote.in_commit is None and not is_local(remote.url):
            _ask_elsewhere(remote, asked, holding(remote, list(asked), first.host, network, offline=offline), answers)
            continue
        try:
            for question in asked.values():
                answers.add(remote, question.digest, _look(question))
        except OSError as error:
            refused = RemoteUnavailable(
                f"the remote {remote.url} cannot be read on this host: {error.strerror or error}",
                f"ls -l {remote.url}",
            )
            answers.refuse(remote, [question.digest for question in asked.values()], refused)
    return answers


def _ask_elsewhere(remote: Remote, asked: Mapping[str, Question], found: Holding, answers: Answers) -> None:
    for digest, question in asked.items():
        if digest in found.held or digest in found.lacking:
            answers.add(remote, question.digest, Held.HELD if digest in found.held else Held.ABSENT)
    if found.refused is not None:
        unknown = [question.digest for digest, question in asked.items() if digest not in found.held | found.lacking]
        named = remote.name if scheme_of(remote.url) in IN_BUCKETS else remote.url
        answers.refuse(
            remote,
            unknown,
            RemoteUnavailable(
                f"the remote {remote.url} {found.refused}",
                "see that its credentials may read it"
                if remote.confirmed_by
                else f"--remote {shlex.quote(named)}    to have it asked with the credentials of this host",
            ),
        )


def _place(remote: Remote) -> str:
    parts = (remote.url, remote.options.get("endpointurl"), remote.in_commit, remote.confirmed_by)
    return "\n".join(part or "" for part in parts)


def _look(question: Question) -> Held:
    remote = question.remote
    wanted = ObjectId.parse(str(question.digest))
    if remote.in_commit is not None:
        path = f"{remote.in_commit}/{wanted.relative_path}"
        held = question.snapshot is not None and question.snapshot.has(path)
    else:
        held = object_size(Path(remote.url), wanted) is not None
    return Held.HELD if held else Held.ABSENT
