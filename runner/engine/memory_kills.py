"""Was a process of the container killed for memory? Asked of the kernel's own count, from within, on every engine.

What engines say is not enough: podman 4.3 never sets `OOMKilled` on cgroup v1, and dockerd does not where the whole
host was short of memory. A shell around the command reads the count of its cgroup once the command has ended, and
writes it to standard error behind a mark that `Report` takes out again. A command that forges it calls itself killed:
no gain.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

_SCRIPT = """
mark=$1; shift
"$@"
status=$?
count=
for file in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do
  [ -r "$file" ] || continue
  while read -r name value; do [ "$name" = oom_kill ] && count=$value; done < "$file"
done
printf '\\0%s:%s.' "$mark" "$count" >&2
exit $status
"""
_LONGEST = 64  # of a mark with its count


class Report:
    """What the shell reported of one container's command: `killed` is None where it could not or did not tell."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)
        self._start = b"\0" + self._mark.encode() + b":"
        self._held = b""
        self.killed: bool | None = None

    def around(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a command and reports."""
        return ["sh", "-c", _SCRIPT, "sh", self._mark, *argv]

    def sieve(self, sink: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a sink for standard error that hands on all but the report, as it comes."""

        def feed(data: bytes) -> None:
            data = self._held + data
            place = data.find(self._start)
            end = data.find(b".", place) if place >= 0 else -1
            if end >= 0:
                count = data[place + len(self._start) : end]
                self.killed = int(count) > 0 if count.isdigit() else None
                data = data[:place] + data[end + 1 :]
            cut = self._unfinished(data)
            self._held, data = data[cut:], data[:cut]
            if data:
                sink(data)

        return feed

    def rest(self, sink: Callable[[bytes], None]) -> None:
        """Hand on what looked like the begin of a report and was none; call at the end of the stream."""
        if self._held:
            sink(self._held)
        self._held = b""

    def _unfinished(self, data: bytes) -> int:
        """Return where a report may have begun that is not here whole, else the length."""
        place = data.rfind(b"\0", -_LONGEST)
        if place < 0:
            return len(data)
        tail = data[place:]
        begun = tail.startswith(self._start) if len(tail) >= len(self._start) else self._start.startswith(tail)
        return place if begun else len(data)
