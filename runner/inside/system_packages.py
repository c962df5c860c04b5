"""Installs Debian's packages into the container that it runs in, which then becomes a layer of an image.

Run as root, by its source and before our own code is there: standard library only. The request comes by standard
input, settings of the host in it are written to a tmpfs alone; the result goes to standard output, apt's to the other.

    request {names[], compilers, configuration, ca, credentials, mirror, variables}
    result  {installed {name: version}, suite, problem {kind, text, name, nearest[]} or null}

A problem's kind is `no apt`, `no such package`, `no such version`, `unreachable`, `disk full` or `refused`.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

SETTINGS = "/tmp/apt"  # noqa: S108  # the container's own, a tmpfs
TMPFS = {
    "/tmp": "exec,mode=1777,size=1g",  # noqa: S108
    "/var/lib/apt/lists": "size=1g",
    "/var/cache/apt": "size=6g",
}
"""What must be mounted, so that neither settings nor what was downloaded enter the layer."""

# Never `^name`: what apt cannot find by name, it must not look for otherwise.
_NOT_THERE = re.compile(
    r"E: (?:Unable to locate package (?P<name>\S+)"
    r"|Package '(?P<gone>[^']+)' has no installation candidate"
    r"|Version '[^']*' for '(?P<version>[^']+)' was not found)"
)
_UNREACHABLE = re.compile(
    r"(?i)temporary failure resolving|could not resolve|unable to connect|could not connect"
    r"|connection (?:failed|timed out)|failed to fetch|no release file|is not (?:yet )?valid|is expired|certificate"
)
_FULL = re.compile(r"(?i)no space left on device|don't have enough free space")


def main() -> int:
    """Install what the request names."""
    request = json.load(sys.stdin)
    result: dict[str, Any] = {"installed": {}, "suite": suite(), "problem": None}
    names = needed_for_building(request["names"]) if request["compilers"] else request["names"]
    if names and shutil.which("apt-get") is None:
        result["problem"] = problem("no apt", "it has no apt-get")
    elif names:
        before = installed()
        said = install(request, names)
        if said is None:
            asked = {name.partition("=")[0] for name in names}
            result["installed"] = {
                name: version for name, version in installed().items() if before.get(name) != version or name in asked
            }
        else:
            result["problem"] = explain(said)
        clean()
    json.dump(result, sys.stdout)
    return 0


def install(request: dict[str, Any], names: list[str]) -> str | None:
    """Run apt; return None where all is installed, else what it said."""
    environment = {**os.environ, **request["variables"], **write_settings(request)}
    environment |= {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # The status of an update says little: a mirror may lack what the installation does not need.
    updated = run(["apt-get", "update", "-q"], environment)[1]
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "--", *names]
    status, said = run(command, environment)
    return None if status == 0 else f"{updated}\n{said}"


def write_settings(request: dict[str, Any]) -> dict[str, str]:
    """Write the host's settings; return the variables that make apt read them."""
    os.makedirs(SETTINGS, mode=0o700, exist_ok=True)
    lines = [str(request["configuration"]), 'APT::Sandbox::User "root";\n', 'Acquire::Languages "none";\n']
    for name, option in (("ca", "Acquire::https::CaInfo"), ("credentials", "Dir::Etc::netrc")):
        if request[name]:
            write(name, str(request[name]))
            lines.append(f'{option} "{SETTINGS}/{name}";\n')
    if request["mirror"] and suite() and release("ID") == "debian":
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        signed = f"[signed-by={keyring}] " if os.path.exists(keyring) else ""
        mirror = str(request["mirror"]).rstrip("/")
        places = (f"{mirror} {suite()}", f"{mirror} {suite()}-updates", f"{mirror}-security {suite()}-security")
        write("sources.list", "".join(f"deb {signed}{place} main\n" for place in places))
        lines.append(f'Dir::Etc::sourcelist "{SETTINGS}/sources.list";\nDir::Etc::sourceparts "-";\n')
    write("apt.conf", "".join(lines))
    return {"APT_CONFIG": f"{SETTINGS}/apt.conf"}


def write(name: str, text: str) -> None:
    """Write a file of the settings."""
    with open(os.open(f"{SETTINGS}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command whose output is shown as it comes; return its status and the output's end."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    for line in process.stdout or ():
        lines = [*lines[-60:], line]
        sys.stderr.write(line)
        sys.stderr.flush()
    return process.wait(), "".join(lines)


def explain(said: str) -> dict[str, Any]:
    """Return what kept apt from installing, in a word and its own words."""
    text = " | ".join(line.strip() for line in said.splitlines() if line.startswith(("E:", "W:", "Err:")))[-600:]
    missing = _NOT_THERE.search(said)
    if missing is not None and not re.search(r"(?m)^(?:E: Failed to fetch|Err:|W: Failed to fetch)", said):
        if missing["version"]:
            return problem("no such version", text, name=missing["version"], nearest=versions(missing["version"]))
        name = missing["name"] or missing["gone"]
        return problem("no such package", text, name=name, nearest=nearest(name))
    if _FULL.search(said):
        return problem("disk full", text)
    if _UNREACHABLE.search(said):
        return problem("unreachable", text)
    return problem("refused", text or said.strip()[-600:])


def nearest(name: str) -> list[str]:
    """Return names of packages that are there and much alike."""
    known = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout.split()
    return difflib.get_close_matches(name, known, n=3, cutoff=0.75)


def versions(name: str) -> list[str]:
    """Return the versions of a package that can be had."""
    rows = subprocess.run(["apt-cache", "madison", "--", name], capture_output=True, text=True, check=False).stdout
    return [row.split("|")[1].strip() for row in rows.splitlines() if row.count("|") >= 2]


def problem(kind: str, text: str, **more: object) -> dict[str, Any]:
    """Return why nothing was installed."""
    return {"kind": kind, "text": text, "name": None, "nearest": [], **more}


def needed_for_building(names: list[str]) -> list[str]:
    """Return what of the compilers' packages this image lacks; never the headers of another Python than the first."""
    headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
    if headers and all(shutil.which(name) for name in ("cc", "c++", "make", "pkg-config")):
        return []
    ours = os.path.realpath(sys.executable).startswith("/usr/bin/")
    return [name for name in names if name != "python3-dev" or (ours and not headers)]


def installed() -> dict[str, str]:
    """Return all installed packages with their versions."""
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    rows = (line.split(" ") for line in lines if line.startswith("installed "))
    return {row[1]: row[2] for row in rows}


def suite() -> str:
    """Return the code name of the distribution, empty where it has none."""
    return release("VERSION_CODENAME")


def release(key: str) -> str:
    """Return what the distribution says of itself."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            values = dict(line.rstrip("\n").partition("=")[::2] for line in file if "=" in line)
    except OSError:
        return ""
    return values.get(key, "").strip("\"'")


def clean() -> None:
    """Remove logs, which no layer needs."""
    for path in (*glob.glob("/var/log/apt/*"), *glob.glob("/var/log/*.log"), *glob.glob("/var/cache/debconf/*-old")):
        os.remove(path)


if __name__ == "__main__":
    sys.exit(main())
