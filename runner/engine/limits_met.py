"""Which limits did a container run into? Asked of the kernel's own counts, from within, on every engine.

What engines say is not enough: podman 4.3 never sets `OOMKilled` on cgroup v1, dockerd does not where the whole host
was short of memory, and none tells that a process was refused. A shell around the command reads the counts of its
cgroup once the command has ended, and writes them to standard error behind a mark that `Report` takes out again. A
command that forges it blames itself: no gain.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

_SCRIPT = """
mark=$1; shift
"$@"
status=$?
count() {
  wanted=$1; shift; found=
  for file; do
    [ -r "$file" ] || continue
    while read -r name value; do [ "$name" = "$wanted" ] && found=$value; done < "$file"
  done
}
count oom_kill /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events
kills=$found
count max /sys/fs/cgroup/pids/pids.events /sys/fs/cgroup/pids.events
printf '\\0%s:%s:%s.' "$mark" "$kills" "$found" >&2
exit $status
"""
_LONGEST = 80  # of a mark with its counts


class Report:
    """What the shell reported of one container's command.

    `killed` tells whether a process was killed for memory, None where nobody told; `refused` whether one could not be
    started, for there were too many.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)
        self._start = b"\0" + self._mark.encode() + b":"
        self._held = b""
        self.killed: bool | None = None
        self.refused = False

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
                kills, _, refusals = data[place + len(self._start) : end].partition(b":")
                self.killed = int(kills) > 0 if kills.isdigit() else None
                self.refused = refusals.isdigit() and int(refusals) > 0
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
