"""Asking a Git LFS server for objects: the batch API and nothing else of Git LFS, which would run what is configured.

Git LFS itself reads the repository's `.lfsconfig`, starts transfer agents and stands in git's filters. The one request
that says where objects are, and one for each object, are all that is needed. What a server names is a stranger's text:
objects are fetched by https, from no private network unless the server itself is there, and our login goes to the
server alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from runner.pointers.places import is_near
from runner.redact import redact
from runner.repository.address import Address
from runner.repository.process import GitFailed, Network, run_git
from runner.schema.snapshot import LfsPointer

if TYPE_CHECKING:
    import requests

_JSON = "application/vnd.git-lfs+json"
_BATCH = 100  # objects in a request, the most that GitHub takes
_LONGEST_ANSWER = 16 << 20
_CONNECT_S, _READ_S, _SSH_S = 20.0, 60.0, 60.0
_CHUNK = 1 << 20
_MOST_REDIRECTS = 5
_USER = Network((), user_configuration=True)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Refusal:
    """Why an object cannot be had. `passing` tells that a later try may succeed."""

    why: str
    passing: bool


@dataclass(frozen=True)
class Offer:
    """Where the server says that an object is. `headers` may hold secrets."""

    href: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class _Unusable(Exception):
    """The server gave no list of objects."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


class LfsServer:
    """The LFS server of a repository at `address`; `git_dir` is ours, for asking the user's git for a login.

    `named` is the `lfs.url` that the commit has, which counts on the repository's own host, or on one that the user's
    git names for LFS.
    """

    def __init__(self, address: Address, git_dir: Path, named: str | None = None) -> None:
        self._address = address
        self._git_dir = git_dir
        self._ssh = _ssh_place(address.text)
        self.passed_over: str | None = None
        default = _default_endpoint(address.text, self._ssh)
        if named and not self._is_ours(named, default):
            self.passed_over = redact(named)
            named = None
        self._endpoint = (named or default).rstrip("/")
        self._fixed = named is not None
        self._headers: dict[str, str] = {}
        self._authorized = False

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return redact(self._endpoint)

    def offers(self, pointers: Iterable[LfsPointer]) -> dict[str, Offer | Refusal]:
        """Return for each object where it is, or why it cannot be had."""
        sizes = {pointer.oid: pointer.size_bytes for pointer in pointers}
        found: dict[str, Offer | Refusal] = {}
        oids = sorted(sizes)
        for first in range(0, len(oids), _BATCH):
            part = {oid: sizes[oid] for oid in oids[first : first + _BATCH]}
            try:
                found |= self._batch(part)
            except _Unusable as error:
                found |= dict.fromkeys(oids[first:], error.refusal)
                break
        return found

    def fetch(self, pointer: LfsPointer, offer: Offer, target: Path) -> Refusal | None:
        """Write an object to `target`, once its bytes have the pointer's digest and size; else return why not."""
        import requests

        href = offer.href
        headers = dict(offer.headers)
        try:
            for _ in range(_MOST_REDIRECTS):
                if not self._may_ask(href):
                    return Refusal(f"the server sends us to {redact(href)[:200]}, which is not asked", passing=False)
                answer = self._session(href).get(
                    href, headers=headers, stream=True, allow_redirects=False, timeout=(_CONNECT_S, _READ_S)
                )
                with answer:
                    if not answer.is_redirect:
                        return self._take(answer, pointer, target)
                    onward = urljoin(href, answer.headers["Location"])
                if _origin(onward) != _origin(href):
                    headers = {}  # what was given for one server is for no other
                href = onward
        except requests.RequestException as error:
            return Refusal(f"{self.shown} broke off: {type(error).__name__}", passing=True)
        return Refusal(f"{self.shown} sends us around in a circle", passing=True)

    def _take(self, answer: requests.Response, pointer: LfsPointer, target: Path) -> Refusal | None:
        if answer.status_code != 200:
            return _refused_with(answer.status_code, self.shown)
        hashing, size = hashlib.sha256(), 0
        with target.open("xb") as file:
            for chunk in answer.iter_content(_CHUNK):
                size += len(chunk)
                if size > pointer.size_bytes:
                    break
                hashing.update(chunk)
                file.write(chunk)
        if size == pointer.size_bytes and hashing.hexdigest() == pointer.oid:
            return None
        target.unlink()
        if size < pointer.size_bytes:
            return Refusal(f"{self.shown} broke off after {size} of {pointer.size_bytes} bytes", passing=True)
        return Refusal(f"{self.shown} has other bytes under this digest", passing=False)

    def _batch(self, sizes: Mapping[str, int]) -> dict[str, Offer | Refusal]:
        document = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": oid, "size": size} for oid, size in sizes.items()],
        }
        objects = self._posted(document).get("objects")
        found: dict[str, Offer | Refusal] = {}
        for item in objects if isinstance(objects, list) else ():
            if isinstance(item, dict) and item.get("oid") in sizes:
                found[item["oid"]] = self._read(item)
        missing = Refusal(f"{self.shown} does not hold it", passing=False)
        return {oid: found.get(oid, missing) for oid in sizes}

    def _read(self, item: Mapping[str, Any]) -> Offer | Refusal:
        error, actions = item.get("error"), item.get("actions")
        if isinstance(error, dict):
            code = error.get("code")
            return _refused_with(code if isinstance(code, int) else 404, self.shown)
        download = actions.get("download") if isinstance(actions, dict) else None
        href = download.get("href") if isinstance(download, dict) else None
        if not isinstance(href, str):
            return Refusal(f"{self.shown} does not hold it", passing=False)
        href = urljoin(self._endpoint + "/", href)
        headers = {}
        if _origin(href) == _origin(self._endpoint) and not item.get("authenticated"):
            headers = dict(self._headers)
        given = download.get("header") if isinstance(download, dict) else None
        for name, text in (given if isinstance(given, dict) else {}).items():
            if isinstance(text, str) and _HEADER.fullmatch(name) and text.isprintable():
                headers = {key: value for key, value in headers.items() if key.lower() != name.lower()}
                headers[name] = text
        return Offer(href, headers)

    def _posted(self, document: Mapping[str, Any]) -> dict[str, Any]:
        import requests

        self._authorize_by_ssh()
        try:
            status, content = self._post(document)
            if status == 401 and (login := self._login()) is not None:
                self._headers = {"Authorization": login}
                status, content = self._post(document)
        except requests.RequestException as error:
            why = f"{self.shown} cannot be asked: {type(error).__name__}"
            raise _Unusable(Refusal(why, passing=True)) from error
        if status != 200:
            raise _Unusable(_refused_with(status, self.shown))
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise _Unusable(Refusal(f"{self.shown} is no server of Git LFS", passing=False))
        return answer

    def _post(self, document: Mapping[str, Any]) -> tuple[int, bytes]:
        headers = {"Accept": _JSON, "Content-Type": _JSON, **self._headers}
        url = self._endpoint + "/objects/batch"
        with self._session(url).post(
            url,
            data=json.dumps(document).encode(),
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(_CONNECT_S, _READ_S),
        ) as answer:
            content = b""
            for chunk in answer.iter_content(_CHUNK):
                content += chunk
                if len(content) > _LONGEST_ANSWER:
                    return answer.status_code, b""
            return answer.status_code, content

    def _session(self, url: str) -> requests.Session:
        """Return a session with the certificates and the proxy that the user's git has; no netrc adds to it."""
        import requests

        session = requests.Session()
        session.auth = _unchanged
        authorities = os.environ.get("GIT_SSL_CAINFO") or self._configured("http.sslCAInfo", url)
        if authorities:
            session.trust_env = False  # else REQUESTS_CA_BUNDLE comes first
            session.verify = str(Path(authorities).expanduser())
            session.proxies = requests.utils.get_environ_proxies(url)
        proxy = self._configured("http.proxy", url)
        if proxy:
            session.proxies = {"http": proxy, "https": proxy}
        return session

    def _login(self) -> str | None:
        """Return what this user's git says to this server, None where it says nothing."""
        import requests

        parts = urlsplit(self._endpoint)
        given = self._address.login
        if given is not None and given.place == f"{parts.scheme}://{parts.netloc}":
            return requests.auth._basic_auth_str(given.user, given.password)
        asked = f"protocol={parts.scheme}\nhost={parts.netloc}\npath={parts.path.lstrip('/')}\n\n"
        try:
            said = run_git(self._git_dir, "credential", "fill", stdin=asked.encode(), network=_USER, timeout_s=_SSH_S)
        except GitFailed:
            said = b""
        pairs = dict(line.partition("=")[::2] for line in said.decode(errors="replace").splitlines())
        if "username" in pairs and "password" in pairs:
            return requests.auth._basic_auth_str(pairs["username"], pairs["password"])
        known = requests.utils.get_netrc_auth(self._endpoint)
        return None if known is None else requests.auth._basic_auth_str(*known)

    def _authorize_by_ssh(self) -> None:
        """Ask a server of git by ssh where its LFS is and for a login there, as `git-lfs-authenticate` tells."""
        if self._ssh is None or self._authorized or self._fixed:
            return
        self._authorized = True
        place, port, path = self._ssh
        command = os.environ.get("GIT_SSH_COMMAND") or self._configured("core.sshCommand") or "ssh"
        argv = [*shlex.split(command), "-oBatchMode=yes", *(["-p", port] if port else []), "--", place]
        try:
            done = subprocess.run(
                [*argv, f"git-lfs-authenticate {shlex.quote(path)} download"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SSH_S,
                check=True,
                start_new_session=True,
            )
            answer = json.loads(done.stdout)
            href, headers = answer["href"], answer.get("header") or {}
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
            return  # it may serve LFS by https all the same
        if isinstance(href, str) and urlsplit(href).scheme == "https" and isinstance(headers, dict):
            self._endpoint = href.rstrip("/")
            self._headers = {name: text for name, text in headers.items() if isinstance(text, str)}

    def _may_ask(self, href: str) -> bool:
        if _origin(href) == _origin(self._endpoint):
            return True
        host = urlsplit(href).hostname
        near = is_near(host) if host else True
        return urlsplit(href).scheme == "https" and not near

    def _is_ours(self, named: str, default: str) -> bool:
        try:
            parts = urlsplit(named)
        except ValueError:
            return False
        if parts.scheme not in ("https", urlsplit(default).scheme) or "@" in parts.netloc or not named.isprintable():
            return False
        hosts = {urlsplit(default).netloc.rpartition("@")[2], *self._hosts_of_user()}
        return parts.netloc in hosts

    def _hosts_of_user(self) -> set[str]:
        """Return the hosts that the user's own git configuration names for LFS."""
        try:
            said = run_git(
                self._git_dir,
                "config",
                "--get-regexp",
                r"^(lfs\.url|lfs\.https?://.*|remote\.lfsdefault)$",
                network=_USER,
            )
        except GitFailed:
            return set()
        return {match[1] for match in re.finditer(r"https?://([^/\s]+)", said.decode(errors="replace"))}

    def _configured(self, name: str, url: str | None = None) -> str | None:
        arguments = ("config", "--get-urlmatch", name, url) if url else ("config", "--get", name)
        try:
            return run_git(self._git_dir, *arguments, network=_USER).decode(errors="replace").strip() or None
        except GitFailed:
            return None


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", url, None
    return parts.scheme, parts.hostname, port


def _ssh_place(text: str) -> tuple[str, str | None, str] | None:
    """Return USER@HOST, port and path of an address by ssh, None for others."""
    if text.startswith("ssh://"):
        parts = urlsplit(text)
        user = f"{parts.username}@" if parts.username else ""
        return f"{user}{parts.hostname}", None if parts.port is None else str(parts.port), parts.path
    if "://" in text:
        return None
    place, _, path = text.partition(":")
    return place, None, path


def _default_endpoint(text: str, ssh: tuple[str, str | None, str] | None) -> str:
    """Return where Git LFS looks for the server of a repository, by its own convention."""
    if ssh is not None:
        text = f"https://{ssh[0].rpartition('@')[2]}/{ssh[2].lstrip('/')}"
    text = text.rstrip("/")
    return f"{text}/info/lfs" if text.endswith(".git") else f"{text}.git/info/lfs"


def _refused_with(status: int, shown: str) -> Refusal:
    if status in (404, 410):
        return Refusal(f"{shown} does not hold it (status {status})", passing=False)
    if status in (401, 403):
        return Refusal(f"{shown} refuses to be read (status {status}); your git has no login for it", passing=True)
    return Refusal(f"{shown} answers with status {status}", passing=status >= 500 or status == 429)
