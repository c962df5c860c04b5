"""Running git so that a repository cannot make it run anything else, and so that it never waits for a person."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import DiskFull, RepositoryUnavailable
from runner.redact import redact
from runner.repository.address import Login

# hooks, monitors and helpers that a configuration may name; protocols are opened by GIT_ALLOW_PROTOCOL one by one
_OFF = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=",
    "core.quotePath=false",
    "fetch.recurseSubmodules=false",
    "fetch.showForcedUpdates=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    # a repository that was renamed says so at once; anything later leads away
    "http.followRedirects=initial",
    # a server that falls silent for a minute is gone
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
)
_NOT_OURS = Path("/nonexistent")


class GitFailed(Exception):
    """Git ended with another status than 0; `stderr` is what it said, in English, and may hold secrets."""

    def __init__(self, command: str, status: int, stderr: str) -> None:
        super().__init__(f"git {command} failed with status {status}: {redact(stderr.strip()[-500:])}")
        self.stderr = stderr


@dataclass(frozen=True)
class Network:
    """Protocols that a command may use, and whether the user's own git configuration and credentials take part.

    `login` is for its own place alone, where it comes before what the user's helpers know.
    """

    protocols: tuple[str, ...]
    user_configuration: bool
    login: Login | None = None


NO_NETWORK = Network((), user_configuration=False)


def run_git(
    git_dir: Path,
    *arguments: str,
    stdin: bytes = b"",
    network: Network = NO_NETWORK,
    timeout_s: float | None = None,
) -> bytes:
    """Run git on the bare repository `git_dir` and return what it prints.

    Without a network neither the user's nor the system's configuration is read, and no protocol is open. Raises
    GitFailed, DiskFull, RepositoryUnavailable where git is not installed or takes more than `timeout_s` seconds. An
    exception from outside, such as that of a signal, stops git with all that it started.
    """
    try:
        import git
    except ImportError as error:  # GitPython raises it where there is no git on the PATH
        raise RepositoryUnavailable("git is not installed", "apt-get install git") from error

    options = [part for option in (*_OFF, *_login_options(network)) for part in ("-c", option)]
    try:
        process = git.cmd.Git(str(git_dir)).execute(
            ["git", f"--git-dir={git_dir}", *options, *arguments],
            istream=subprocess.PIPE,
            as_process=True,
            env=_environment(git_dir, network),
            start_new_session=True,  # a group to be stopped whole, and no terminal that ssh could ask on
        )
    except git.exc.GitCommandNotFound as error:
        raise RepositoryUnavailable("git is not installed", "apt-get install git") from error
    child: subprocess.Popen[bytes] = process.proc  # type: ignore[assignment]  # as_process gives the wrapper
    try:
        stdout, stderr = child.communicate(stdin, timeout=timeout_s)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise RepositoryUnavailable(
                f"git {arguments[0]} did not finish within {timeout_s:.0f} s",
                "try again, or name a clone that you have: --repo PATH",
            ) from error
        raise
    said = stderr.decode(errors="replace")
    if child.returncode == 0:
        return stdout
    if "No space left on device" in said or "Disk quota exceeded" in said:
        raise DiskFull(f"no space is left for the mirror {git_dir}", "runner setup --prune, or REPRO_CACHE_DIR=FOLDER")
    raise GitFailed(arguments[0], child.returncode, said)


def _login_options(network: Network) -> tuple[str, ...]:
    """Return options that have git read a login from the environment, which other users of this host cannot see."""
    if network.login is None:
        return ()
    helper = """!printf 'username=%s\\npassword=%s\\n' "$REPRO_GIT_USER" "$REPRO_GIT_PASSWORD" #"""
    key = f"credential.{network.login.place}.helper"
    return (f"{key}=", f"{key}={helper}")


def _environment(git_dir: Path, network: Network) -> dict[str, str]:
    login = network.login
    environment = {
        **({} if login is None else {"REPRO_GIT_USER": login.user, "REPRO_GIT_PASSWORD": login.password}),
        "GCM_INTERACTIVE": "never",
        # a window that asks would never be answered; a program that the user names for it may know
        "GIT_ASKPASS": os.environ.get("GIT_ASKPASS", ""),
        "GIT_ALLOW_PROTOCOL": ":".join(network.protocols),
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",  # refs/replace would show another commit under the recorded id
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        # what a hook of the user's git, in which we may run, has set for its own repository
        **_overridden(git_dir, os.environ),
    }
    if not network.user_configuration:
        environment |= {
            "GIT_ASKPASS": "",
            "GIT_CONFIG_COUNT": "0",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_PARAMETERS": "",
            "HOME": str(_NOT_OURS),
            "XDG_CONFIG_HOME": str(_NOT_OURS),
        }
    return environment


def _overridden(git_dir: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_COMMON_DIR": str(git_dir),
        "GIT_GRAFT_FILE": str(_NOT_OURS),
        "GIT_INDEX_FILE": str(git_dir / "index"),
        "GIT_NAMESPACE": "",
        "GIT_OBJECT_DIRECTORY": str(git_dir / "objects"),
        "GIT_SHALLOW_FILE": str(git_dir / "shallow"),
        "GIT_WORK_TREE": str(git_dir),
    }
    return {name: value for name, value in ours.items() if name in inherited}
