"""Storage accounts of Azure, with their keys: as the host's DVC configuration, Azure's variables or its CLI have them.

A key is of one account, so that the account is the endpoint that this host names. Keys that a sign-in, a managed
identity or the CLI's token cache would give are not fetched.
"""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.credentials.handed import Handed, NotHad
from runner.pointers.places import account_endpoint, normal_endpoint

REMEDY = "export AZURE_STORAGE_CONNECTION_STRING=... (or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY)"
_PRINCIPAL = ("tenant_id", "client_id", "client_secret")
_VARIABLES = {
    "connection_string": ("AZURE_STORAGE_CONNECTION_STRING",),
    "account_name": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    "account_key": ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN",),
    "tenant_id": ("AZURE_TENANT_ID",),
    "client_id": ("AZURE_CLIENT_ID",),
    "client_secret": ("AZURE_CLIENT_SECRET",),
}
_CLI = {"connection_string": "connection_string", "account": "account_name", "key": "account_key", "sas_token": ""}


@dataclass(frozen=True, kw_only=True)
class Account:
    """A storage account as this host has it. `keys` are options of DVC, none where the account alone is named."""

    name: str | None
    endpoint: str
    keys: Mapping[str, str] = field(repr=False)
    source: str


def read_account(
    own: Mapping[str, str], own_source: str, environ: Mapping[str, str], read: Callable[[Path], str | None]
) -> Account | None:
    """Return the first account that this host names, with its keys. Raises ValueError where it names an odd one.

    `own` are the options that its DVC configuration has for the remote.
    """
    named: dict[str, str] = {}
    for options, source in _places(own, own_source, environ, read):
        if options.get("connection_string"):
            return _of_connection_string(options["connection_string"], source)
        named = {**options, **named}
        account = named.get("account_name")
        if account is None:
            continue
        for names in (("account_key",), ("sas_token",), _PRINCIPAL):
            if all(named.get(name) for name in names):
                keys = {name: named[name] for name in names}
                return Account(name=account, endpoint=account_endpoint(account), keys=keys, source=source)
    account = named.get("account_name")
    if account is None:
        return None
    return Account(name=account, endpoint=account_endpoint(account), keys={}, source="")


def azure_credentials(account: Account | None) -> Handed | NotHad:
    """Return what signs in at an account."""
    if account is None or not account.keys:
        return NotHad(missing="this host has no keys for Azure: no AZURE_STORAGE_CONNECTION_STRING", remedy=REMEDY)
    secret = {"connection_string", "account_key", "sas_token", "client_secret"}
    secrets = [value for name, value in account.keys.items() if name in secret]
    for text in tuple(secrets):  # parts of one are as secret as all of it
        fields = _fields(text)
        secrets += [fields[name] for name in ("accountkey", "sharedaccesssignature") if fields.get(name)]
        secrets += [part.partition("sig=")[2] for part in text.replace(";", "&").split("&") if part.startswith("sig=")]
    return Handed(options=dict(account.keys), secrets=tuple(dict.fromkeys(secrets)), source=account.source)


def _places(
    own: Mapping[str, str], own_source: str, environ: Mapping[str, str], read: Callable[[Path], str | None]
) -> Iterator[tuple[dict[str, str], str]]:
    yield {name: own[name] for name in _VARIABLES if own.get(name)}, own_source
    given = {name: next((environ[key] for key in keys if environ.get(key)), "") for name, keys in _VARIABLES.items()}
    used = next((keys[0] for name, keys in _VARIABLES.items() if given[name] and name != "account_name"), "")
    yield {name: value for name, value in given.items() if value}, used
    home = Path(environ.get("HOME") or Path.home())
    file = Path(environ.get("AZURE_CONFIG_DIR") or home / ".azure") / "config"
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read(file) or "")
    except configparser.Error:
        return
    if parser.has_section("storage"):
        section = dict(parser.items("storage"))
        yield {ours or theirs: section[theirs] for theirs, ours in _CLI.items() if section.get(theirs)}, str(file)


def _of_connection_string(text: str, source: str) -> Account:
    fields = _fields(text)
    name = fields.get("accountname")
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        raise ValueError(f"the connection string of {source} is the emulator's short form: write it out")
    if fields.get("blobendpoint"):
        endpoint = normal_endpoint(fields["blobendpoint"])
    elif name:
        suffix = fields.get("endpointsuffix", "core.windows.net")
        protocol = fields.get("defaultendpointsprotocol", "https")
        account_endpoint(name)
        endpoint = normal_endpoint(f"{protocol}://{name}.blob.{suffix}")
    else:
        raise ValueError(f"the connection string of {source} names no account")
    return Account(name=name, endpoint=endpoint, keys={"connection_string": text}, source=source)


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a connection string by their names in lower case."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, separator, value in pairs if separator}
