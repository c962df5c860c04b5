"""Which packages a run had: the specification at the commit, how exact it is, and the date in place of a lock."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runner.errors import MissingFact
from runner.lineage.packages import linux_markers, recorded_packages
from runner.lineage.remedy import command_again
from runner.plan.constraints import RecordedVersions, constrain, usable
from runner.plan.python import PythonChoice, choose_python
from runner.plan.requirements import listed, read_files
from runner.plan.toml_text import load_toml, table
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import EnvironmentSpec
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_MAIN_NAMES = ("requirements.lock", "requirements-lock.txt", "requirements_lock.txt", "requirements.txt")
_NOT_READ = ("environment.yml", "environment.yaml", "conda.yaml", "Pipfile.lock", "poetry.lock", "setup.py")


@dataclass(frozen=True)
class _Found:
    """A candidate: the specification without what is common to all kinds."""

    kind: str
    main: str | None
    files: dict[str, str]
    exact: bool
    complete: bool
    source: str
    install_project: bool = False
    notes: tuple[str, ...] = ()
    recorded: bool = False

    @property
    def takes_constraints(self) -> bool:
        """Tell whether the commit's list leaves versions open that the tracker may have recorded."""
        return self.kind in ("requirements", "pyproject") and not self.recorded and not (self.exact and self.complete)


def specify_environment(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    script: str | None,
    working_directory: str = ".",
    *,
    registered: RegisteredModel | None = None,
    machine: str = "x86_64",
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the specification of a run's packages and Python, and the other files that were considered.

    Order: the file that `environment:` of `runner.yaml` names, `uv.lock`, requirements (pinned before unpinned),
    `pyproject.toml`, each at the root and then beside the script. What a list that is no lock leaves open has the
    version that the tracker recorded with the run's models, read for `machine`; else it is as of the run's start.
    Where the commit has no list, the recorded packages are one. Raises MissingFact where a start is needed and not
    recorded, and where nothing lists any package: without MLflow no training logs a run.
    """
    folders = _folders(script, working_directory)
    python = choose_python(record, snapshot, settings, facts, folders)
    # Of Python's patch the plan knows nothing: markers that need it are rare, and mean the bounds of a minor.
    markers = linux_markers(f"{python.minor}.0", machine)
    recorded = usable(recorded_packages(record, markers, registered))
    found, *others = _candidates(record, snapshot, settings, facts, folders, recorded)
    notes = list(found.notes)
    constraints: tuple[str, ...] = ()
    if found.takes_constraints:
        own = _listed(found)
        constraints, deviations = constrain(
            recorded, own, markers, main=found.main or "", replaced=settings.with_packages
        )
        notes += (*deviations, *recorded.notes)
        if constraints:
            others = [other for other in others if not other.recorded]
    if python.note:
        notes.append(python.note)
    as_of = None if found.exact and found.complete else record.start_time
    if as_of is None and not found.exact and found.kind != "none":
        raise MissingFact(
            f"{found.source} does not pin its packages, and the run records no start that could stand in for a lock",
            command_again(record, settings, "--with PACKAGE==VERSION")
            + "   # or name a lock file with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(found.main or "the commit", "start of the run"),
        )
    if found.exact and not found.complete and found.kind == "requirements":
        notes.append(_open_notes(found, as_of, constraints))
    overrides = settings.with_packages
    if found.kind == "none" and not overrides:
        raise _no_packages(record, snapshot, settings, found)
    spec = EnvironmentSpec(
        kind=found.kind,  # type: ignore[arg-type]  # one of the four below
        source=found.source,
        root=posixpath.dirname(found.main or "") or ".",
        main=found.main,
        files=found.files,
        exact=found.exact,
        as_of=as_of,
        python=python.minor,
        python_source=python.source,
        install_project=found.install_project,
        constraints=constraints,
        constraints_source=recorded.source if constraints else None,
        overrides=overrides,
        notes=tuple(notes),
    )
    considered = tuple(
        Considered(source=other.source, value=other.main or "", reason=f"{found.source} comes first")
        for other in others
        if other.main
    )
    return spec, python, considered


def _no_packages(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, found: _Found) -> MissingFact:
    unread = "".join(f"; {note.removeprefix('environment: ')}" for note in found.notes)
    return MissingFact(
        f"neither the commit nor the run lists the packages of the training{unread}",
        command_again(record, settings, "--with mlflow --with PACKAGE")
        + "   # or name a list with `environment:` in runner.yaml",
        fact="environment",
        looked_in=(
            f"uv.lock, requirements.txt and pyproject.toml at commit {snapshot.commit[:12]}",
            "requirements.txt of a model that the run logged",
        ),
    )


def _open_notes(found: _Found, as_of: datetime | None, constraints: Sequence[str]) -> str:
    when = "today" if as_of is None else f"{as_of:%Y-%m-%d}"
    recorded = "as recorded, else " if constraints else ""
    return f"environment: packages that {found.main} does not list, but those it lists need, are {recorded}as of {when}"


def _folders(script: str | None, working_directory: str) -> tuple[str, ...]:
    """Return the root, the working directory and the script's folder with all above it."""
    folders = [".", working_directory]
    folder = posixpath.dirname(script or "")
    while folder:
        folders.append(folder)
        folder = posixpath.dirname(folder)
    return tuple(dict.fromkeys(folders))


def _candidates(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    folders: Iterable[str],
    recorded: RecordedVersions,
) -> list[_Found]:
    """Return all specifications, the best first; the last one is always there."""
    named = settings.environment or facts.environment
    if named:
        where = settings.source("environment") if settings.environment else f"environment in {FILE_NAME} at the commit"
        return [_named(named, where, record, snapshot, settings)]
    found: list[_Found] = []
    for folder in folders:
        found += _uv_lock(snapshot, _join(folder, "uv.lock"))
    requirements = [item for folder in folders for item in _requirements(snapshot, folder)]
    found += sorted(requirements, key=lambda item: (not item.exact, not item.complete))  # stable: root first
    for folder in folders:
        found += _pyproject(snapshot, _join(folder, "pyproject.toml"))
    unread = ", ".join(_unread(snapshot, folders))
    found += _of_model(recorded, unread)
    if not found:
        note = f"environment: {unread} at the commit cannot be read yet" if unread else None
        found.append(
            _Found(
                "none",
                None,
                {},
                False,
                False,
                "none: no file at the commit lists packages",
                notes=(note,) if note else (),
            )
        )
    return found


def _unread(snapshot: RepositorySnapshot, folders: Iterable[str]) -> list[str]:
    """Return the files at the commit that list packages in a form that is not read here."""
    names = [name for name in _NOT_READ if snapshot.has(name)]
    for folder in folders:
        path = _join(folder, "pyproject.toml")
        if table(load_toml(snapshot.texts.get(path)), "tool", "poetry", "dependencies"):
            names.append(f"{path} of Poetry")
    return names


def _named(path: str, where: str, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> _Found:
    name = posixpath.basename(path)
    if path in snapshot.texts:
        if name == "uv.lock":
            found = _uv_lock(snapshot, path)
        elif name == "pyproject.toml":
            found = _pyproject(snapshot, path)
        else:
            found = _requirement_file(snapshot, path)
        if found:
            return found[0]
    raise MissingFact(
        f"{where} names {path}, which the commit does not hold as a file that lists packages",
        command_again(record, settings) + f"   # after `environment:` in {FILE_NAME} names another file",
        fact="environment",
        looked_in=(f"commit {snapshot.commit[:12]}",),
    )


def _uv_lock(snapshot: RepositorySnapshot, path: str) -> list[_Found]:
    project = _join(posixpath.dirname(path), "pyproject.toml")
    if path not in snapshot.texts or project not in snapshot.texts:
        return []
    files = {name: snapshot.texts[name] for name in (path, project)}
    return [_Found("uv.lock", path, files, True, True, f"{path} at the commit", _is_package(snapshot, project))]


def _requirements(snapshot: RepositorySnapshot, folder: str) -> list[_Found]:
    paths = [_join(folder, name) for name in _MAIN_NAMES]
    there = [path for path in paths if path in snapshot.texts]
    if not there:  # under another name only where there is exactly one: which of several was meant is not known
        others = [
            path
            for path in snapshot.texts
            if (posixpath.dirname(path) or ".") == folder
            and posixpath.basename(path).startswith("requirements")
            and path.endswith(".txt")
        ]
        there = others if len(others) == 1 else []
    return [found for path in there for found in _requirement_file(snapshot, path)]


def _requirement_file(snapshot: RepositorySnapshot, path: str) -> list[_Found]:
    read = read_files(snapshot.texts, path)
    if not read.lists_packages:
        return []
    files = {name: snapshot.texts[name] for name in read.paths}
    if read.installs_project:
        project = _join(posixpath.dirname(path), "pyproject.toml")
        if project in snapshot.texts:
            files[project] = snapshot.texts[project]
    source = f"{path} at the commit" + ("" if read.pinned else " (not pinned)")
    return [
        _Found("requirements", path, files, read.pinned, read.complete and read.pinned, source, read.installs_project)
    ]


def _pyproject(snapshot: RepositorySnapshot, path: str) -> list[_Found]:
    text = snapshot.texts.get(path)
    document = load_toml(text)
    project = table(document, "project")
    if text is None:
        return []
    package = _is_package(snapshot, path)
    if not (project.get("dependencies") or package):
        return []  # configuration of tools lists no packages, and those of Poetry are read where it builds one
    return [_Found("pyproject", path, {path: text}, False, False, f"{path} at the commit (not pinned)", package)]


def _of_model(recorded: RecordedVersions, unread: str) -> list[_Found]:
    """Return the packages that MLflow recorded with the run's models, for a commit that lists none that can be read."""
    if not recorded.pins:
        return []
    why = f"{unread} at the commit cannot be read yet" if unread else "the commit lists none"
    name = "requirements.txt"
    return [
        _Found(
            "requirements",
            name,
            {name: recorded.list},
            recorded.whole and not recorded.unpinned,
            False,
            recorded.source,
            notes=(f"environment: only packages that MLflow recorded with the model; {why}", *recorded.notes),
            recorded=True,
        )
    ]


def _listed(found: _Found) -> list[str]:
    """Return the requirements of a list at the commit, as far as they can be read without running anything."""
    lines = listed(found.files, [path for path in found.files if not path.endswith(".toml")])
    for path, text in found.files.items():
        if path.endswith(".toml"):
            dependencies = table(load_toml(text), "project").get("dependencies")
            lines += map(str, dependencies) if isinstance(dependencies, list) else ()
    return lines


def _is_package(snapshot: RepositorySnapshot, path: str) -> bool:
    """Tell whether the project itself is to be installed: it has a build system, or says so, and holds a package."""
    document = load_toml(snapshot.texts[path])
    said = table(document, "tool", "uv").get("package")
    if isinstance(said, bool):
        return said
    poetry = table(document, "tool", "poetry")
    if poetry and not table(document, "project") and not _holds_package(snapshot, posixpath.dirname(path), poetry):
        return False  # as `poetry install --no-root`, which is what its users do with a folder of scripts
    return bool(table(document, "build-system"))


def _holds_package(snapshot: RepositorySnapshot, root: str, poetry: Mapping[str, object]) -> bool:
    """Tell whether Poetry would find the module that it is to build, which it looks for by the project's name."""
    if poetry.get("package-mode") is False:
        return False
    if poetry.get("packages"):
        return True
    name = re.sub(r"[^A-Za-z0-9]+", "_", str(poetry.get("name", ""))).lower()
    bases = [_join(folder, name) for folder in (root, _join(root, "src"))]
    return any(
        entry.path.lower() == f"{base}.py" or entry.path.lower().startswith(f"{base}/")
        for entry in snapshot.tree
        for base in bases
    )


def _join(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))
