"""What this host says of remotes: places that its owner confirmed, and the keys for them.

Said by the host's own DVC configuration (system, user, and `.dvc/config.local` of the auditor's clone) and by the
variables and files of each kind of remote. The repository's `.dvc/config` says nothing here: it is input.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.credentials.aws import EXPORT, NO_KEYS, Aws, Keys, Reader, read_aws
from runner.credentials.azure import Account, azure_credentials, read_account
from runner.credentials.google import google_credentials
from runner.credentials.handed import Handed, NotHad
from runner.credentials.ssh import ssh_credentials
from runner.credentials.web import web_credentials
from runner.pointers.places import IN_BUCKETS, Place, place_of, scheme_of
from runner.pointers.remotes import is_local, read_entries, remote_of

_PATHS = frozenset({"credentialpath", "configpath", "keyfile"})
_WEB = frozenset({"http", "https", "webdav", "webdavs"})
_NOT_USED = frozenset({"use_ssl", "sse_customer_key", "sse_kms_key_id"})


@dataclass(frozen=True, kw_only=True)
class HostRemote:
    """A remote as the host's DVC configuration has it. `url` is None where it only adds to one of a repository.

    `source` is the file that names the url, else the first that names the remote. `overrides` tells that it stands in
    a clone's own configuration, which DVC reads after the repository's. `place` is None for folders and odd addresses.
    `options` are all others of its section.
    """

    name: str
    url: str | None
    place: Place | None
    aws: Aws
    source: str
    overrides: bool
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class HostAccess:
    """The keys of this host and what they may be used for.

    `aws` is what holds where no remote says otherwise; `confirmed` maps places to who confirmed them. Of `environ` and
    the files that `read` reads only what one confirmed place needs is looked at, when it is needed.
    """

    aws: Aws = NO_KEYS
    remotes: tuple[HostRemote, ...] = ()
    confirmed: Mapping[Place, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    read: Reader = field(default=lambda _: None, repr=False)

    def with_confirmed(self, place: Place, who: str) -> HostAccess:
        """Return the same with one more place confirmed."""
        return replace(self, confirmed={**self.confirmed, place: who})

    def aws_for(self, name: str, place: Place) -> Aws:
        """Return what holds for a remote: of the host's remote at that place, else of the one of that name, else all's.

        A host's remote with a url of its own is about its own place alone.
        """
        named = [remote for remote in self.remotes if remote.url is None and remote.name.lower() == name.lower()]
        for remote in (*(each for each in self.remotes if each.place == place), *named):
            return remote.aws
        return self.aws

    def own(self, name: str, place: Place | None) -> tuple[Mapping[str, str], str]:
        """Return the options of the host's DVC configuration for a remote, and the file that has them, as `aws_for`."""
        named = [each for each in self.remotes if each.url is None and each.name.lower() == name.lower()]
        at_place = [each for each in self.remotes if place is not None and each.place == place]
        for remote in (*at_place, *named):
            return remote.options, remote.source
        return {}, "your DVC configuration"

    def account(self, name: str, place: Place | None = None) -> Account | None:
        """Return Azure's storage account that the host names for a remote. Raises ValueError for an odd one."""
        return read_account(*self.own(name, place), self.environ, self.read)

    def names_endpoint(self, endpoint: str | None, name: str, scheme: str = "s3") -> bool:
        """Tell whether the host itself names an endpoint (None: the provider's own) for a remote of that name."""
        try:
            own = self.endpoint_for(name, scheme)
            return place_of(f"{scheme}://any", endpoint) == place_of(f"{scheme}://any", own)
        except ValueError:
            return False

    def endpoint_for(self, name: str, scheme: str = "s3") -> str | None:
        """Return the endpoint that the host names for a remote of that name, None for the provider's own.

        Raises ValueError where it names an odd one.
        """
        if scheme == "azure":
            account = self.account(name)
            return None if account is None else account.endpoint
        if scheme == "gs":
            return self.own(name, None)[0].get("endpointurl") or self.environ.get("STORAGE_EMULATOR_HOST") or None
        for remote in self.remotes:
            if remote.url is None and remote.name.lower() == name.lower() and remote.aws.endpoint is not None:
                return remote.aws.endpoint
        return self.aws.endpoint

    def credentials_for(self, name: str, url: str, options: Mapping[str, str]) -> Handed | NotHad:
        """Return what signs in at a remote. That its place was confirmed is for the caller to know.

        `options` are the repository's, of which a user's name may count. Raises ValueError for an odd address.
        """
        scheme = scheme_of(url)
        place = place_of(url, options.get("endpointurl"))
        own, source = self.own(name, place)
        if scheme == "s3":
            return _of_aws(self.aws_for(name, place))
        if scheme == "gs":
            return google_credentials(own, source, self.environ, self.read)
        if scheme == "azure":
            return azure_credentials(self.account(name, place))
        if scheme == "ssh":
            return ssh_credentials(url, options, own, source, self.environ, self.read)
        if scheme in _WEB:
            return web_credentials(url, options.get("user"), own, source, self.environ, self.read)
        return NotHad(missing=f"none are read for {scheme}", remedy="runner reproduce RUN --remote FOLDER")


NO_ACCESS = HostAccess()
"""A host that says nothing."""


def read_host_access(environ: Mapping[str, str] = os.environ, clones: Iterable[Path] = ()) -> HostAccess:
    """Return what this host says. `clones` are folders whose `.dvc/config.local` is the auditor's own."""
    return host_access(environ, _levels(environ, clones), read_text)


def read_text(path: Path) -> str | None:
    """Return the text of a small file, None where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def host_access(environ: Mapping[str, str], levels: Iterable[tuple[Path, bool]], read: Reader) -> HostAccess:
    """Return what variables and files say; `levels` are DVC's configuration files, later ones win.

    The second of each is true for a clone's own `config.local`.
    """
    merged: dict[str, dict[str, str]] = {}
    named_by: dict[str, tuple[Path, bool]] = {}
    for path, local in levels:
        for section, key, value in read_entries(read(path) or ""):
            name = remote_of(section)
            if name is None or value == "":
                continue
            is_path = key in _PATHS or (key == "url" and is_local(value))
            absolute = os.path.normpath(path.parent / Path(value).expanduser()) if is_path else value
            merged.setdefault(name, {})[key] = absolute
            if key == "url" or name not in named_by:
                named_by[name] = (path, local)
    general = read_aws(environ, read)
    remotes = []
    notes = []
    for name, options in sorted(merged.items()):
        path, overrides = named_by[name]
        aws = _aws(options, path, environ, read, general)
        url = options.get("url")
        rest = {key: value for key, value in options.items() if key != "url"}
        place = _place(url, aws, rest, str(path))
        remotes.append(
            HostRemote(name=name, url=url, place=place, aws=aws, source=str(path), overrides=overrides, options=rest)
        )
        refused = [key for key in sorted(options) if key in _NOT_USED or _switches_checks_off(key, options[key])]
        notes += [f"remote {name} of {path}: {key} is not used" for key in refused]
    for aws in (general, *(remote.aws for remote in remotes)):
        if aws.ca_file is not None and read(Path(aws.ca_file).expanduser()) is None:
            notes.append(f"{aws.ca_source}={aws.ca_file} is not passed on: it cannot be read")
    confirmed = {each.place: f"remote {each.name} of {each.source}" for each in remotes if each.place is not None}
    return HostAccess(
        aws=general,
        remotes=tuple(remotes),
        confirmed=confirmed,
        notes=tuple(notes),
        environ=environ,
        read=read,
    )


def _place(url: str | None, aws: Aws, options: Mapping[str, str], source: str) -> Place | None:
    if url is None or is_local(url):
        return None
    scheme = scheme_of(url)
    try:
        if scheme == "azure":
            account = read_account(options, source, {}, lambda _: None)
            return place_of(url, None if account is None else account.endpoint)
        endpoint = aws.endpoint if scheme == "s3" else options.get("endpointurl")
        return place_of(url, endpoint if scheme in IN_BUCKETS else None)
    except ValueError:
        return None


def _of_aws(aws: Aws) -> Handed | NotHad:
    if aws.keys is None:
        return NotHad(missing=aws.missing, remedy=EXPORT)
    keys = aws.keys
    token = {} if keys.session_token is None else {"session_token": keys.session_token}
    options = {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key, **token}
    return Handed(options=options, secrets=keys.secrets, source=keys.source)


def _is_switch(text: str) -> bool:
    return text.lower() in ("true", "false", "yes", "no", "on", "off", "0", "1")


def _switches_checks_off(key: str, value: str) -> bool:
    return key == "ssl_verify" and value.lower() in ("false", "no", "off", "0")


def _levels(environ: Mapping[str, str], clones: Iterable[Path]) -> list[tuple[Path, bool]]:
    """Return DVC's configuration files outside of repositories, where DVC looks for them, and those of clones."""
    home = Path(environ.get("HOME") or Path.home())
    system = Path(environ.get("XDG_CONFIG_DIRS", "").split(":")[0] or "/etc/xdg") / "dvc"
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "dvc"
    return [
        (Path(environ.get("DVC_SYSTEM_CONFIG_DIR") or system) / "config", False),
        (Path(environ.get("DVC_GLOBAL_CONFIG_DIR") or user) / "config", False),
        *((clone / ".dvc" / "config.local", True) for clone in clones),
    ]


def _aws(options: Mapping[str, str], path: Path, environ: Mapping[str, str], read: Reader, general: Aws) -> Aws:
    """Return what a remote's options make of AWS's settings, as DVC would take them."""
    files = {"credentialpath": "AWS_SHARED_CREDENTIALS_FILE", "configpath": "AWS_CONFIG_FILE"}
    named = {variable: options[key] for key, variable in files.items() if key in options}
    aws = general
    if "profile" in options or named:
        aws = read_aws({**environ, **named}, read, options.get("profile"))
    if "access_key_id" in options and "secret_access_key" in options:
        keys = Keys(
            access_key_id=options["access_key_id"],
            secret_access_key=options["secret_access_key"],
            session_token=options.get("session_token"),
            source=str(path),
        )
        aws = replace(aws, keys=keys)
    if "endpointurl" in options:
        aws = replace(aws, endpoint=options["endpointurl"], endpoint_source=f"endpointurl of {path}")
    if "region" in options:
        aws = replace(aws, region=options["region"])
    if "ssl_verify" in options and not _is_switch(options["ssl_verify"]):
        ca_file = os.path.normpath(path.parent / Path(options["ssl_verify"]).expanduser())
        aws = replace(aws, ca_file=ca_file, ca_source=f"ssl_verify of {path}")
    return aws
