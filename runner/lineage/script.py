"""Which script of the commit a run names: `mlflow.source.name` may be of another machine or another directory."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.notebook import is_kernel, is_notebook, notebook_line, notebook_paths, notebooks_of_kernel
from runner.lineage.remedy import command_again
from runner.schema.lineage import Considered
from runner.schema.run_record import RunRecord
from runner.schema.script import has_code
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings

SOURCE_TAG = "mlflow.source.name"
ENTRY_POINT_TAG = "mlflow.project.entryPoint"
_MODEL_SOURCE = f"tag {SOURCE_TAG} of a model that the run logged"
_LAUNCHERS = frozenset({"ipykernel_launcher.py", "colab_kernel_launcher.py", "pytest.py", "spawn.py"})
_NOT_OWN = frozenset({"tests", "test", "site-packages", "dist-packages", "node_modules", "mlruns", "mlartifacts"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Script:
    """A script at the commit: `path` from the repository's root, to be started in `working_directory`.

    `name` is how it is recorded, with `/` and without a drive.
    """

    path: str
    working_directory: str
    source: str
    considered: tuple[Considered, ...] = ()
    name: str | None = None


def source_name(record: RunRecord) -> str | None:
    """Return the recorded name of a script or notebook with `/` and without a drive; None where it names none."""
    return _script_name(record.tags.get(SOURCE_TAG, ""))


def recorded_names(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """Return the names of scripts that the run records, each with where.

    MLflow notes the script with every model that it logs too, which stays where the training overwrote the run's own.
    """
    names = [(source_name(record), f"tag {SOURCE_TAG}")]
    names += [(_script_name(text), _MODEL_SOURCE) for text in record.model_sources]
    found: dict[str, str] = {}
    for name, source in names:
        if name is not None:
            found.setdefault(name, source)
    return tuple(found.items())


def _script_name(text: str) -> str | None:
    text = text.strip().strip("\"'")
    text = re.sub(r"^file:/*(?=[A-Za-z]:|/)", "", text).replace("\\", "/")
    match = re.match(r"(?P<name>.+?\.(?:py|ipynb))(?:\s.*)?$", re.sub(r"^[A-Za-z]:", "", text))
    if match is None or "://" in text:
        return None
    parts = match["name"].split("/")
    return None if parts[-1] in _LAUNCHERS or _INSTALLED.intersection(parts) else match["name"]


def wanted_paths(record: RunRecord) -> tuple[str, ...]:
    """Return the paths under which the commit may hold the run's script, longest first: what a snapshot should read.

    A path of another machine gives all its ends: `/home/a/p/src/train.py` may be `src/train.py` here.
    """
    ends = [end for name, _ in recorded_names(record) for end in _ends(name)]
    folder = project_folder_name(record)
    return tuple(dict.fromkeys([*ends, *([folder] if folder is not None else [])]))


def project_folder_name(record: RunRecord) -> str | None:
    """Return the folder of an MLflow project that its recorded source names behind `#`, None where it names none."""
    if ENTRY_POINT_TAG not in record.tags:
        return None
    _, hashed, folder = record.tags.get(SOURCE_TAG, "").strip().strip("\"'").partition("#")
    return posixpath.normpath(folder.replace("\\", "/").strip("/") or ".") if hashed else None


def _ends(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    # Of any package's `__main__.py` the package must be the same.
    last = len(parts) - 1 if parts[-1:] == ["__main__.py"] and len(parts) > 1 else len(parts)
    return ["/".join(parts[start:]) for start in range(last)]


def find_script(record: RunRecord, snapshot: RepositorySnapshot) -> tuple[Script, ...]:
    """Return the scripts of the commit that the run may name, equally good ones side by side; empty if there is none.

    The longest end of the recorded name that the tree holds wins, at the root before beneath a folder. A longer end
    that only another commit has means that the script itself is missing here. A script without code is none. Where the
    run and its models name different ones that are both there, both may be meant.
    """
    files = [
        entry.path
        for entry in snapshot.tree
        if entry.kind == "file" and not _is_copy(entry.path) and has_code(snapshot.texts.get(entry.path, "unread"))
    ]
    found: dict[str, Script] = {}
    for name, source in recorded_names(record):
        for script in _named_so(name, source, files, snapshot):
            found.setdefault(script.path, script)
    return tuple(found.values())


def _named_so(name: str, source: str, files: list[str], snapshot: RepositorySnapshot) -> tuple[Script, ...]:
    present = set(files)
    for end in _ends(name):
        beneath = sorted(path for path in files if path.endswith("/" + end))
        if end in present:
            considered = tuple(
                Considered(source="tree of the commit", value=path, reason=f"{end} is the recorded name itself")
                for path in beneath
            )
            # A notebook's kernel starts in the folder of the notebook.
            directory = posixpath.dirname(end) or "." if is_notebook(end) else "."
            return (Script(end, directory, source, considered, name),)
        if beneath:
            starts = {path: posixpath.dirname(path) if is_notebook(path) else path[: -len(end) - 1] for path in beneath}
            return tuple(Script(path, starts[path], source, (), name) for path in beneath)
        if end in snapshot.first_commit_with:
            return ()
    return ()


def locate_script(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> Script:
    """Return the one script that the run names.

    Raises MissingFact where the run names none, or the commit lacks it (the first commit that has it is named), and
    AmbiguousFact where several are equally good.
    """
    names = [name for name, _ in recorded_names(record)]
    if not names and is_kernel(record.tags.get(SOURCE_TAG, "")) and notebook_paths(snapshot):
        return _of_kernel(record, snapshot, settings)
    if not names:
        recorded = record.tags.get(SOURCE_TAG, "").strip()
        scripts = likely_scripts(snapshot)
        raise MissingFact(
            f"the run records no command, and its source {recorded[:120]!r} is no script"
            if recorded
            else "the run records neither its command nor its script",
            command_again(record, settings, _command(scripts[0] if scripts else "SCRIPT", "ARGUMENTS")),
            fact="command",
            looked_in=("--command", "command in runner.yaml", "tag mlflow.project.entryPoint", f"tag {SOURCE_TAG}"),
            nearest=tuple(_command(path) for path in scripts),
        )
    found = find_script(record, snapshot)
    if len(found) == 1:
        return found[0]
    if found:
        commands = [_pasted(script) for script in found]
        raise AmbiguousFact(
            f"{' or '.join(names)} may be any of {', '.join(script.path for script in found)}",
            command_again(record, settings, commands[0]),
            fact="command",
            looked_in=(f"tag {SOURCE_TAG}", "tree of the commit"),
            nearest=tuple(commands),
        )
    later = _elsewhere(record, snapshot)
    short = snapshot.commit[:12]
    if later:
        path, commit = later
        raise MissingFact(
            f"the script {path} is empty in commit {short}; commit {commit[:12]} is the first in which it is not"
            if snapshot.has(path)
            else f"the script {path} is not in commit {short}; commit {commit[:12]} is the first that has it",
            command_again(record, settings, f"--commit {commit}"),
            fact="script",
            looked_in=(f"commit {short}", "the repository's history"),
            nearest=(f"--commit {commit}",),
        )
    scripts = likely_scripts(snapshot)
    raise MissingFact(
        f"the script {names[0]} is in no commit of the repository, or empty",
        command_again(record, settings, _command(scripts[0] if scripts else "SCRIPT", "ARGUMENTS")),
        fact="script",
        looked_in=(f"commit {short}", "the repository's history"),
        nearest=tuple(_command(path) for path in scripts),
    )


def _of_kernel(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> Script:
    """Return the notebook that a kernel ran: the record does not name it."""
    found, why = notebooks_of_kernel(record, snapshot)
    others = [path for path in notebook_paths(snapshot) if path not in found]
    if len(found) == 1:
        considered = tuple(
            Considered(source="notebooks of the commit", value=path, reason=f"{found[0]} is {why}") for path in others
        )
        source = f"{why}, and tag {SOURCE_TAG} is a kernel's"
        return Script(found[0], posixpath.dirname(found[0]) or ".", source, considered)
    commands = [f"--command {shlex.quote(notebook_line(path))}" for path in found or others]
    error = AmbiguousFact if found else MissingFact
    raise error(
        f"a kernel made the run, and its notebook may be any of {', '.join(found)}"
        if found
        else "a kernel made the run, and no notebook of the commit tracks runs",
        command_again(record, settings, commands[0]),
        fact="command",
        looked_in=(f"tag {SOURCE_TAG}", "notebooks of the commit"),
        nearest=tuple(commands),
    )


def _elsewhere(record: RunRecord, snapshot: RepositorySnapshot) -> tuple[str, str] | None:
    """Return the path and the first commit that has the script, itself before beneath a folder."""
    for end in wanted_paths(record):
        if end in snapshot.first_commit_with:
            return end, snapshot.first_commit_with[end]
        beneath = [path for path in snapshot.first_commit_with if path.endswith("/" + end) and not _is_copy(path)]
        if beneath:
            path = min(beneath, key=lambda path: (path.count("/"), path))
            return path, snapshot.first_commit_with[path]
    return None


def _is_copy(path: str) -> bool:
    """Tell whether a file lies in a tracker's store, where runs that log their own script leave copies of it."""
    return not {"mlruns", "mlartifacts"}.isdisjoint(path.split("/")[:-1])


def likely_scripts(snapshot: RepositorySnapshot) -> list[str]:
    """Return scripts of the commit whose names speak of training, to name as candidates; at most five."""
    paths = [
        entry.path
        for entry in snapshot.tree
        if entry.kind == "file" and re.fullmatch(r"(?:.*/)?(?!test_)[^/]*train[^/]*(?<!_test)\.py", entry.path)
    ]
    others = [path for path in paths if _NOT_OWN.isdisjoint(path.split("/")[:-1])]
    return sorted(others, key=lambda path: (len(path), path))[:5]


def _pasted(script: Script) -> str:
    if is_notebook(script.path):
        return f"--command {shlex.quote(notebook_line(script.path))}"
    inner = posixpath.relpath(script.path, script.working_directory)
    line = f"cd {shlex.quote(script.working_directory)} && python {shlex.quote(inner)}"
    return f"--command {shlex.quote(line)}"


def _command(script: str, *words: str) -> str:
    """Return the option that gives the command, with a script's name of any shape."""
    return f"--command {shlex.quote(' '.join(('python', shlex.quote(script), *words)))}"
