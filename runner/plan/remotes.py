"""Which DVC remotes may hold the recorded bytes, in the order in which they are asked."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.pointers.remotes import is_local, resolve_local
from runner.redact import redact
from runner.schema.lineage import Lineage
from runner.schema.plan import Remote
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import DvcRemote, RepositorySnapshot
from runner.settings import Settings


def choose_remotes(
    record: RunRecord, snapshot: RepositorySnapshot, lineage: Lineage, settings: Settings
) -> tuple[tuple[Remote, ...], tuple[str, ...]]:
    """Return the remotes, first the one to ask first, and a sentence for each that is not used as it is written.

    Order: `--remote` (a name or an address), `remote` of `runner.yaml`, the default at the commit, today's default,
    then the others of the commit. Who named a remote confirmed its host for credentials; one that only the repository
    names is tried without. Raises MissingFact where an input is needed and there is no remote at all.
    """
    notes: list[str] = []
    remotes: list[Remote] = []
    if settings.remote:
        remotes += _given(settings.remote, snapshot, settings, notes)
    short = snapshot.commit[:12]
    for remote, source in _named(snapshot, short):
        remotes += _as_remote(remote, source, None, snapshot, settings, notes)
    distinct = tuple({remote.url: remote for remote in reversed(remotes)}.values())[::-1]
    needed = [file for file in lineage.files if file.role != "output"]
    if needed and not distinct and not settings.allows("cached"):
        raise MissingFact(
            f"no DVC remote is known that could hold {needed[0].path}"
            + (f" and {len(needed) - 1} more" if len(needed) > 1 else ""),
            command_again(record, settings, "--remote URL_OR_PATH"),
            fact="remote",
            looked_in=("--remote", "remote in runner.yaml", f".dvc/config at commit {short}", ".dvc/config today"),
            nearest=tuple(notes),
        )
    return distinct, tuple(dict.fromkeys(notes))


def _named(snapshot: RepositorySnapshot, short: str) -> Iterable[tuple[DvcRemote, str]]:
    for remotes, when in ((snapshot.remotes, f"at commit {short}"), (snapshot.remotes_today, "today")):
        yield from ((remote, f"default remote {when}") for remote in remotes if remote.default)
    for remotes, when in ((snapshot.remotes, f"at commit {short}"), (snapshot.remotes_today, "today")):
        yield from ((remote, f"remote {remote.name} {when}") for remote in remotes if not remote.default)


def _given(text: str, snapshot: RepositorySnapshot, settings: Settings, notes: list[str]) -> list[Remote]:
    source = settings.source("remote")
    for remote in (*snapshot.remotes, *snapshot.remotes_today):
        if remote.name == text:
            return _as_remote(remote, f"{source} {text}", source, snapshot, settings, notes)
    url = text
    if is_local(text):
        url = posixpath.normpath(posixpath.join(settings.folder, text.removeprefix("file://")))
    return [Remote(name="given", url=url, source=source, confirmed_by=source)]


def _as_remote(
    remote: DvcRemote,
    source: str,
    confirmed_by: str | None,
    snapshot: RepositorySnapshot,
    settings: Settings,
    notes: list[str],
) -> list[Remote]:
    if remote.refused:
        notes.append(f"remote {remote.name}: settings of the repository not used: {', '.join(remote.refused)}")
    url = remote.url
    if is_local(url):
        root = _local_root(snapshot.location, settings.folder)
        absolute = url.startswith(("/", "file:///"))
        if root is None and not absolute:
            notes.append(
                f"remote {remote.name} is the folder {redact(url)} beside the author's clone, which is not here"
            )
            return []
        try:
            url = resolve_local(url, root or "/", remote.root)
        except ValueError as error:
            notes.append(f"remote {remote.name}: {redact(str(error))}")
            return []
    return [Remote(name=remote.name, url=url, source=source, options=remote.options, confirmed_by=confirmed_by)]


def _local_root(location: str, folder: str) -> str | None:
    """Return the absolute path of a repository on this host, None for one elsewhere."""
    if location.startswith("file://"):
        return location.removeprefix("file://").removeprefix("localhost")
    if "://" in location or (":" in location.partition("/")[0]):  # host:path of ssh
        return None
    return posixpath.normpath(posixpath.join(folder, location))
