"""Whether the remotes of a DVC project hold its data: folders are looked into, of others the user's DVC is asked."""

from __future__ import annotations

import configparser
import json
import os
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reproducibility_runner.recording.pointers import Out

_MOST_ENTRIES = 50_000


class Holding:
    """What the remotes hold: the paths that they `lack`, and sentences on what was `unchecked`."""

    def __init__(self) -> None:
        self.lacking = []  # type: list[str]
        self.unchecked = []  # type: list[str]
        self.asked = []  # type: list[str]


def check_remotes(root: str, outs: Sequence[Out], environment: Mapping[str, str]) -> Holding:
    """Look for the outs in their remotes; `environment` is the one in which the user's `dvc` is found."""
    holding = Holding()
    others = []
    configurations = {}  # type: dict[str, tuple[str | None, dict[str, str]]]
    for out in outs:
        project = _project_of(root, out.pointer)
        if project is None:
            holding.unchecked.append(f"{out.pointer} lies in no DVC project")
            continue
        if project not in configurations:
            configurations[project] = read_remotes(project, environment)
        default, urls = configurations[project]
        name = out.remote or default
        url = urls.get(name or "")
        if url is None:
            holding.lacking.append(out.path)
            holding.asked.append("no remote is configured" if name is None else f"remote {name} is not configured")
            continue
        folder = _folder(project, url)
        if folder is None:
            others.append((project, out))
            continue
        held = _in_folder(folder, out)
        if held is None:
            holding.unchecked.append(f"the listing of {out.path} is too long to look for each of its files")
        elif not held:
            holding.lacking.append(out.path)
            holding.asked.append(f"remote {name}")
    for project in sorted({project for project, _ in others}):
        _ask_dvc(root, project, [out for where, out in others if where == project], environment, holding)
    return holding


def read_remotes(project: str, environment: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """Return the name of the default remote and the addresses of all, the nearest configuration counting."""
    home = environment.get("HOME", "")
    general = environment.get("DVC_GLOBAL_CONFIG_DIR") or os.path.join(
        environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "dvc"
    )
    default, urls = None, {}  # type: str | None, dict[str, str]
    files = [
        os.path.join(general, "config"),
        *(os.path.join(project, ".dvc", name) for name in ("config", "config.local")),
    ]
    for file in files:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        default = parser.get("core", "remote", fallback=default)
        for section in parser.sections():
            words = section.strip("'").split(" ", 1)
            url = parser.get(section, "url", fallback=None)
            if words[0] == "remote" and len(words) == 2 and url:
                urls[words[1].strip("\"'")] = url
    return default, urls


def _project_of(root: str, pointer: str) -> str | None:
    """Return the nearest folder above a pointer, within the repository, that is a DVC project."""
    folder = os.path.dirname(os.path.join(root, pointer))
    while folder == root or folder.startswith(os.path.join(root, "")):
        if os.path.isdir(os.path.join(folder, ".dvc")):
            return folder
        if folder == root:
            break
        folder = os.path.dirname(folder)
    return None


def _folder(project: str, url: str) -> str | None:
    """Return the folder that a remote is; None for one elsewhere. A relative path begins at the configuration."""
    if url.startswith("file://"):
        return url[len("file://") :]
    if "://" in url:
        return None
    return os.path.normpath(os.path.join(project, ".dvc", os.path.expanduser(url)))


def _in_folder(folder: str, out: Out) -> bool | None:
    where = _object(folder, out.digest, out.legacy)
    if where is None or not out.digest.endswith(".dir"):
        return where is not None
    try:
        with open(where, encoding="utf-8") as file:
            entries = json.load(file)
        if len(entries) > _MOST_ENTRIES:
            return None
        return all(_object(folder, str(entry["md5"]), out.legacy) is not None for entry in entries)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _object(folder: str, digest: str, legacy: bool) -> str | None:
    parts = (digest[:2], digest[2:])
    places = [os.path.join(folder, "files", "md5", *parts), os.path.join(folder, *parts)]
    return next((path for path in (reversed(places) if legacy else places) if os.path.isfile(path)), None)


def _ask_dvc(root: str, project: str, outs: Iterable[Out], environment: Mapping[str, str], holding: Holding) -> None:
    outs = list(outs)
    named = ", ".join(out.path for out in outs[:3]) + (" and more" if len(outs) > 3 else "")
    targets = [os.path.relpath(os.path.join(root, out.path), project) for out in outs]
    try:
        done = subprocess.run(
            ["dvc", "status", "--cloud", "--json", *targets],
            cwd=project,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=600,
        )
    except FileNotFoundError:
        holding.unchecked.append(f"no dvc is installed to ask the remote for {named}")
        return
    except (OSError, subprocess.SubprocessError) as error:
        holding.unchecked.append(f"dvc could not be asked for {named}: {type(error).__name__}")
        return
    try:
        answers = json.loads(os.fsdecode(done.stdout) or "{}") if done.returncode == 0 else None
    except ValueError:
        answers = None
    if not isinstance(answers, dict):
        # What it says may hold an address with a key in it, and is on the user's own screen if asked for again.
        holding.unchecked.append(f"dvc could not look for {named} in its remote (try: dvc status --cloud)")
        return
    for out, target in zip(outs, targets):  # noqa: B905  # `strict` is of Python 3.10
        # "deleted": the remote has it and the cache has not
        states = {state for path, state in answers.items() if _beneath(path, target) and state != "deleted"}
        if states:
            holding.lacking.append(out.path)
            holding.asked.append("its remote, which dvc asked")


def _beneath(path: str, target: str) -> bool:
    return path.rstrip("/") == target or path.startswith(target.rstrip("/") + "/")
