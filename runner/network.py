"""How this host reaches package indexes: CA bundle, index addresses, proxies, as containers must be told.

Settings are those of uv and pip: variables, pip's configuration files, uv's `uv.toml` of the user and the system (never
that of the current directory, which may be the audited repository). Passwords of netrc and keyring are looked up by
`runner.credentials.indexes`. What lies on this host's disk does not exist in a container and is left out, with a note;
what listens on `localhost` needs the host's network there. Pure but for what is called `read`.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from runner.redact import redact

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_STRATEGIES = frozenset({"first-index", "unsafe-first-match", "unsafe-best-match"})
_LEAST_SECRET = 4  # shorter ones would hide parts of ordinary words; of addresses they are hidden all the same
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  # names to recognise, not to bind


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What a container needs to reach the indexes that this host reaches.

    `ca_bundle` is PEM, `ca_source` where it comes from. Addresses may hold credentials: they go to containers by
    standard input or a secret file only. `index_strategy` is uv's, where the host sets one; `keyring` tells whether its
    keyring is to be asked. `proxies` maps lower-case variable names to values. `notes` say, without
    secrets, what of the host's settings was left out.
    """

    ca_bundle: bytes | None = None
    ca_source: str | None = None
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    index_strategy: str | None = None
    keyring: bool = False
    proxies: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password that an address holds, as it is written there and as it is meant; for hiding them."""
        addresses = [self.index_url, *self.extra_index_urls, *self.find_links, *self.proxies.values()]
        found: list[str] = []
        for address in filter(None, addresses):
            userinfo = urlsplit(address if "://" in address else f"//{address}").netloc.rpartition("@")[0]
            secret = userinfo.partition(":")[2] or userinfo
            found += [text for text in (secret, unquote(secret)) if len(text) >= _LEAST_SECRET]
        return tuple(dict.fromkeys(found))

    @property
    def needs_host_network(self) -> bool:
        """Tell whether an index or a proxy listens on this host's loopback address."""
        addresses = [self.index_url, *self.extra_index_urls, *self.find_links]
        addresses += [value for name, value in self.proxies.items() if name != "no_proxy"]
        return any(_host(address) in _LOCAL_NAMES for address in addresses if address)

    def variables(self, ca_path: str | None = None) -> dict[str, str]:
        """Return the environment that makes uv and pip use these settings; the bundle lies at `ca_path` there."""
        variables: dict[str, str] = {}
        if self.ca_bundle is not None and ca_path is not None:
            variables |= dict.fromkeys((*_CA_VARIABLES, "GIT_SSL_CAINFO"), ca_path)
        if self.index_url is not None:
            variables |= {"UV_DEFAULT_INDEX": self.index_url, "PIP_INDEX_URL": self.index_url}
        if self.extra_index_urls:
            joined = " ".join(self.extra_index_urls)
            variables |= {"UV_INDEX": joined, "PIP_EXTRA_INDEX_URL": joined}
        if self.find_links:
            # uv separates by commas, pip by spaces.
            variables |= {"UV_FIND_LINKS": ",".join(self.find_links), "PIP_FIND_LINKS": " ".join(self.find_links)}
        if self.trusted_hosts:
            joined = " ".join(self.trusted_hosts)
            variables |= {"UV_INSECURE_HOST": joined, "PIP_TRUSTED_HOST": joined}
        for name, value in self.proxies.items():
            variables |= {name: value, name.upper(): value}
        return variables


def read_network_settings(environ: Mapping[str, str] = os.environ) -> NetworkSettings:
    """Return the settings of this host, from its environment and the configuration files of pip and uv."""
    return host_network_settings(environ, read_pip_configuration(environ), read_uv_configuration(environ))


def host_network_settings(
    environ: Mapping[str, str], pip_config: Mapping[str, str], uv_config: UvConfiguration | None = None
) -> NetworkSettings:
    """Return the settings that variables and configuration make; variables win, uv's over pip's.

    `pip_config` maps option names, as `index-url`, to values. Reads the CA bundle, nothing else.
    """
    notes: list[str] = []
    uv_config = uv_config or UvConfiguration()
    ca_bundle, ca_source = _ca_bundle(environ, pip_config, notes)
    default = _first(
        environ.get("UV_DEFAULT_INDEX"),
        environ.get("UV_INDEX_URL"),
        uv_config.default,
        environ.get("PIP_INDEX_URL"),
        pip_config.get("index-url"),
    )
    extra = [
        *environ.get("UV_INDEX", "").split(),
        *environ.get("UV_EXTRA_INDEX_URL", "").split(),
        *uv_config.indexes,
        *(environ.get("PIP_EXTRA_INDEX_URL") or pip_config.get("extra-index-url", "")).split(),
    ]
    links = [
        *environ.get("UV_FIND_LINKS", "").replace(",", " ").split(),
        *uv_config.find_links,
        *(environ.get("PIP_FIND_LINKS") or pip_config.get("find-links", "")).split(),
    ]
    trusted = (environ.get("PIP_TRUSTED_HOST") or pip_config.get("trusted-host", "")).split()
    trusted += [*environ.get("UV_INSECURE_HOST", "").replace(",", " ").split(), *uv_config.insecure_hosts]
    index_urls = _reachable([default] if default else [], "index", notes, environ)
    proxies = {name: value for name in _PROXY_VARIABLES if (value := environ.get(name) or environ.get(name.upper()))}
    if "https_proxy" not in proxies and "all_proxy" not in proxies and (proxy := pip_config.get("proxy")):
        proxies |= {"http_proxy": proxy, "https_proxy": proxy}
    strategy = _first(environ.get("UV_INDEX_STRATEGY"), uv_config.index_strategy)
    keyring = _first(
        environ.get("UV_KEYRING_PROVIDER"),
        uv_config.keyring_provider,
        environ.get("PIP_KEYRING_PROVIDER"),
        pip_config.get("keyring-provider"),
    )
    return NetworkSettings(
        ca_bundle=ca_bundle,
        ca_source=ca_source,
        index_url=index_urls[0] if index_urls else None,
        extra_index_urls=_reachable(extra, "extra index", notes, environ),
        find_links=_reachable(links, "find-links", notes, environ),
        trusted_hosts=tuple(dict.fromkeys(trusted)),
        index_strategy=strategy if strategy in _STRATEGIES else None,
        keyring=keyring in {"subprocess", "import"},
        proxies=proxies,
        notes=(*notes, *uv_config.notes),
    )


def _first(*values: str | None) -> str | None:
    return next((value.strip() for value in values if value and value.strip()), None)


@dataclass(frozen=True, kw_only=True)
class UvConfiguration:
    """What uv's configuration files say of indexes. `indexes` are addresses, or `NAME=ADDRESS`."""

    default: str | None = None
    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    insecure_hosts: tuple[str, ...] = ()
    index_strategy: str | None = None
    keyring_provider: str | None = None
    notes: tuple[str, ...] = ()


def read_uv_configuration(environ: Mapping[str, str]) -> UvConfiguration:
    """Return what the user's `uv.toml` says, then what the system's adds; or `UV_CONFIG_FILE` alone."""
    if environ.get("UV_NO_CONFIG", "").lower() in {"1", "true", "yes", "on"}:
        return UvConfiguration()
    merged = UvConfiguration()
    for path in _uv_files(environ):
        try:
            found = uv_configuration(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            continue
        merged = UvConfiguration(
            default=merged.default or found.default,
            indexes=(*merged.indexes, *found.indexes),
            find_links=(*merged.find_links, *found.find_links),
            insecure_hosts=(*merged.insecure_hosts, *found.insecure_hosts),
            index_strategy=merged.index_strategy or found.index_strategy,
            keyring_provider=merged.keyring_provider or found.keyring_provider,
            notes=(*merged.notes, *found.notes),
        )
    return merged


def uv_configuration(document: Mapping[str, Any]) -> UvConfiguration:
    """Return what one document says: its top, and `[pip]`, which wins for uv's own pip."""
    pip = document.get("pip")
    tables = [table for table in (pip, document) if isinstance(table, dict)]

    def texts(name: str) -> tuple[str, ...]:
        values = [value for table in tables for value in _listed(table.get(name))]
        return tuple(value for value in values if isinstance(value, str))

    def text(name: str) -> str | None:
        return _first(*(str(table[name]) for table in tables if isinstance(table.get(name), str)))

    default, indexes, notes = text("index-url"), [], []
    for table in tables:
        for entry in _listed(table.get("index")):
            if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
                continue
            named = f"{entry['name']}={entry['url']}" if isinstance(entry.get("name"), str) else str(entry["url"])
            if entry.get("explicit") is True:
                notes.append(f"the index {redact(named)} of uv.toml is explicit: it is not asked")
            elif entry.get("default") is True:
                default = named
            else:
                indexes.append(named)
    return UvConfiguration(
        default=default,
        indexes=(*indexes, *texts("extra-index-url")),
        find_links=texts("find-links"),
        insecure_hosts=texts("allow-insecure-host"),
        index_strategy=text("index-strategy"),
        keyring_provider=text("keyring-provider"),
        notes=tuple(notes),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _uv_files(environ: Mapping[str, str]) -> list[Path]:
    if named := environ.get("UV_CONFIG_FILE"):
        return [Path(named)]
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    shared = [Path(part) for part in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if part]
    system = [
        path for path in (*(folder / "uv" / "uv.toml" for folder in shared), Path("/etc/uv/uv.toml")) if path.is_file()
    ]
    return [user / "uv" / "uv.toml", *system[:1]]


def read_pip_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what `pip config list` merges for an install: global, user, environment's files; later ones win."""
    merged: dict[str, str] = {}
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return merged
    for path in [*_pip_files(environ), *([Path(named)] if named else [])]:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                merged |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    return merged


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or Path.home())
    shared = [Path(part) for part in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if part]
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        *(folder / "pip" / "pip.conf" for folder in shared),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        user / "pip" / "pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]


def _ca_bundle(
    environ: Mapping[str, str], pip_config: Mapping[str, str], notes: list[str]
) -> tuple[bytes | None, str | None]:
    candidates = [(name, environ.get(name)) for name in _CA_VARIABLES] + [("pip's cert", pip_config.get("cert"))]
    for name, value in candidates:
        if not value:
            continue
        try:
            content = Path(value).read_bytes()
        except OSError as error:
            notes.append(f"{name}={value} is not passed on: {error.strerror}")
            continue
        if b"BEGIN CERTIFICATE" in content or b"BEGIN TRUSTED CERTIFICATE" in content:
            return content, f"{name}={value}"
        notes.append(f"{name}={value} is not passed on: it holds no certificate")
    return None, None


def _reachable(addresses: list[str], what: str, notes: list[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    kept = []
    for address in dict.fromkeys(addresses):
        # uv also takes NAME=URL.
        name, separator, rest = address.partition("=")
        named = bool(separator) and "/" not in name and ":" not in name
        plain = rest if named else address
        if urlsplit(plain).scheme in {"http", "https"}:
            kept.append(_with_credentials_of(name, plain, environ) if named else plain)
        else:
            notes.append(f"the {what} {redact(plain)} is not passed on: it lies on this host's disk")
    return tuple(dict.fromkeys(kept))


def _with_credentials_of(name: str, address: str, environ: Mapping[str, str]) -> str:
    """Return an index's address with `UV_INDEX_NAME_USERNAME` and `…_PASSWORD`, which uv takes for the index NAME."""
    stem = f"UV_INDEX_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}"
    user, password = environ.get(f"{stem}_USERNAME"), environ.get(f"{stem}_PASSWORD")
    if not (user or password) or "@" in urlsplit(address).netloc:
        return address
    return with_userinfo(address, user or "", password)


def with_userinfo(address: str, user: str, password: str | None) -> str:
    """Return an address with user information, quoted."""
    parts = urlsplit(address)
    userinfo = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
    return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc.rpartition('@')[2]}"))


def _host(address: str) -> str | None:
    if "://" not in address:
        address = f"http://{address}"
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
