"""How this host reaches Debian's packages: mirror, proxies, certificates, credentials, as apt elsewhere must be told.

They may be secret: they go to a container by its standard input, and stay in no image.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from runner.network import NetworkSettings, read_network_settings

_OPTION = re.compile(r'(?P<name>[\w:./-]+) "(?P<value>.*)";')
_PASSED_ON = re.compile(
    r"Acquire::(?:https?::(?:Proxy(?:::\S+)?|Timeout)|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])"
)
_CA = "Acquire::https::CaInfo"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class AptSettings:
    """What apt needs elsewhere to reach what this host reaches.

    `mirror` is None for Debian's usual places; `options` are apt's own, by name; `variables` are the proxies' ones;
    `credentials` is the text of `auth.conf`.
    """

    mirror: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: bytes | None = None
    credentials: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_host_network(self) -> bool:
        """Tell whether the mirror or a proxy listens on this host's loopback address."""
        proxies = [value for name, value in self.options.items() if "::Proxy" in name]
        proxies += [value for name, value in self.variables.items() if name.lower() != "no_proxy"]
        return any(_host(address) in _LOCAL_NAMES for address in (self.mirror or "", *proxies))

    def configuration(self) -> str:
        """Return the options in apt's own notation."""
        return "".join(f'{name} "{value}";\n' for name, value in sorted(self.options.items()))


def read_apt_settings(
    environ: Mapping[str, str] = os.environ, network: NetworkSettings | None = None, root: Path = Path("/")
) -> AptSettings:
    """Return the settings of this host: its apt's, where it is a Debian or Ubuntu, and its environment's."""
    network = network or read_network_settings(environ)
    options = passed_on(_apt("apt-config", "dump"))
    authority = options.pop(_CA, None)
    return AptSettings(
        mirror=debian_mirror(environ),
        options=options,
        ca_bundle=_read(Path(authority)) if authority else network.ca_bundle,
        credentials="\n".join(
            content.decode(errors="replace")
            for path in (root / "etc/apt/auth.conf", *sorted((root / "etc/apt/auth.conf.d").glob("*.conf")))
            if (content := _read(path)) is not None
        ),
        variables={name: value for key, value in network.proxies.items() for name in (key, key.upper())},
    )


def passed_on(dump: str) -> dict[str, str]:
    """Return those of apt's options (`apt-config dump`) that say how packages are reached, never which are trusted."""
    found = (_OPTION.fullmatch(line) for line in dump.splitlines())
    options = {match["name"]: match["value"] for match in found if match is not None}
    return {name: value for name, value in options.items() if value and (_PASSED_ON.fullmatch(name) or name == _CA)}


def debian_mirror(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the mirror that REPRO_DEBIAN_MIRROR names or this Debian host uses, None for the usual one."""
    if named := environ.get("REPRO_DEBIAN_MIRROR"):
        return named
    listed = _apt("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian").split()
    mirrors = {uri.rstrip("/") for uri in listed if uri.startswith(("http://", "https://"))}
    # Debian's own hosts are mmdebstrap's default, which also knows where the security updates are.
    usual = {uri for uri in mirrors if (urlsplit(uri).hostname or "").endswith(".debian.org")}
    return None if usual or not mirrors else sorted(mirrors)[0]


def _apt(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _host(address: str) -> str | None:
    try:
        return urlsplit(address if "://" in address else f"http://{address}").hostname
    except ValueError:
        return None
