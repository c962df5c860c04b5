"""`setup.py` and `setup.cfg` where no `pyproject.toml` builds the project: what it asks for, and what it installs."""

from __future__ import annotations

import configparser
import posixpath

from runner.plan.lists.found import PackageList, join
from runner.plan.lists.setup_script import SetupScript, read_setup_script
from runner.plan.lists.translated import translated
from runner.schema.snapshot import RepositorySnapshot

SCRIPT, CONFIGURATION = "setup.py", "setup.cfg"


def read_setup(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the project whose `setup.py` or `setup.cfg` is at `path`, if it lists packages."""
    folder = posixpath.dirname(path) or "."
    script, configuration = join(folder, SCRIPT), join(folder, CONFIGURATION)
    if path not in snapshot.texts or (path == configuration and script in snapshot.texts):
        return []  # both files of a folder are read together
    said = read_project(snapshot, folder)
    if said is None or (said.requires is not None and not any(said.requires)):
        return []
    notes = []
    if said.requires is None:
        notes.append(f"environment: {path} tells its packages only when it is run, which building the project did")
    return translated(
        snapshot,
        path,
        [line for line in said.requires or () if line],
        kind="setup",
        files=(script, configuration, join(folder, "pyproject.toml")),
        install_project=said.package,
        source=f"{_told_by(snapshot, script, configuration) or path} at the commit",
        notes=notes,
    )


def _told_by(snapshot: RepositorySnapshot, script: str, configuration: str) -> str | None:
    """Return `setup.cfg` where a `setup.py` beside it leaves it to say what is needed, None where that says it."""
    said = read_setup_script(snapshot, script) if script in snapshot.texts else None
    silent = said is not None and said.requires is not None and not any(said.requires)
    return configuration if silent and configuration in snapshot.texts else None


def read_project(snapshot: RepositorySnapshot, folder: str) -> SetupScript | None:
    """Return what both files of a folder say together, None where the commit has neither."""
    script, configuration = join(folder, SCRIPT), join(folder, CONFIGURATION)
    said = read_setup_script(snapshot, script) if script in snapshot.texts else None
    if configuration not in snapshot.texts:
        return said
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(snapshot.texts[configuration])
    except (configparser.Error, UnicodeError):
        return said
    options = dict(parser["options"]) if parser.has_section("options") else {}
    text = options.get("install_requires", "")
    if text.startswith("file:"):
        requires = [f"-r {name.strip()}" for name in text.removeprefix("file:").split(",")]
    else:
        requires = [line.partition(" #")[0].strip() for line in text.replace(";\n", "\n").splitlines()]
    requires = [line for line in requires if line and not line.startswith("#")]
    package = bool({"packages", "py_modules", "package_dir", "scripts"} & options.keys())
    if said is None:
        return SetupScript(tuple(requires), package) if options else None
    return SetupScript(
        None if said.requires is None else said.requires or tuple(requires),
        said.package or package,
    )
