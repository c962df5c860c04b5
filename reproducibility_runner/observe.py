"""Watches which files of the workspace a training opens and which host names it tries, by an audit hook.

The hook sees every file that Python opens; what it does for those that it has seen before, or that lie outside the
workspace, decides what the capture costs. It never raises.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from reproducibility_runner.events import Writer

LIMIT = 100_000  # distinct paths per process
_SKIPPED = ("__pycache__/", ".git/")


def install(writer: Writer, workspace: str, inherited: dict[str, str]) -> bool:
    """Begin to watch; false on Python 3.7, which has no audit hooks.

    `inherited` are the variables that child processes need to be captured, also where their environment is made anew.
    """
    if not hasattr(sys, "addaudithook"):
        return False
    sys.addaudithook(_hook(writer, workspace, inherited))
    return True


def _hook(writer: Writer, workspace: str, inherited: dict[str, str]) -> Callable[[str, tuple[Any, ...]], None]:
    files = _Files(writer, workspace)
    read, written = files.read, files.written
    write_only, read_write, truncate = os.O_WRONLY, os.O_RDWR, os.O_TRUNC
    actions = _actions(files, _Hosts(writer), inherited)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        try:
            if event == "open":
                path, _, flags = arguments
                if flags & (write_only | read_write):
                    if path not in written:
                        files.opened(path, flags & read_write and not flags & truncate, True)
                elif path not in read:
                    files.opened(path, True, False)
            else:
                act = actions.get(event)
                if act is not None:
                    act(arguments)
        except Exception:  # noqa: BLE001, S110  # whatever is wrong with us must not stop the training
            pass

    return hook


def _actions(files: _Files, hosts: _Hosts, inherited: dict[str, str]) -> dict[str, Callable[[tuple[Any, ...]], None]]:
    """Return what to do at each event but `open`, with the event's arguments."""

    def inherit(environment: Any) -> None:
        if type(environment) is dict:
            for name, value in inherited.items():
                environment.setdefault(name, value)

    return {
        "os.rename": lambda arguments: files.renamed(arguments[0], arguments[1]),
        "os.link": lambda arguments: files.opened(arguments[0], True, False),
        "os.symlink": lambda arguments: files.linked(arguments[0], arguments[1]),
        "os.chdir": lambda _: files.moved(),
        "os.fchdir": lambda _: files.moved(),
        "sqlite3.connect": lambda arguments: files.connected(arguments[0]),
        "subprocess.Popen": lambda arguments: inherit(arguments[3]),
        "socket.getaddrinfo": lambda arguments: hosts.tried(arguments[0]),
        "socket.gethostbyname": lambda arguments: hosts.tried(arguments[0]),
        "socket.gethostbyaddr": lambda arguments: hosts.tried(arguments[0]),
        "socket.connect": lambda arguments: hosts.tried(arguments[1]),
        "socket.sendto": lambda arguments: hosts.tried(arguments[1]),
        "socket.sendmsg": lambda arguments: hosts.tried(arguments[1]),
    }


class _Files:
    """The files of the workspace that were opened, each once for reading and once for writing, or were not there."""

    def __init__(self, writer: Writer, workspace: str) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self._writer = writer
        self._roots = tuple({workspace.rstrip("/") + "/", os.path.realpath(workspace).rstrip("/") + "/"})
        self._excluded = tuple({writer.directory + "/", os.path.realpath(writer.directory) + "/"})
        self._known: dict[str, set[str]] = {"r": set(), "w": set(), "a": set()}
        self._cut = False
        self._without_links: set[str] = set()

    def moved(self) -> None:
        """Forget relative paths: the working directory is about to change."""
        self.read.clear()
        self.written.clear()

    def opened(self, path: Any, reads: Any, writes: bool) -> None:
        """Take note that a path is about to be opened."""
        if isinstance(path, int):
            return
        text = path if type(path) is str else os.fsdecode(path)
        full = text
        if not text.startswith("/"):
            full = os.getcwd() + "/" + text
        if "/." in full or "//" in full:
            full = os.path.normpath(full)
        if not full.startswith(self._roots) or full.startswith(self._excluded):
            return
        real = self._resolve(full)
        if real != full and real.startswith(self._roots):
            self._take(real, reads, writes)
        if self._take(full, reads, writes):
            seen = self.written if writes else self.read
            if len(seen) < LIMIT:
                seen.add(text)

    def renamed(self, source: Any, target: Any) -> None:
        """Take note of a rename: what was there under the old name is as good as read, the new one is written."""
        place = os.fsdecode(source)
        if os.path.isdir(place) and not os.path.islink(place):
            left = LIMIT
            for folder, _, names in os.walk(place):
                for name in names[:left]:
                    self.opened(os.path.join(folder, name), True, False)
                left -= len(names)
                if left <= 0:
                    break
        else:
            self.opened(source, True, False)
        self.opened(target, False, True)

    def linked(self, source: Any, target: Any) -> None:
        """Take note of a symbolic link: whoever reads it by its new name, which may lie elsewhere, reads its source."""
        self.opened(os.path.join(os.path.dirname(os.fsdecode(target)), os.fsdecode(source)), True, False)

    def connected(self, database: Any) -> None:
        """Take note of a database of SQLite's, which opens its files by itself."""
        name = os.fsdecode(database)
        if name.startswith("file:"):
            name = name[5:].partition("?")[0]
            name = name[2:] if name.startswith("//") else name
        self.opened(name, True, False)

    def _resolve(self, full: str) -> str:
        folder = full.rpartition("/")[0]
        if folder not in self._without_links:
            if os.path.realpath(folder) != folder:
                return os.path.realpath(full)
            self._without_links.add(folder)
        return os.path.realpath(full) if os.path.islink(full) else full

    def _take(self, full: str, reads: Any, writes: bool) -> bool:
        """Take note of a file beneath the workspace; false for what must be looked at again another time."""
        root = next(root for root in self._roots if full.startswith(root))
        name = full[len(root) :]
        if name.startswith(_SKIPPED) or "/__pycache__/" in name:
            return False
        try:
            status = os.stat(full)
        except OSError:
            if not writes:
                self._note("a", name, {})
                return False  # probed for and not there; it may come yet
            status = None
        if status is not None and not stat.S_ISREG(status.st_mode):
            return False
        if reads and status is not None:
            # Whether the training made the file: copies keep the one time, a changed mode only moves the other, and
            # links from elsewhere change the latter too.
            changed = min(status.st_ctime_ns, status.st_mtime_ns) if status.st_nlink == 1 else None
            self._note("r", name, {"changed_ns": changed})
        if writes:
            self._note("w", name, {"existed": status is not None})
        return True

    def _note(self, mode: str, name: str, fields: dict[str, Any]) -> None:
        known = self._known[mode]
        if name in known:
            return
        if len(known) >= LIMIT:
            if not self._cut:
                self._cut = True
                self._writer.append("cut", {"what": "files opened", "limit": LIMIT})
            return
        known.add(name)
        fields = dict(fields, path=name, mode=mode)
        self._writer.append("open", fields)


class _Hosts:
    """The host names and addresses that were tried, each once; this machine's own are left out."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._known: set[str] = set()

    def tried(self, address: Any) -> None:
        """Take note of an address: a name, or the first of a tuple; others are sockets of this machine."""
        if isinstance(address, tuple) and address:
            address = address[0]
        elif not isinstance(address, (str, bytes)) or (isinstance(address, str) and address.startswith("/")):
            return
        name = address.decode("ascii", "replace") if isinstance(address, bytes) else address
        if not isinstance(name, str) or name in self._known or len(self._known) >= 1000:
            return
        self._known.add(name)
        own = ("", "localhost", "::1", "::", "0.0.0.0", os.uname().nodename)  # noqa: S104  # compared, not bound
        if name in own or name.startswith(("127.", "/", "\0")):
            return
        self._writer.append("host", {"host": name[:255]})
