"""How this host reaches package indexes: CA bundle, index addresses, proxies, as containers must be told.

Pure but for `read_network_settings`. What lies on this host's disk does not exist in a container and is left out, with
a note; what listens on `localhost` needs the host's network there.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from runner.redact import redact

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  # names to recognise, not to bind


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What a container needs to reach the indexes that this host reaches.

    `ca_bundle` is PEM, `ca_source` where it comes from. Addresses may hold credentials: they go to containers by
    standard input or a secret file only. `proxies` maps lower-case variable names to values. `notes` say, without
    secrets, what of the host's settings was left out.
    """

    ca_bundle: bytes | None = None
    ca_source: str | None = None
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    proxies: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
    """Return the settings of this host, from its environment and pip's configuration files."""
    return host_network_settings(environ, read_pip_configuration(environ))


def host_network_settings(environ: Mapping[str, str], pip_config: Mapping[str, str]) -> NetworkSettings:
    """Return the settings that variables and pip's merged configuration make; variables win, uv's over pip's.

    `pip_config` maps option names, as `index-url`, to values. Reads the CA bundle, nothing else.
    """
    notes: list[str] = []
    ca_bundle, ca_source = _ca_bundle(environ, pip_config, notes)

    def first(*values: str | None) -> str | None:
        return next((value.strip() for value in values if value and value.strip()), None)

    default = first(
        environ.get("UV_DEFAULT_INDEX"),
        environ.get("UV_INDEX_URL"),
        environ.get("PIP_INDEX_URL"),
        pip_config.get("index-url"),
    )
    extra = [
        *environ.get("UV_INDEX", "").split(),
        *environ.get("UV_EXTRA_INDEX_URL", "").split(),
        *(environ.get("PIP_EXTRA_INDEX_URL") or pip_config.get("extra-index-url", "")).split(),
    ]
    links = [
        *environ.get("UV_FIND_LINKS", "").replace(",", " ").split(),
        *(environ.get("PIP_FIND_LINKS") or pip_config.get("find-links", "")).split(),
    ]
    trusted = (environ.get("PIP_TRUSTED_HOST") or pip_config.get("trusted-host", "")).split()
    trusted += environ.get("UV_INSECURE_HOST", "").replace(",", " ").split()
    index_urls = _reachable([default] if default else [], "index", notes)
    proxies = {name: value for name in _PROXY_VARIABLES if (value := environ.get(name) or environ.get(name.upper()))}
    if "https_proxy" not in proxies and "all_proxy" not in proxies and (proxy := pip_config.get("proxy")):
        proxies |= {"http_proxy": proxy, "https_proxy": proxy}
    return NetworkSettings(
        ca_bundle=ca_bundle,
        ca_source=ca_source,
        index_url=index_urls[0] if index_urls else None,
        extra_index_urls=_reachable(extra, "extra index", notes),
        find_links=_reachable(links, "find-links", notes),
        trusted_hosts=tuple(dict.fromkeys(trusted)),
        proxies=proxies,
        notes=tuple(notes),
    )


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


def _reachable(addresses: list[str], what: str, notes: list[str]) -> tuple[str, ...]:
    kept = []
    for address in dict.fromkeys(addresses):
        # uv also takes NAME=URL.
        name, separator, rest = address.partition("=")
        plain = rest if separator and "/" not in name and ":" not in name else address
        if urlsplit(plain).scheme in {"http", "https"}:
            kept.append(plain)
        else:
            notes.append(f"the {what} {redact(plain)} is not passed on: it lies on this host's disk")
    return tuple(kept)


def _host(address: str) -> str | None:
    if "://" not in address:
        address = f"http://{address}"
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
