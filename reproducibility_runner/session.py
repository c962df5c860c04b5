"""The capture of this process: where its events go, once it has begun."""

from __future__ import annotations

from reproducibility_runner import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

writer: events.Writer | None = None


def open_writer(directory: str) -> events.Writer:
    """Begin to write to a capture directory."""
    global writer  # noqa: PLW0603  # one capture per process
    writer = events.Writer(directory)
    return writer


def record(event: str, fields: Mapping[str, Any], numbers: int = 1) -> None:
    """Append an event to the capture."""
    if writer is not None:
        writer.append(event, fields, numbers)


def record_read(what: str, detail: str) -> None:
    """Record that the training read something of its tracker that this rerun did not make itself."""
    record("read", {"what": what, "detail": detail[:1000]})


def problem(text: str) -> None:
    """Write down, in a sentence, why the capture may not be whole."""
    record("problem", {"text": events.short(text)})
