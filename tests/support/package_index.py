"""A package index on this host, with packages made on the spot: dated or not, open or not, slow or not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.authorities import Authority, speak_tls

UPLOADED = "2020-01-01T00:00:00.000000Z"

BACKEND = """
import os, sys, zipfile
{prologue}
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "{name}-{version}-py3-none-any.whl"
    info = "{name}-{version}.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("{name}.py", module())
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def wheel_bytes(name: str, version: str, files: Mapping[str, str], *, requires: tuple[str, ...] = ()) -> bytes:
    """A pure wheel."""
    info = f"{name}-{version}.dist-info/"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    content = dict(files) | {
        f"{info}METADATA": metadata,
        f"{info}WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}RECORD"] = "".join(f"{path},,\n" for path in content)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def archive_bytes(name: str, version: str, files: Mapping[str, str]) -> bytes:
    """A source archive with these files, and the metadata that each has."""
    files = {"PKG-INFO": f"Metadata-Version: 1.1\nName: {name}\nVersion: {version}\n", **files}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def source_bytes(name: str, version: str, *, prologue: str, requires: tuple[str, ...] = ()) -> bytes:
    """A source archive with a build backend of its own; `prologue` is its code and defines `module() -> str`.

    `requires` is what its `pyproject.toml` says that building it needs.
    """
    files = {
        "pyproject.toml": f"[build-system]\nrequires = {json.dumps(requires)}\n"
        'build-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(name=name, version=version, prologue=prologue),
    }
    return archive_bytes(name, version, files)


def _said(about: Mapping[str, object]) -> dict[str, object]:
    return {key.replace("_", "-"): value for key, value in about.items()}


class PackageIndex:
    """The index; a context manager. `before_file` is called with a file's name before it is served.

    With `html_pages` its pages are those of PEP 503, as older indexes have them. `about` holds what a page says of
    single files besides (`upload-time`, `yanked`, `requires-python`). `elsewhere` is an index that its files are
    redirected to. `heard` are paths with the authorization that came along.
    """

    def __init__(
        self,
        *,
        dated: bool = True,
        userinfo: str | None = None,
        html_pages: bool = False,
        authority: Authority | None = None,
    ) -> None:
        self.dated = dated
        self.elsewhere: PackageIndex | None = None
        self.heard: list[tuple[str, str | None]] = []
        self.html_pages = html_pages
        self.about: dict[str, dict[str, object]] = {}
        self.userinfo = userinfo
        self.files: dict[str, tuple[str, bytes]] = {}
        self.requests: list[str] = []
        self.before_file: Callable[[str], None] = lambda name: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._scheme, self._host = "http", "127.0.0.1"
        if authority is not None:
            speak_tls(self._server, authority)
            self._scheme, self._host = "https", "localhost"

    def add_wheel(
        self, name: str, version: str, files: Mapping[str, str] | None = None, *requires: str, **about: object
    ) -> bytes:
        """Publish a wheel, and return its bytes; `about` is what its page says of it (`upload_time`, `yanked` ...)."""
        self.about[f"{name}-{version}-py3-none-any.whl"] = {
            key.replace("_", "-"): value for key, value in about.items()
        }
        content = wheel_bytes(name, version, files or {f"{name}.py": f"version = {version!r}\n"}, requires=requires)
        self.files[f"{name}-{version}-py3-none-any.whl"] = (name, content)
        return content

    def add_file(self, file: str, name: str, content: bytes) -> None:
        """Publish a file of a package as it is."""
        self.files[file] = (name, content)

    def add_archive(self, name: str, version: str, files: Mapping[str, str]) -> None:
        """Publish a source archive with these files."""
        self.files[f"{name}-{version}.tar.gz"] = (name, archive_bytes(name, version, files))

    def add_source(
        self, name: str, version: str, prologue: str, *, requires: tuple[str, ...] = (), **about: object
    ) -> bytes:
        """Publish a source archive, and return its bytes; `about` is what its page says of it."""
        self.about[f"{name}-{version}.tar.gz"] = _said(about)
        content = source_bytes(name, version, prologue=prologue, requires=requires)
        self.files[f"{name}-{version}.tar.gz"] = (name, content)
        return content

    @property
    def address(self) -> str:
        """The index's address without credentials."""
        return f"{self.origin}/simple"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://{self._host}:{self._server.server_address[1]}"

    @property
    def address_with_credentials(self) -> str:
        """The index's address with credentials."""
        return self.address.replace("://", f"://{self.userinfo}@")

    def __enter__(self) -> PackageIndex:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path.strip("/")
                index.requests.append(path)
                header = self.headers.get("Authorization")
                index.heard.append((path, None if header is None else base64.b64decode(header.split()[-1]).decode()))
                expected = f"Basic {base64.b64encode((index.userinfo or '').encode()).decode()}"
                if index.userinfo is not None and self.headers.get("Authorization") != expected:
                    self.answer(401, b"", "text/plain")
                elif "simple/" in f"{path}/":
                    listing = index.listing(path.rsplit("/", 1)[-1])
                    status = 200 if listing["files"] else 404
                    if index.html_pages:
                        self.answer(status, index.page(listing).encode(), "text/html")
                    else:
                        self.answer(status, json.dumps(listing).encode(), "application/vnd.pypi.simple.v1+json")
                elif path.endswith(".whl.metadata") and index.is_wheel(path):
                    self.answer(200, index.metadata(path), "text/plain")
                elif path.startswith("files/") and index.elsewhere is not None:
                    self.answer(302, b"", "text/plain", index.elsewhere.origin + self.path)
                elif (name := path.removeprefix("files/")) in index.files:
                    index.before_file(name)
                    self.answer(200, index.files[name][1], "application/octet-stream")
                else:
                    self.answer(404, b"", "text/plain")

            def do_HEAD(self) -> None:
                self.do_GET()

            def answer(self, status: int, content: bytes, kind: str, location: str | None = None) -> None:
                self.send_response(status)
                if location is not None:
                    self.send_header("Location", location)
                if status == 401:
                    self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # its reader was killed
                    self.wfile.write(b"" if self.command == "HEAD" else content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def is_wheel(self, path: str) -> bool:
        """Tell whether a file that is called a wheel is one."""
        name = path.removeprefix("files/").removesuffix(".metadata")
        return name in self.files and zipfile.is_zipfile(io.BytesIO(self.files[name][1]))

    def metadata(self, path: str) -> bytes:
        """A wheel's metadata, as PEP 658 serves it beside the wheel."""
        content = self.files[path.removeprefix("files/").removesuffix(".metadata")][1]
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            return wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA")))

    def listing(self, package: str) -> dict[str, Any]:
        """The package's page."""
        files = []
        for file, (name, content) in self.files.items():
            if name.replace("_", "-") == package:
                entry: dict[str, object] = {
                    "filename": file,
                    "url": f"{self.origin}/files/{file}",
                    "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                    "size": len(content),
                    "core-metadata": file.endswith(".whl") and self.is_wheel(file),
                }
                if self.dated:
                    entry["upload-time"] = UPLOADED
                files.append(entry | self.about.get(file, {}))
        return {"meta": {"api-version": "1.1"}, "name": package, "versions": [], "files": files}

    def page(self, listing: Mapping[str, Any]) -> str:
        """The package's page as older indexes have it: nothing of it says when a file was uploaded."""
        links = []
        for entry in listing["files"]:
            python = html.escape(str(entry.get("requires-python", "")))
            yanked = ' data-yanked=""' if entry.get("yanked") else ""
            address = f"{entry['url']}#sha256={entry['hashes']['sha256']}"
            links.append(f'<a href="{address}" data-requires-python="{python}"{yanked}>{entry["filename"]}</a><br>')
        return "<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>"
