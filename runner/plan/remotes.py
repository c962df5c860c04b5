"""Which DVC remotes may hold the recorded bytes, in the order in which they are asked, and who confirmed each.

A repository's `.dvc/config` names places to look at. That one of them gets this host's credentials is for the auditor
to say, and for this host's own configuration; of the repository neither an endpoint nor a profile is taken for that.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from runner.credentials.handed import Handed
from runner.credentials.host import NO_ACCESS, HostAccess, HostRemote
from runner.errors import InvalidConfiguration, MissingFact
from runner.lineage.remedy import command_again
from runner.pointers.places import (
    IN_BUCKETS,
    Place,
    account_endpoint,
    bucket_of,
    is_near,
    is_region,
    normal_endpoint,
    place_of,
    scheme_of,
)
from runner.pointers.remotes import is_local, resolve_local
from runner.redact import redact
from runner.schema.lineage import Lineage
from runner.schema.plan import Remote
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import DvcRemote, RepositorySnapshot
from runner.settings import Settings

_SYSTEM_FOLDERS = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr")
)
_NEAR = "is this host or a private network, where a repository alone has nothing asked"
_ENDPOINT_CONFIRMED_BY = {
    "s3": "AWS_ENDPOINT_URL={}",
    "gs": "STORAGE_EMULATOR_HOST={}",
    "azure": "the key of that account as AZURE_STORAGE_CONNECTION_STRING, not {}",
}
_NO_STORES = frozenset({"/", "/home", "/root", "/var"})


def choose_remotes(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    lineage: Lineage,
    settings: Settings,
    host: HostAccess = NO_ACCESS,
) -> tuple[tuple[Remote, ...], tuple[str, ...]]:
    """Return the remotes, first the one to ask first, and a sentence for each that is not used as it is written.

    Order: what stands in the clone's own DVC configuration for a remote of the repository, the default at the commit,
    today's default, `--remote` (a name or an address), `remote` of `runner.yaml`, then the others of the commit and of
    today. A place that is named twice is asked once, where it comes first. Raises MissingFact where an input is needed
    and there is no remote at all, InvalidConfiguration where the auditor names one that cannot be.
    """
    choice = _Choice(snapshot, settings, host)
    distinct = tuple(choice.remotes())
    needed = [file for file in lineage.files if file.role != "output"]
    about_host = host.notes if any(scheme_of(remote.url) == "s3" for remote in distinct) else ()
    notes = tuple(dict.fromkeys((*choice.notes, *about_host)))
    if needed and not distinct and not settings.allows("cached"):
        raise MissingFact(
            f"no DVC remote is known that could hold {needed[0].path}"
            + (f" and {len(needed) - 1} more" if len(needed) > 1 else ""),
            command_again(record, settings, "--remote URL_OR_PATH"),
            fact="remote",
            looked_in=(
                "--remote",
                "remote in runner.yaml",
                f".dvc/config at commit {choice.short}",
                ".dvc/config today",
            ),
            nearest=notes,
        )
    return distinct, notes


def place_to_confirm(snapshot: RepositorySnapshot, settings: Settings, host: HostAccess) -> Place | None:
    """Return the place that a person may be asked to confirm: of the remote that is asked first, if this host has keys.

    None where it is confirmed already, no credentials could be given to it, or a remote was named that is another.
    """
    choice = _Choice(snapshot, settings, host)
    for candidate in choice.candidates():
        if settings.remote is not None and candidate.named_by is None:
            continue
        try:
            place = candidate.place(host)
            if place is None or place in host.confirmed or choice.confirmed(candidate) is not None:
                return None
            endpoint = {"endpointurl": place.host} if place.scheme in IN_BUCKETS and "://" in place.host else {}
            found = host.credentials_for(candidate.name, candidate.url, {**candidate.options, **endpoint})
        except ValueError:
            return None
        return place if isinstance(found, Handed) else None
    return None


@dataclass(frozen=True)
class _Candidate:
    """A remote as somebody names it. `named_by` is the auditor's word for it, None where only the repository does.

    `endpoint` is the repository's, None where it names none. `trusted` tells that the url is not the repository's.
    """

    name: str
    url: str
    source: str
    named_by: str | None
    options: dict[str, str]
    root: str = "."
    refused: tuple[str, ...] = ()
    trusted: bool = False

    @property
    def scheme(self) -> str:
        return scheme_of(self.url)

    @property
    def endpoint(self) -> str | None:
        """Raises ValueError for an account that can be none."""
        if self.scheme == "azure" and "account_name" in self.options:
            return account_endpoint(self.options["account_name"])
        return self.options.get("endpointurl") if self.scheme in IN_BUCKETS else None

    def asked_endpoint(self, host: HostAccess) -> str | None:
        """Return the endpoint that is asked, None for the provider's own. Raises ValueError."""
        if self.scheme not in IN_BUCKETS:
            return None
        if self.scheme == "azure":
            account = host.account(self.name)
            if account is not None and self.options.get("account_name") in (None, account.name):
                return account.endpoint
        return self.endpoint or host.endpoint_for(self.name, self.scheme)

    def place(self, host: HostAccess) -> Place | None:
        """Return the place that is asked, None for a folder. Raises ValueError for what is no address."""
        return None if is_local(self.url) else place_of(self.url, self.asked_endpoint(host))


class _Choice:
    """Goes through what names remotes, in order, and keeps notes. Lives for one call."""

    def __init__(self, snapshot: RepositorySnapshot, settings: Settings, host: HostAccess) -> None:
        self._snapshot = snapshot
        self._settings = settings
        self._host = host
        self.short = snapshot.commit[:12]
        self.notes: list[str] = []

    def confirmed(self, candidate: _Candidate) -> str | None:
        """Return who confirmed the place of a candidate for credentials. Raises ValueError for what is no address.

        A name confirms a bucket; where the repository also names the endpoint, this host must name the same one. A name
        confirms no host that stands in the repository's own address: who is to get a password is to be typed.
        """
        if is_local(candidate.url):
            return candidate.named_by
        place = candidate.place(self._host)
        assert place is not None  # noqa: S101  # folders alone have none
        if place in self._host.confirmed:
            return self._host.confirmed[place]
        if place in self._typed():
            return self._typed()[place]
        if candidate.named_by is None or place.scheme not in IN_BUCKETS:
            return candidate.named_by if candidate.trusted else None
        named = self._host.names_endpoint(candidate.asked_endpoint(self._host), candidate.name, place.scheme)
        return candidate.named_by if candidate.endpoint is None or named else None

    def _typed(self) -> dict[Place, str]:
        """Return the places whose address the auditor typed: the same in the repository is as good."""
        typed = {}
        for text, source in reversed(self._settings.remotes_named):
            if not is_local(text) and "://" in text:
                with suppress(ValueError):
                    scheme = scheme_of(text)
                    endpoint = self._host.endpoint_for("given", scheme) if scheme in IN_BUCKETS else None
                    typed[place_of(text, endpoint)] = source
        return typed

    def remotes(self) -> Iterator[Remote]:
        """Yield each place once, as who names it first has it."""
        seen = set()
        for candidate in self.candidates():
            for remote in self._as_remotes(candidate):
                key = (remote.url, remote.options.get("endpointurl"), remote.in_commit)
                if key not in seen:
                    seen.add(key)
                    yield remote

    def candidates(self) -> Iterator[_Candidate]:
        """Yield what names a remote, first the one to ask first."""
        names = {remote.name.lower() for remote in (*self._snapshot.remotes, *self._snapshot.remotes_today)}
        for own in self._host.remotes:
            if own.overrides and own.url is not None and own.name.lower() in names:
                yield _of_host(own, f"remote {own.name} of {own.source}")
        named = dict(reversed(self._settings.remotes_named))
        defaults, others = _named(self._snapshot, self.short)
        for remote, source in defaults:
            by = named.get(remote.name)
            yield _of_repository(remote, source if by is None else f"{by} {remote.name}", by)
        for text, source in self._settings.remotes_named:
            yield self._given(text, source)
        for remote, source in others:
            yield _of_repository(remote, source, named.get(remote.name))

    def _given(self, text: str, source: str) -> _Candidate:
        own = next((each for each in self._host.remotes if each.name == text and each.url is not None), None)
        if own is not None and own.overrides:
            return _of_host(own, f"{source} {text}")
        for remote in (*self._snapshot.remotes, *self._snapshot.remotes_today):
            if remote.name == text:
                return _of_repository(remote, f"{source} {text}", source)
        if own is not None:
            return _of_host(own, f"{source} {text}")
        url = text
        if is_local(text):
            url = posixpath.normpath(posixpath.join(self._settings.folder, text.removeprefix("file://")))
            return _Candidate("given", url, source, source, {}, trusted=True)
        try:
            if scheme_of(text) in IN_BUCKETS:
                bucket_of(text)
            else:
                place_of(text)
        except ValueError as error:
            raise InvalidConfiguration(
                f"{source} {redact(text)}: {redact(str(error))}", "name it as s3://BUCKET/PATH or https://HOST/PATH"
            ) from None
        return _Candidate("given", url, source, source, {}, trusted=True)

    def _as_remotes(self, candidate: _Candidate) -> Iterator[Remote]:
        if candidate.refused:
            self._refuse(candidate.name, ", ".join(candidate.refused))
        if is_local(candidate.url):
            yield from self._local(candidate)
            return
        if scheme_of(candidate.url) == "remote":
            self._refuse(candidate.name, "url", f"{candidate.url} leads to another remote, which is not followed")
            return
        try:
            remote = self._bucket(candidate) if candidate.scheme in IN_BUCKETS else self._service(candidate)
        except ValueError as error:
            self._refuse(candidate.name, "url", str(error))
            return
        if remote is not None:
            yield remote

    def _refuse(self, name: str, keys: str, why: str = "") -> None:
        self.notes.append(
            redact(f"remote {name}: settings of the repository not used: {keys}" + (f" ({why})" if why else ""))
        )

    def _service(self, candidate: _Candidate) -> Remote | None:
        """Return a remote that is neither folder nor bucket, None where it is not asked. Raises ValueError."""
        confirmed = self.confirmed(candidate)
        if confirmed is None and candidate.named_by is None and is_near(urlsplit(candidate.url).hostname or ""):
            self._refuse(candidate.name, "url", f"{candidate.url} {_NEAR}")
            return None
        return Remote(
            name=candidate.name,
            url=candidate.url,
            source=candidate.source,
            options=candidate.options,
            confirmed_by=confirmed,
        )

    def _bucket(self, candidate: _Candidate) -> Remote | None:
        """Return a bucket, None where it is not asked. Raises ValueError for what is no bucket's name."""
        bucket_of(candidate.url)
        name, scheme, options = candidate.name, candidate.scheme, dict(candidate.options)
        options.pop("endpointurl", None)
        theirs = candidate.endpoint
        try:
            endpoint = candidate.asked_endpoint(self._host)
            endpoint = None if endpoint is None else normal_endpoint(endpoint)
        except ValueError as error:
            if theirs is None or candidate.trusted:
                source = self._host.aws.endpoint_source if scheme == "s3" else None
                source = source or f"the endpoint that this host names for {scheme}"
                raise InvalidConfiguration(f"{source}: {redact(str(error))}", "name it as https://HOST:PORT") from None
            self._refuse(name, "endpointurl", str(error))
            return None
        confirmed = self.confirmed(candidate)
        if theirs is not None and confirmed is None:
            how = _ENDPOINT_CONFIRMED_BY[scheme].format(theirs)
            if is_near(urlsplit(str(endpoint)).hostname or ""):
                self._refuse(name, "endpointurl", f"{theirs} {_NEAR}; to confirm it: --remote {name}, with {how} set")
                return None
            if candidate.named_by is not None:
                why = f"{theirs} gets no credentials by a remote's name alone: {how} confirms it"
                self._refuse(name, "endpointurl", why)
        if endpoint is not None:
            options["endpointurl"] = endpoint
        if scheme == "s3":
            self._set_region(candidate, options, endpoint)
        return Remote(
            name=name,
            url=candidate.url,
            source=candidate.source,
            options=dict(sorted(options.items())),
            confirmed_by=confirmed,
        )

    def _set_region(self, candidate: _Candidate, options: dict[str, str], endpoint: str | None) -> None:
        if not is_region(options.get("region", "x")):
            self._refuse(candidate.name, "region")
            del options["region"]
        region = self._host.aws_for(candidate.name, place_of(candidate.url, endpoint)).region
        if region is not None:
            options.setdefault("region", region)

    def _local(self, candidate: _Candidate) -> Iterator[Remote]:
        if candidate.trusted:
            yield self._folder(candidate, candidate.url)
            return
        url, name = candidate.url, candidate.name
        within = _within_repository(url, candidate.root)
        committed = within is not None and any(e.path.startswith(f"{within}/") for e in self._snapshot.tree)
        if committed:
            yield Remote(
                name=name,
                url=url,
                source=f"{candidate.source}, a folder of the commit itself",
                confirmed_by=candidate.named_by,
                in_commit=within,
            )
        root = local_root(self._snapshot.location, self._settings.folder)
        if root is None and not url.startswith(("/", "file:///")):
            if not committed:
                self.notes.append(
                    f"remote {name} is the folder {redact(url)} beside the author's clone, which is not here"
                )
            return
        try:
            path = resolve_local(url, root or "/", candidate.root)
        except ValueError as error:
            self.notes.append(f"remote {name}: {redact(str(error))}")
            return
        why = _why_no_store(path, root)
        if why is not None and candidate.named_by is None:
            self._refuse(name, "url", f"{path} {why}")
            return
        yield self._folder(candidate, path)

    @staticmethod
    def _folder(candidate: _Candidate, path: str) -> Remote:
        return Remote(name=candidate.name, url=path, source=candidate.source, confirmed_by=candidate.named_by)


def _of_repository(remote: DvcRemote, source: str, named_by: str | None) -> _Candidate:
    url, options = remote.url, dict(remote.options)
    if scheme_of(url) == "ssh" and "port" in options:  # which is part of the place
        port = options.pop("port")
        parts = urlsplit(url)
        if port.isdigit() and ":" not in parts.netloc.rpartition("@")[2]:
            url = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))
    return _Candidate(remote.name, url, source, named_by, options, remote.root, remote.refused)


def _of_host(remote: HostRemote, source: str) -> _Candidate:
    assert remote.url is not None  # noqa: S101  # such are not asked for
    by = f"remote {remote.name} of {remote.source}"
    scheme = scheme_of(remote.url)
    named = {"region": remote.aws.region, "endpointurl": remote.aws.endpoint} if scheme == "s3" else remote.options
    kept = ("endpointurl", "region", "account_name", "user")
    options = {key: value for key in kept if (value := named.get(key)) is not None}
    return _Candidate(remote.name, remote.url, source, by, options, trusted=True)


_Sourced = tuple[DvcRemote, str]


def _named(snapshot: RepositorySnapshot, short: str) -> tuple[list[_Sourced], list[_Sourced]]:
    """Return the defaults, at the commit and today, and the others."""
    both = ((snapshot.remotes, f"at commit {short}"), (snapshot.remotes_today, "today"))
    defaults = [(each, f"default remote {when}") for remotes, when in both for each in remotes if each.default]
    others = [(each, f"remote {each.name} {when}") for remotes, when in both for each in remotes if not each.default]
    return defaults, others


def _why_no_store(path: str, repository: str | None) -> str | None:
    """Return why a folder that only a repository names is none to look into, None where it may be a store."""
    if path in _NO_STORES or path.split("/")[1] in _SYSTEM_FOLDERS:
        return "is a folder of the system"
    if repository is not None and f"{repository.rstrip('/')}/".startswith(f"{path.rstrip('/')}/"):
        return "holds the repository itself"
    return None


def _within_repository(url: str, root: str) -> str | None:
    """Return the folder of the repository that a relative url names, None where it leads elsewhere."""
    if not is_local(url) or url.startswith("/") or "://" in url or ":" in url or "\\" in url:
        return None
    path = posixpath.normpath(posixpath.join(root, ".dvc", url))
    return None if path.startswith(("..", ".git/")) or path in (".", ".git") else path


def local_root(location: str, folder: str) -> str | None:
    """Return the absolute path of a repository on this host, None for one elsewhere."""
    if location.startswith("file://"):
        return location.removeprefix("file://").removeprefix("localhost")
    if "://" in location or (":" in location.partition("/")[0]):  # host:path of ssh
        return None
    return posixpath.normpath(posixpath.join(folder, location))
