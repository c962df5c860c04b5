"""Which packages the tracker recorded: requirements.txt, conda.yaml and python_env.yaml among the run's artifacts."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from runner.lineage.conda import read_entry
from runner.schema.model_files import RegisteredModel
from runner.schema.run_record import RunRecord, TextFile

PYTHON = "python"
_FILES = ("requirements.txt", "conda.yaml", "python_env.yaml")  # of one folder the first that names a package counts
_HISTORY = "mlflow.log-model.history"
_AFTER_REQUIREMENT = re.compile(r"(?:^#|\s+(?:#|--\w)).*$")
_CONTINUED = re.compile(r"\\\r?\n[ \t]*")
INSTALLERS = frozenset({"pip", "setuptools", "wheel"})
"""MLflow lists them with every model, as what is to install the rest."""
_LONGEST = 1 << 20  # characters


@dataclass(frozen=True)
class Pin:
    """An exact version, the file that has it, and the extras that it names."""

    version: str
    path: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordedPackages:
    """What the run's environment files list for the rerun's Python on Linux.

    `pins` are exact versions by normalised name; `PYTHON` is Python itself. `unpinned` are requirements that allow
    several versions. `left_out` are entries that name no version of a package index, with the reason in brackets.
    `disagreements` are sentences on models of the run that list different versions.
    """

    pins: dict[str, Pin] = field(default_factory=dict)
    unpinned: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """The exact versions by normalised name."""
        return {name: pin.version for name, pin in self.pins.items()}


def recorded_packages(
    record: RunRecord, markers: Mapping[str, str], registered: RegisteredModel | None = None
) -> RecordedPackages:
    """Read the run's environment files; a requirement whose marker is false for `markers` is not recorded for here.

    Where models of the run disagree on a package, the registered one decides, else the one that was logged last, if
    it lists the package; else none does. What installs packages is none that the training used.
    """
    folders: dict[str, list[TextFile]] = {}
    for file in record.environment_files:
        if posixpath.basename(file.path) in _FILES:
            folders.setdefault(posixpath.dirname(file.path), []).append(file)
    models = {folder: _read_folder(files, markers) for folder, files in folders.items()}
    decisive, why = _decisive(record, registered, models)
    pins: dict[str, Pin] = {}
    differing: dict[str, str] = {}
    for name in sorted({name for model in models.values() for name in model.pins}):
        found = {folder: model.pins[name] for folder, model in models.items() if name in model.pins}
        if decisive in found:
            pins[name] = found[decisive]
        elif all(same_version(pin.version, next(iter(found.values())).version) for pin in found.values()):
            pins[name] = next(iter(found.values()))
        if len({pin.version for pin in found.values()}) > 1:
            listed = ", ".join(f"{pin.version} in {pin.path}" for pin in found.values())
            rest = f"that of {decisive}, {why}, counts" if name in pins else "none of them counts"
            differing[name] = f"models of the run list several versions of {name} ({listed}): {rest}"
    unpinned = {name: text for model in models.values() for name, text in model.unpinned.items()}
    return RecordedPackages(
        pins=pins,
        unpinned={name: text for name, text in unpinned.items() if name not in pins and name not in differing},
        left_out=tuple(dict.fromkeys(line for model in models.values() for line in model.left_out)),
        disagreements=tuple(differing.values()),
    )


def linux_markers(python: str, machine: str, kernel: str = "") -> dict[str, str]:
    """Return what environment markers mean for a full version of CPython on Linux."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": kernel,
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
        "extra": "",
    }


def is_for(requirement: Requirement, markers: Mapping[str, str]) -> bool:
    """Tell whether a requirement's marker, if it has one, is true. Raises ValueError for one that has no meaning."""
    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(markers))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ValueError(str(error)) from error


def exact_version(requirement: Requirement) -> str | None:
    """Return the one version that a requirement allows, None where it allows several."""
    versions = [part.version for part in requirement.specifier if part.operator in ("==", "===")]
    return versions[0] if len(versions) == 1 and not versions[0].endswith("*") else None


def same_version(one: str, other: str) -> bool:
    """Tell whether two texts are one version: `1.0` is `1.0.0`."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def normalise(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _decisive(
    record: RunRecord, registered: RegisteredModel | None, models: Mapping[str, RecordedPackages]
) -> tuple[str | None, str]:
    """Return the folder of the model that decides where several disagree, and why it does."""
    if registered is not None:
        for folder in (registered.path, f"models/{registered.model_id}"):
            if folder in models:
                return folder, "which is registered"
    try:
        history = json.loads(record.tags.get(_HISTORY, "[]"))
    except (ValueError, RecursionError):
        return None, ""
    last = history[-1] if isinstance(history, list) and history else {}
    if isinstance(last, dict):
        names = (last.get("artifact_path"), *(f"models/{last.get(key)}" for key in ("model_id", "model_uuid")))
        for folder in names:
            if isinstance(folder, str) and folder in models:
                return folder, "which was logged last"
    return None, ""


def _read_folder(files: list[TextFile], markers: Mapping[str, str]) -> RecordedPackages:
    pins: dict[str, Pin] = {}
    unpinned: dict[str, str] = {}
    left_out: list[str] = []
    for file in sorted(files, key=lambda file: _FILES.index(posixpath.basename(file.path))):
        for text, conda in _entries(posixpath.basename(file.path), file.text[:_LONGEST]):
            if conda:
                _read_conda(text, file.path, pins, unpinned, left_out)
            else:
                _read_requirement(text, file.path, markers, pins, unpinned, left_out)
    return RecordedPackages(pins, unpinned, tuple(left_out))


def _entries(name: str, text: str) -> Iterator[tuple[str, bool]]:
    """Yield the entries of an environment file, and whether they are in conda's notation."""
    if name == "requirements.txt":
        for line in _CONTINUED.sub(" ", text.removeprefix("\ufeff")).splitlines():
            yield _AFTER_REQUIREMENT.sub("", line).strip(), False
        return
    document = read_scalars_as_text(text)
    if isinstance(document.get("python"), str):
        yield f"python={document['python']}", True
    dependencies = document.get("dependencies")
    for item in dependencies if isinstance(dependencies, list) else ():
        if isinstance(item, str):
            yield item.strip(), name == "conda.yaml"
        nested = item.get("pip") if isinstance(item, dict) else ()
        yield from (
            (entry.strip(), False) for entry in (nested if isinstance(nested, list) else ()) if isinstance(entry, str)
        )


def read_scalars_as_text(text: str) -> dict[str, object]:
    """Return a YAML mapping whose scalars are texts (3.10 is no number); empty for anything else."""
    try:
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # makes texts, lists and mappings alone
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _read_conda(text: str, path: str, pins: dict[str, Pin], unpinned: dict[str, str], left_out: list[str]) -> None:
    entry = read_entry(text)
    if entry is None:
        left_out.append(f"{text} (no requirement)")
    elif entry.kind == "python":
        if entry.version is not None:
            pins.setdefault(PYTHON, Pin(entry.version.removesuffix(".*"), path))
    elif entry.kind == "package":
        requirement = Requirement(entry.requirement or entry.name)
        if entry.exact and entry.version is not None:
            pins.setdefault(entry.name, Pin(entry.version, path, tuple(sorted(requirement.extras))))
        else:
            unpinned.setdefault(entry.name, str(requirement))
    elif entry.kind != "installer":
        left_out.append(f"{text} (a package of conda)")


def _read_requirement(
    text: str,
    path: str,
    markers: Mapping[str, str],
    pins: dict[str, Pin],
    unpinned: dict[str, str],
    left_out: list[str],
) -> None:
    if not text or re.match(r"(?:-r|--requirement)[\s=]*requirements\.txt$", text):  # what is read beside it
        return
    if text.startswith("-"):
        left_out.append(f"{text} (no release of a package)")
        return
    try:
        requirement = Requirement(text)
        if not is_for(requirement, markers):
            return
    except (InvalidRequirement, ValueError):
        left_out.append(f"{text} (no requirement)")
        return
    name = normalise(requirement.name)
    if requirement.url is not None:
        left_out.append(f"{text} (an address, no release)")
    elif name not in INSTALLERS:
        version = exact_version(requirement)
        if version is None:
            requirement.marker = None
            unpinned.setdefault(name, str(requirement))
        else:
            pins.setdefault(name, Pin(version, path, tuple(sorted(requirement.extras))))
