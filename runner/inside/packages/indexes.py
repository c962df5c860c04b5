"""Which package indexes are asked, in which order, and who gets credentials. Pure. Standard library only.

The host's own indexes come first and are trusted: a package that one of them knows is taken from nowhere else, so that
nobody can put another of that name on a public one. What the repository names gets no credentials of the host's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from runner.inside.packages import toml
from runner.inside.protocol import MISSING, PhaseError

PYPI = "https://pypi.org/simple"
FIRST_INDEX = "first-index"
EVERYWHERE = "unsafe-first-match"
_ANYBODYS = frozenset({"test.pypi.org", "testpypi.python.org"})  # where nobody owns the names that PyPI knows
_ORIGIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class IndexSettings:
    """Where packages come from. `own` addresses are the host's, `named` ones the repository's.

    `strategy` is uv's, where the host sets one; `upload_times` maps file names to moments, for indexes that give none.
    """

    default: str | None = None
    own: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_path: str | None = None
    offline: bool = False
    strategy: str | None = None
    upload_times: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, ...]:
        """The indexes in the order in which they are asked for a package."""
        anybodys = [index for index in self.named if urlsplit(index).hostname in _ANYBODYS]
        named = [index for index in self.named if index not in anybodys]
        return (*self.own, *named, self.default or PYPI, *anybodys)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses that the host's own configuration names: credentials are theirs alone."""
        return self.own if self.default is None else (*self.own, self.default)

    def with_named(self, indexes: Sequence[str], links: Sequence[str] = ()) -> IndexSettings:
        """Return the settings with indexes and links that the repository names; PyPI is the default index anyway.

        Raises PhaseError for one on the host of a private index of the auditor's, unless further down that one's path:
        uv, which tells credentials apart by host, would show it those.
        """
        known = {_plain(index) for index in self.hosts}
        others = [index.rstrip("/") for index in indexes if not _is_pypi(index) and _plain(index) not in known]
        for address in (*others, *links):
            if self._is_beside_credentials(address):
                raise PhaseError(
                    MISSING,
                    f"the repository names {_plain(address)}, on the host of a private index of yours: it is not "
                    "asked, since it would be shown that one's credentials",
                    f"export UV_INDEX=NAME={_plain(address)}    which makes it an index of your own",
                    fact="environment",
                )
        return replace(
            self,
            named=tuple(dict.fromkeys(others)),
            links=tuple(dict.fromkeys((*self.links, *links))),
        )

    def configuration(
        self,
        *,
        without_build: Sequence[str] = (),
        strategy: str | None = None,
        stand_in: Callable[[str], str] | None = None,
    ) -> str:
        """Return uv's configuration file.

        `without_build` names packages whose metadata is not to be looked for, `stand_in` tells at which address an
        index is asked in its place.
        """
        lines = [f"index-strategy = {json.dumps(self.strategy or strategy or FIRST_INDEX)}"]
        if self.links:
            lines.append(f"find-links = {json.dumps(list(self.links))}")
        if self.trusted_hosts:
            lines.append(f"allow-insecure-host = {json.dumps(list(self.trusted_hosts))}")
        for index in self.order:
            lines += self._entry(index) if stand_in is None else ["[[index]]", f"url = {json.dumps(stand_in(index))}"]
        lines.append("default = true")  # of the last: uv asks it last, and would else ask PyPI besides
        for number, index in enumerate(self.hosts if stand_in is not None else ()):
            # Asked for nothing, but uv knows their credentials by it, for the files that lie there.
            lines += ["[[index]]", f'name = "files-{number}"', f"url = {json.dumps(index)}", "explicit = true"]
        for name in without_build:
            lines += ["[[dependency-metadata]]", f"name = {json.dumps(name)}", "requires-dist = []"]
        return "\n".join(lines) + "\n"

    def credentials_for(self, address: str) -> tuple[str, str | None]:
        """Return an address without its user information, and `user:password` for a file there, if it is to have some.

        They are its own, or those of an index of the host's at exactly the same scheme, host and port.
        """
        parts = urlsplit(address)
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        for known in (address, *self.hosts, *self.links):
            userinfo, at, _ = urlsplit(known).netloc.rpartition("@")
            if at and origin(known) == origin(address):
                return plain, unquote(userinfo)
        return plain, None

    def _entry(self, index: str) -> list[str]:
        lines = ["[[index]]", f"url = {json.dumps(index)}"]
        if not self._may_have_credentials(index):
            lines.append('authenticate = "never"')
        return lines

    def _may_have_credentials(self, index: str) -> bool:
        """Tell whether an index is the host's, or one that the repository names further down the path of such a one."""
        if urlsplit(index).password or any(same_index(index, each) for each in self.hosts):
            return True  # the host's, or the repository's own credentials
        return self._is_below_own(index)

    def _is_below_own(self, address: str) -> bool:
        same = [each for each in self.hosts if origin(each) == origin(address)]
        path = urlsplit(address).path.rstrip("/") + "/"
        return any(path.startswith(urlsplit(each).path.rstrip("/") + "/") for each in same)

    def _is_beside_credentials(self, address: str) -> bool:
        near = [each for each in self.hosts if "@" in urlsplit(each).netloc and origin(each) == origin(address)]
        return bool(near) and not self._is_below_own(address)


def index_settings(
    network: Mapping[str, Any], *, ca_path: str | None, offline: bool, upload_times: Mapping[str, str] | None = None
) -> IndexSettings:
    """Return the settings that the host sent."""
    return IndexSettings(
        default=network.get("index_url"),
        own=tuple(network.get("extra_index_urls", ())),
        links=tuple(network.get("find_links", ())),
        trusted_hosts=tuple(network.get("trusted_hosts", ())),
        proxies=dict(network.get("proxies", {})),
        ca_path=ca_path,
        offline=offline,
        strategy=network.get("index_strategy"),
        upload_times=dict(upload_times or {}),
    )


def origins(lock: str) -> dict[str, tuple[str, str]]:
    """Return version and index of each package of uv's output, a lock with `# from ADDRESS` or a pylock.toml."""
    found: dict[str, tuple[str, str]] = {}
    if lock.lstrip().startswith("lock-version") or "\nlock-version" in lock:
        for package in toml.loads(lock).get("packages", ()):
            found[str(package["name"])] = str(package.get("version", "")), str(package.get("index", PYPI))
        return found
    name, version = None, ""
    for line in lock.splitlines():
        if match := _ORIGIN.match(line):
            name, version = re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"]
        elif name is not None and line.strip().startswith("# from "):
            found[name] = version, line.strip().removeprefix("# from ")
    return found


def same_index(one: str, other: str) -> bool:
    """Tell whether two addresses are one index, whatever user they name."""
    return _plain(one) == _plain(other)


def origin(address: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _plain(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def _is_pypi(index: str) -> bool:
    return urlsplit(index).hostname in {"pypi.org", "pypi.python.org"}
