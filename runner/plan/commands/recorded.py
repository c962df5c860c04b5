"""Commands that the run itself recorded: tags of `runner record`, and W&B's `program` with `args`. Pure.

Only the spelling of another machine is changed: its paths, where the commit holds what they end in, and its separators.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import dataclass, replace

from runner.lineage.recorded import named
from runner.lineage.training import COMMAND_TAGS, training_directory
from runner.plan.commands.paths import ends_of, is_absolute, path_in_tree
from runner.plan.commands.shell import Simple, is_python, joined_line, split_line
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

PROGRAM_TAG, ARGS_TAG = "wandb.program", "wandb.args"
CODE_PATH_TAG, LOCAL_CODE_PATH_TAG = "wandb.code_path", "wandb.code_path_local"
_WINDOWS = re.compile(r"(?:^|[\s\"'=])[A-Za-z]:\\|\w\\\w[^\s\"']*\.(?:py|exe|sh|ps1|bat)\b", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?<=[\w.:)~-])\\(?=[\w.(~-])")


@dataclass(frozen=True)
class RecordedCommand:
    """A line with where it was recorded, and the folder in which it ran, where that is recorded too."""

    line: str
    source: str
    folder: str | None = None
    folder_source: str | None = None


def recorded_command(record: RunRecord, snapshot: RepositorySnapshot) -> RecordedCommand | None:
    """Return the command that the run recorded, W&B's before that of `runner record`."""
    return _of_wandb(record, snapshot) or _of_tag(record, snapshot)


def _of_tag(record: RunRecord, snapshot: RepositorySnapshot) -> RecordedCommand | None:
    found = named(record, COMMAND_TAGS)
    if not found:
        return None
    started_in = training_directory(record)
    folder = None if started_in is None else started_in.value
    line = of_this_machine(found[0].value, snapshot, folder or ".")
    return RecordedCommand(line, found[0].source, folder, None if started_in is None else started_in.source)


def _of_wandb(record: RunRecord, snapshot: RepositorySnapshot) -> RecordedCommand | None:
    """Return the program that W&B recorded with its arguments.

    Its path is the author's, and W&B tells the path in the repository beside it (`codePath`); what the two have in
    common is not where it was started. Where W&B knows that (`codePathLocal`), the difference is the folder.
    """
    program = record.tags.get(PROGRAM_TAG, "").strip()
    code = _clean(record.tags.get(CODE_PATH_TAG, ""))
    if not program and not code:
        return None
    try:
        args = json.loads(record.tags.get(ARGS_TAG, "") or "[]")
    except ValueError:
        return None
    if not isinstance(args, list) or not all(isinstance(word, str) for word in args):
        return None
    path = code if code and snapshot.has(code) else _script_here(program, snapshot)
    if path is None:
        return None
    local = _clean(record.tags.get(LOCAL_CODE_PATH_TAG, "")) or ("" if is_absolute(program) else _clean(program))
    folder, folder_source = None, None
    if local and not local.startswith("..") and (path == local or path.endswith("/" + local)):
        folder = path[: -len(local)].rstrip("/") or "."
        folder_source = f"tag {LOCAL_CODE_PATH_TAG if record.tags.get(LOCAL_CODE_PATH_TAG) else PROGRAM_TAG}"
    words = ["python", posixpath.relpath(path, folder or "."), *(_here(word, snapshot, folder or ".") for word in args)]
    return RecordedCommand(shlex.join(words), f"tags {PROGRAM_TAG} and {ARGS_TAG}", folder, folder_source)


def of_this_machine(line: str, snapshot: RepositorySnapshot, folder: str) -> str:
    """Return a recorded line with the paths of its machine as paths of the commit."""
    if _WINDOWS.search(line):
        line = _SEPARATOR.sub("/", line)
    commands = split_line(line)
    if commands is None or len(line) > 1 << 16:
        return line
    kept: list[Simple] = []
    for command in commands:
        text = _with_paths_of_here(command, snapshot, folder)
        words = [word.text for word in command.called]
        if words[:1] == ["cd"] and len(words) == 2 and is_absolute(words[1]):
            inside = _folder_here(words[1], snapshot)
            if inside in (None, "."):
                continue  # the repository itself, under its name on that machine
            text = f"cd {shlex.quote(posixpath.relpath(inside or '.', folder))}"
        kept.append(replace(command, text=text))
    return joined_line(kept) if kept else line


def _with_paths_of_here(command: Simple, snapshot: RepositorySnapshot, folder: str) -> str:
    text = command.text
    for word in reversed(command.words):
        option, equals, value = word.text.partition("=")
        value = value if equals and option.startswith("-") else word.text
        if is_absolute(value) and not is_python(value):
            here = _here(value, snapshot, folder)
            if here != value:
                whole = f"{option}={here}" if value != word.text else here
                end = word.end - command.start
                text = text[: end - len(word.raw)] + shlex.quote(whole) + text[end:]
    return text


def _here(word: str, snapshot: RepositorySnapshot, folder: str) -> str:
    if not is_absolute(word):
        return word
    inside = path_in_tree(word, snapshot)
    return word if inside is None else posixpath.relpath(inside, folder)


def _script_here(program: str, snapshot: RepositorySnapshot) -> str | None:
    files = {entry.path for entry in snapshot.tree if entry.kind == "file"}
    for end in ends_of(program):
        if end in files:
            return end
        beneath = [path for path in files if path.endswith("/" + end)]
        if beneath:
            return beneath[0] if len(beneath) == 1 else None
    return None


def _folder_here(folder: str, snapshot: RepositorySnapshot) -> str | None:
    """Return a folder of the commit that a recorded one ends in; a path of another machine may be the root itself."""
    folders = {entry.path[:end] for entry in snapshot.tree for end in range(len(entry.path)) if entry.path[end] == "/"}
    if not is_absolute(folder):
        own = posixpath.normpath(folder.replace("\\", "/") or ".")
        return own if own in folders or own == "." else None
    return next((end for end in ends_of(folder) if end in folders), ".")


def _clean(path: str) -> str:
    return posixpath.normpath(path.strip().replace("\\", "/")) if path.strip() else ""
