"""Installing Debian's container engine on a bare machine, and starting it, only when asked to."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.engine.find import DEFAULT_SOCKET, EngineAddress, find_engine, named_engine, unanswered
from runner.errors import EngineUnavailable, UsageError
from runner.progress import Progress
from runner.redact import redact

PACKAGES = ("docker.io", "mmdebstrap", "debian-archive-keyring")
_OPTIONAL = ("cgroupfs-mount",)  # what docker.io only recommends and a machine without systemd needs
LOG = Path("/var/log/reproducibility-runner-dockerd.log")
_APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_WAIT_S = 60.0


def install_engine(progress: Progress, environ: Mapping[str, str] = os.environ) -> EngineAddress:
    """Return the engine that is meant; where none answers, install `docker.io` and start it.

    Only root on Debian or Ubuntu may; raises UsageError otherwise. An engine that DOCKER_HOST or a context names is
    never replaced: raises EngineUnavailable if it does not answer.
    """
    try:
        return find_engine(environ)
    except EngineUnavailable:
        if named_engine(environ) is not None:
            raise
    check_allowed(Path("/etc/os-release"), os.geteuid())
    systemd = Path("/run/systemd/system").is_dir()
    if shutil.which("dockerd") is None:
        install_packages(PACKAGES, progress, optional=() if systemd else _OPTIONAL)
    start_engine(progress, systemd=systemd)
    return find_engine(environ)


def check_allowed(os_release: Path, user_id: int) -> None:
    """Raise UsageError unless this is root on Debian or Ubuntu."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        lines = []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    names = {fields.get("ID", "").strip('"'), *fields.get("ID_LIKE", "").strip('"').split()}
    if not names & {"debian", "ubuntu"}:
        raise UsageError(
            "--install-engine works on Debian and Ubuntu only",
            "install Docker or podman by your system's means, then `runner setup`",
        )
    if user_id != 0:
        raise UsageError("--install-engine needs root", "sudo runner setup --install-engine")


def install_packages(packages: Sequence[str], progress: Progress, *, optional: Sequence[str] = ()) -> None:
    """Install Debian packages, `optional` ones if they are to be had. Raises EngineUnavailable with apt's words."""
    progress.line(f"installing {', '.join(packages)}")
    _apt("update")
    _apt("install", "--yes", "--no-install-recommends", *packages)
    for package in optional:
        found = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
        if found.returncode == 0:
            _apt("install", "--yes", "--no-install-recommends", package)


def start_engine(progress: Progress, *, systemd: bool, socket: str = DEFAULT_SOCKET, log: Path = LOG) -> None:
    """Start dockerd, by systemd or in the background, and wait until it answers.

    Raises EngineUnavailable with the end of its log.
    """
    progress.line("starting dockerd")
    process: subprocess.Popen[bytes] | None = None
    if systemd:
        subprocess.run(["systemctl", "start", "docker"], capture_output=True, check=False)
    else:
        _mount_cgroups()
        with log.open("ab") as output:
            # A session of its own: it goes on when this command ends or is interrupted.
            process = subprocess.Popen(
                ["dockerd", "--host", f"unix://{socket}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
    address = EngineAddress(url=f"unix://{socket}", origin="default socket")
    end = time.monotonic() + _WAIT_S
    while (why := unanswered(address)) is not None:
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > end:
            raise EngineUnavailable(f"dockerd was installed but does not answer: {_log_end(log, why)}", _see_log(log))
        time.sleep(0.2)


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **_APT_ENVIRONMENT},
        check=False,
    )
    # A mirror of somebody else's that fails must not stop us: an install that lacks a package says so itself.
    if done.returncode != 0 and arguments[0] != "update":
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        text = redact(" | ".join(lines[-3:]))
        raise EngineUnavailable(f"apt-get could not install {arguments[-1]}: {text}", f"apt-get {' '.join(arguments)}")


def _mount_cgroups() -> None:
    # Without an init system nobody mounted them, and dockerd cannot work then.
    if any(Path("/sys/fs/cgroup").glob("*")):
        return
    if shutil.which("cgroupfs-mount") is not None:
        subprocess.run(["cgroupfs-mount"], capture_output=True, check=False)


def _log_end(log: Path, why: str) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return why
    return redact(lines[-1][-500:]) if lines else why


def _see_log(log: Path) -> str:
    return f"tail {log}" if log.exists() else "journalctl -u docker"
