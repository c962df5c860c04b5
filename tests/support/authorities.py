"""A certificate authority of nobody's, and servers that speak TLS with a certificate of its."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from http.server import HTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority of nobody's, and a certificate of its for a name, with the key in the same file."""

    certificate: Path
    server: Path


def make_authority(folder: Path, name: str = "localhost") -> Authority:
    """Make an authority and its certificate for the server `name` by openssl."""
    authority, key = folder / "ca.pem", folder / "ca.key"
    server = folder / "server.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    ca = ["-subj", "/CN=an authority of the tests", "-keyout", key, "-out", authority]
    leaf = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=CA:FALSE"]
    signed = ["-CA", authority, "-CAkey", key, "-keyout", folder / "server.key", "-out", server]
    for options in (ca, [*leaf, *signed]):
        subprocess.run([*make, *options], check=True, capture_output=True)
    server.write_text(server.read_text() + (folder / "server.key").read_text())
    return Authority(authority, server)


def speak_tls(server: HTTPServer, authority: Authority, *, knows_clients: bool = False) -> None:
    """Have a server speak TLS; where it `knows_clients`, only with those that have a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    if knows_clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)
    # The handshake is each thread's own, so that one client that breaks it off stops nobody else.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
