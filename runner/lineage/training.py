"""What `runner record` and its plugin wrote of a training, beside what other authors record under the same names."""

from __future__ import annotations

from runner.lineage.recorded import Recorded, named, says_yes
from runner.redact import HIDDEN, redact
from runner.schema.notation import parse_relative_path
from runner.schema.run_record import RunRecord

COMMAND_TAGS = ("runner.command", "reproducibility_runner.command")
DIRECTORY_TAGS = ("runner.working_directory",)
ENVIRONMENT_TAGS = ("runner.environment",)
IMAGE_TAGS = ("runner.image",)
_UNTRACKED_TAGS = ("git_untracked",)
_UNPUSHED_TAGS = ("git_unpushed",)


def training_directory(record: RunRecord) -> Recorded | None:
    """Return where the recorded command was started, from the repository's root; None for none within it."""
    for found in named(record, DIRECTORY_TAGS):
        try:
            path = "." if found.value == "." else parse_relative_path(found.value)
        except ValueError:
            continue
        return Recorded(found.name, path, found.source)
    return None


def hides_secret(line: str) -> bool:
    """Tell whether a part of a recorded command was left out: what is left is another command."""
    return HIDDEN in line


def training_notes(record: RunRecord) -> tuple[str, ...]:
    """Return in sentences what the record itself says that its commit does not tell."""
    notes = [
        f"code: sources lay in the work tree that no commit holds: {redact(found.value[:200])} ({found.source})"
        for found in named(record, _UNTRACKED_TAGS)
    ]
    notes += [
        f"code: the commit was on no remote when the run was recorded ({found.source})"
        for found in named(record, _UNPUSHED_TAGS)
        if says_yes(found.value)
    ]
    return tuple(notes)


def environment_digest(record: RunRecord) -> Recorded | None:
    """Return the recorded digest over all packages of the training's Python, None for none."""
    return next(iter(named(record, ENVIRONMENT_TAGS)), None)
