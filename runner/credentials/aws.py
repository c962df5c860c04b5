"""What AWS's variables and files on this host say: keys, endpoint, region, CA bundle.

Read by us and not by botocore, which would run commands (`credential_process`), sign in, assume roles and ask the
machine's metadata service. Keys that only those give are not had; `Aws.missing` says so in a sentence.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Reader = Callable[[Path], "str | None"]
"""Returns the text of a file, None where there is none that can be read."""

EXPORT = "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
_NOT_DONE = {
    "role_arn": "assumes a role",
    "web_identity_token_file": "signs in with a web identity",
    "sso_session": "signs in by SSO",
    "sso_start_url": "signs in by SSO",
    "credential_process": "has a command print its keys (credential_process)",
}


@dataclass(frozen=True, kw_only=True)
class Keys:
    """An access key. `source` says where it was found, without any of it; nothing else is ever shown."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    source: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must never be shown."""
        return tuple(text for text in (self.access_key_id, self.secret_access_key, self.session_token) if text)


@dataclass(frozen=True, kw_only=True)
class Aws:
    """What one profile of this host gives. `keys` is None where `missing` says why."""

    keys: Keys | None = None
    missing: str = "this host has no keys for S3"
    endpoint: str | None = None
    endpoint_source: str | None = None
    region: str | None = None
    ca_file: str | None = None
    ca_source: str | None = None


NO_KEYS = Aws()
"""What a host gives that says nothing."""


def read_aws(environ: Mapping[str, str], read: Reader, profile: str | None = None) -> Aws:
    """Return what the host says, as AWS's own tools would take it: variables first, then the profile's files.

    `profile` is one that was named for a remote: then the variables with keys do not count.
    """
    name = profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    home = Path(environ.get("HOME") or Path.home())
    files = {
        "credentials": Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials").expanduser(),
        "config": Path(environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config").expanduser(),
    }
    credentials = _profiles(read(files["credentials"]), prefixed=False).get(name, {})
    sections = _profiles(read(files["config"]), prefixed=True)
    config = sections.get(name, {})
    keys, missing = _from_variables(environ) if profile is None else (None, "")
    if keys is None and not missing:
        named = profile is not None or name != "default"
        keys, missing = _from_files(name, credentials, config, files, named=named)
    endpoint, endpoint_source = _endpoint(environ, name, config, sections)
    ca_file, ca_source = environ.get("AWS_CA_BUNDLE"), "AWS_CA_BUNDLE"
    if not ca_file and config.get("ca_bundle"):
        ca_file, ca_source = config["ca_bundle"], f"ca_bundle of the profile {name}"
    return Aws(
        keys=keys,
        missing=missing,
        endpoint=endpoint,
        endpoint_source=endpoint_source,
        region=environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or config.get("region"),
        ca_file=ca_file or None,
        ca_source=ca_source if ca_file else None,
    )


def _from_variables(environ: Mapping[str, str]) -> tuple[Keys | None, str]:
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not key:
        return None, ""
    if not secret:
        return None, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"
    token = environ.get("AWS_SESSION_TOKEN") or None
    return Keys(access_key_id=key, secret_access_key=secret, session_token=token, source="AWS_ACCESS_KEY_ID"), ""


def _from_files(
    name: str, credentials: Mapping[str, str], config: Mapping[str, str], files: Mapping[str, Path], *, named: bool
) -> tuple[Keys | None, str]:
    """AWS's order: a role or a sign-in wins over keys in the same profile, keys win over a command."""
    merged = {**config, **credentials}
    for option in ("role_arn", "web_identity_token_file", "sso_session", "sso_start_url"):
        if merged.get(option):
            return None, _not_done(name, option)
    for kind, section in (("credentials", credentials), ("config", config)):
        if section.get("aws_access_key_id"):
            if not section.get("aws_secret_access_key"):
                return None, f"the profile {name} has a key without its secret"
            return (
                Keys(
                    access_key_id=section["aws_access_key_id"],
                    secret_access_key=section["aws_secret_access_key"],
                    session_token=section.get("aws_session_token") or None,
                    source=f"profile {name} of {files[kind]}",
                ),
                "",
            )
    if merged.get("credential_process"):
        return None, _not_done(name, "credential_process")
    if named and not merged:
        return None, f"neither {files['credentials']} nor {files['config']} has the profile {name}"
    return None, f"this host has no keys for S3: no AWS_ACCESS_KEY_ID, none in the profile {name}"


def _not_done(name: str, option: str) -> str:
    return f"the profile {name} {_NOT_DONE[option]}, which is not done for it here"


def _endpoint(
    environ: Mapping[str, str], name: str, config: Mapping[str, str], sections: Mapping[str, Mapping[str, str]]
) -> tuple[str | None, str | None]:
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None, None
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if environ.get(variable):
            return environ[variable], variable
    services = sections.get(f"services {config.get('services', '')}", {})
    nested = _nested(services.get("s3", "")).get("endpoint_url")
    value = nested or config.get("endpoint_url")
    return (value, f"endpoint_url of the profile {name}") if value else (None, None)


def _profiles(text: str | None, *, prefixed: bool) -> dict[str, dict[str, str]]:
    """Return the sections of a file by profile, others (`services x`) by their whole name.

    In `config` every profile but the default one has the prefix `profile`. A file that nobody can parse says nothing.
    """
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string(text or "")
    except configparser.Error:
        return {}
    found: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        try:
            words = shlex.split(section)
        except ValueError:
            continue
        name = " ".join(words[1:]) if prefixed and words[:1] == ["profile"] else " ".join(words)
        found[name] = {key: value.strip() for key, value in parser.items(section)}
    return found


def _nested(text: str) -> dict[str, str]:
    """Return the options that are indented below another."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, separator, value in pairs if separator}
