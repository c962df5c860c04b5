"""Docker Compose for tests: that of this machine, or else Debian trixie's, unpacked for the tests alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

_PLUGIN = Path("usr/libexec/docker/cli-plugins/docker-compose")
_OLDEST = (2, 17)


def compose_command(cache: Path) -> list[str]:
    """Return the command that is Compose; where none is installed, Debian's is fetched into `cache`, once."""
    unpacked = cache / _PLUGIN
    for command in (["docker", "compose"], ["docker-compose"], [str(unpacked)]):
        if _is_new_enough(command):
            return command
    assert shutil.which("apt-get"), "these tests need Docker Compose 2.17 or newer: https://docs.docker.com/compose/"
    _unpack(cache)
    assert _is_new_enough([str(unpacked)])
    return [str(unpacked)]


def _is_new_enough(command: list[str]) -> bool:
    try:
        said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    found = re.match(r"v?(\d+)\.(\d+)", said.stdout)
    return said.returncode == 0 and found is not None and (int(found[1]), int(found[2])) >= _OLDEST


def _unpack(folder: Path) -> None:
    """Fetch the package from this machine's own Debian mirror; nothing of the machine's own is changed.

    Bookworm has no Compose 2. Trixie's needs nothing of trixie but a C library that bookworm has too.
    """
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.*")]
    texts = {place.suffix: "" for place in places}
    for place in places:
        if place.suffix in (".list", ".sources") and place.is_file():
            texts[place.suffix] += re.sub(r"\b(bullseye|bookworm)\b", "trixie", place.read_text()) + "\n\n"
    sources = folder / "sources"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    sources.mkdir(exist_ok=True)
    for suffix, text in texts.items():
        (sources / f"trixie{suffix}").write_text(text)
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": sources,
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder,
    }
    apt = ["apt-get", "-qq", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([*apt, "update"], env=environment, capture_output=True, check=False)  # some may have no trixie
    fetched = subprocess.run(
        [*apt, "download", "docker-compose"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert fetched.returncode == 0, f"Docker Compose cannot be had from Debian: {fetched.stderr}"
    (package,) = folder.glob("docker-compose_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    package.unlink()
    shutil.rmtree(folder / "lists")
