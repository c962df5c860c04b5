"""What a run and its commit say of the Python that trained: each source by name, with how much it can tell. Pure."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from runner.lineage.packages import PYTHON, linux_markers, recorded_packages
from runner.lineage.recorded import like
from runner.plan.python_releases import KNOWN
from runner.plan.toml_text import load_toml, table
from runner.schema.model_files import RegisteredModel
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

Strength = Literal["recorded", "declared", "bound", "hint"]
"""The run recorded it; the commit says it; the commit admits it among others; something beside the training has it."""

_RECORDED_UNDER = frozenset(
    {
        "python_version",
        "python",
        "sys_version",
        "env_python_version",
        "env_python",
        "runner_python",
        "wandb_python",
    }
)
_HISTORY = "mlflow.log-model.history"
_VERSION = re.compile(r"(?:cpython|python)?[-@=\s]*v?(?P<version>3\.\d{1,2}(?:\.\d{1,2})?)\b")
_CONDA = re.compile(r"(?:[\w.-]+::)?python(?P<rest>$|[\s=<>!~].*)")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(?P<image>\S+)", re.IGNORECASE | re.MULTILINE)
_ARG = re.compile(r"^\s*ARG\s+(?P<name>\w+)=[\"']?(?P<value>[^\s\"']+)", re.IGNORECASE | re.MULTILINE)
_USED = re.compile(r"\$\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|\$(?P<bare>\w+)")
_IMAGE = re.compile(r"(?:^|/)python:v?(?P<of_python>3\.\d{1,2}(?:\.\d{1,2})?)(?![\d.])")
_NAMED_IN_TAG = re.compile(r":.*?(?<![a-z])(?:python|py)-?(?P<in_tag>3\.\d{1,2}(?:\.\d{1,2})?)(?![\d.])")
_WORKFLOW = re.compile(r"^\s*-?\s*python-version:\s*(?P<value>[^#\n]+)", re.MULTILINE)
_IN_WORKFLOW = re.compile(r"(?<![\d.])3\.\d{1,2}(?![\d*]|\.\d)")
_PATCHES = range(30)
_ANY_MINOR = tuple(f"3.{number}" for number in range(30))
_CARET = re.compile(r"\^\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_TILDE = re.compile(r"~\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_BARE = re.compile(r"=?\s*(\d+\.\d+)")


@dataclass(frozen=True)
class PythonRecord:
    """What one source says. `text` is a version (`3.9`, `3.9.7`), or a bound in PEP 440's notation or Poetry's."""

    text: str
    source: str
    strength: Strength

    @property
    def minors(self) -> tuple[str, ...]:
        """The minor versions that it names or admits, the oldest first."""
        if self.strength == "bound":
            return admitted(self.text)
        return (".".join(self.text.split(".")[:2]),)

    @property
    def names_one(self) -> bool:
        """Tell whether it leaves no choice, also none of a version that was still to come."""
        return self.strength != "bound" or len(admitted(self.text, _ANY_MINOR)) == 1

    @property
    def named(self) -> str:
        """The source, with what it says where that is more than a minor version."""
        return f"{self.source} ({self.text})" if self.strength == "bound" or self.text.count(".") > 1 else self.source


def recorded_pythons(record: RunRecord, registered: RegisteredModel | None = None) -> list[PythonRecord]:
    """Return what the run itself recorded, the logged models first: of several the decisive one (see `packages`)."""
    found = []
    pin = recorded_packages(record, linux_markers(f"{KNOWN[-1]}.0", "x86_64"), registered).pins.get(PYTHON)
    if pin is not None:
        found += _version(pin.version, f"{pin.path} of the run", "recorded")
    for file in record.environment_files:
        name = posixpath.basename(file.path)
        source = f"{file.path} of the run"
        if name == "python_env.yaml":
            found += _version(_yaml(file.text).get("python"), source, "recorded")
        elif name == "conda.yaml":
            found += [hit for hit in _conda(file.text, source) if hit.strength == "declared"]
    for version in _flavors(record.tags.get(_HISTORY, "")):
        found += _version(version, f"python_version of a logged model (tag {_HISTORY})", "recorded")
    for tag in like(record, _RECORDED_UNDER.__contains__):
        found += _version(tag.value, tag.source, "recorded")
    unique: dict[str, PythonRecord] = {}
    for hit in found:
        unique.setdefault(hit.source, PythonRecord(hit.text, hit.source, "recorded"))
    return list(unique.values())


def declared_pythons(snapshot: RepositorySnapshot, folders: Iterable[str]) -> list[PythonRecord]:
    """Return what the commit says in `folders`, the files that name one version first, then bounds, then hints.

    A bound that admits one minor version alone names it.
    """
    texts = snapshot.texts
    found: list[PythonRecord] = []
    for folder in folders:
        for name, read in _READERS:
            path = posixpath.normpath(posixpath.join(folder, name))
            if path in texts:
                found += read(texts[path], f"{path} at the commit")
        for path in sorted(texts):
            if (posixpath.dirname(path) or ".") == folder and re.fullmatch(
                r"(?:conda|environment).*\.ya?ml", posixpath.basename(path)
            ):
                found += _conda(texts[path], f"{path} at the commit")
    named = [hit for hit in found if hit.strength == "declared"]
    bounds = [hit for hit in found if hit.strength == "bound" and hit.minors]
    exact = [hit for hit in bounds if hit.names_one]
    named += [PythonRecord(hit.minors[0], f"{hit.source} ({hit.text})", "declared") for hit in exact]
    return [*named, *(hit for hit in bounds if hit not in exact), *_workflows(texts)]


def admitted(text: str, among: tuple[str, ...] = KNOWN) -> tuple[str, ...]:
    """Return the minor versions that a bound admits; one counts where any of its patches does: `>=3.9.1` admits 3.9."""
    found = set()
    for part in re.split(r"\|\|?", text):
        try:
            specifiers = SpecifierSet(_as_pep440(part))
        except InvalidSpecifier:
            continue
        found |= {
            minor for minor in among if any(specifiers.contains(Version(f"{minor}.{patch}")) for patch in _PATCHES)
        }
    return tuple(minor for minor in among if minor in found)


def _as_pep440(text: str) -> str:
    """Return a bound in PEP 440's notation; Poetry and Pipenv have `^3.9`, `~3.9`, `3.9` and `*` of their own."""
    return ",".join(_part_as_pep440(part.strip()) for part in text.split(",") if part.strip() not in ("", "*"))


def _part_as_pep440(part: str) -> str:
    if caret := _CARET.fullmatch(part):
        return f">={part[1:].strip()},<{int(caret[1]) + 1}"
    if tilde := _TILDE.fullmatch(part):
        upper = f"{tilde[1]}.{int(tilde[2]) + 1}" if tilde[2] is not None else str(int(tilde[1]) + 1)
        return f">={part[1:].strip()},<{upper}"
    if bare := _BARE.fullmatch(part):
        return f"=={bare[1]}.*"
    return re.sub(r"\s+(?=[<>=!~])", ",", part) if part[0] in "<>=!~" else f"=={part}"


def _version(text: Any, source: str, strength: Strength) -> list[PythonRecord]:
    match = _VERSION.match(text.strip().strip("\"'").lower()) if isinstance(text, str) else None
    return [] if match is None else [PythonRecord(match["version"], source, strength)]


def _bound(text: Any, source: str) -> list[PythonRecord]:
    says = isinstance(text, str) and text.strip() not in ("", "*")
    return [PythonRecord(text.strip(), source, "bound")] if says else []


def _python_version(text: str, source: str) -> list[PythonRecord]:
    """Read `.python-version`: pyenv allows several lines, of which the first is what `python` is."""
    return [hit for line in text.splitlines() for hit in _version(line, source, "declared")]


def _tool_versions(text: str, source: str) -> list[PythonRecord]:
    lines = (line.split() for line in text.splitlines())
    return [hit for words in lines if words[:1] == ["python"] for hit in _version(words[-1], source, "declared")]


def _runtime_txt(text: str, source: str) -> list[PythonRecord]:
    return _version(text, source, "declared") if text.strip().lower().startswith("python-") else []


def _pipfile_lock(text: str, source: str) -> list[PythonRecord]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    meta = document.get("_meta") if isinstance(document, dict) else None
    return _pipenv(meta if isinstance(meta, dict) else {}, source)


def _pipfile(text: str, source: str) -> list[PythonRecord]:
    return _pipenv(load_toml(text), source)


def _pipenv(document: dict[str, Any], source: str) -> list[PythonRecord]:
    requires = table(document, "requires")
    return _version(requires.get("python_full_version") or requires.get("python_version"), source, "declared")


def _conda(text: str, source: str) -> list[PythonRecord]:
    dependencies = _yaml(text).get("dependencies")
    found: list[PythonRecord] = []
    for item in dependencies if isinstance(dependencies, list) else ():
        match = _CONDA.fullmatch(item.strip()) if isinstance(item, str) else None
        if match is None:
            continue
        rest = match["rest"].strip()
        # `python=3.9.7=h12_0` names a build of it, `python=3.9` any patch, as `python=3.9.*` does.
        exact = re.fullmatch(r"={0,2}\s*(3\.\d+(?:\.\d+)?)(?:\.\*|=\S+)?", rest)
        found += _version(exact[1], source, "declared") if exact else _bound(rest, source)
    return found


def _python_env(text: str, source: str) -> list[PythonRecord]:
    return _version(_yaml(text).get("python"), source, "declared")


def _dockerfile(text: str, source: str) -> list[PythonRecord]:
    """Return the Python of the last stage that names one, with `ARG`s at their defaults."""
    defaults = {match["name"]: match["value"] for match in _ARG.finditer(text)}

    def value(match: re.Match[str]) -> str:
        return defaults.get(match["braced"] or match["bare"], match["default"] or "")

    images = [_USED.sub(value, match["image"]) for match in _FROM.finditer(text)]
    for image in reversed(images):
        match = _IMAGE.search(image) or _NAMED_IN_TAG.search(image)
        if match is not None:
            return _version(match[match.lastgroup or 0], f"FROM {image} of {source}", "declared")
    return []


def _pyproject(text: str, source: str) -> list[PythonRecord]:
    document = load_toml(text)
    own = _bound(table(document, "project").get("requires-python"), f"requires-python of {source}")
    poetry = table(document, "tool", "poetry", "dependencies").get("python")
    return [*own, *_bound(poetry, f"python of Poetry's dependencies in {source}")]


def _uv_lock(text: str, source: str) -> list[PythonRecord]:
    return _bound(load_toml(text).get("requires-python"), f"requires-python of {source}")


def _poetry_lock(text: str, source: str) -> list[PythonRecord]:
    return _bound(table(load_toml(text), "metadata").get("python-versions"), f"python-versions of {source}")


def _pdm_lock(text: str, source: str) -> list[PythonRecord]:
    metadata = table(load_toml(text), "metadata")
    targets = metadata.get("targets")
    first = targets[0] if isinstance(targets, list) and targets and isinstance(targets[0], dict) else metadata
    return _bound(first.get("requires_python"), f"requires_python of {source}")


def _setup_cfg(text: str, source: str) -> list[PythonRecord]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except ConfigError:
        return []
    return _bound(parser.get("options", "python_requires", fallback=None), f"python_requires of {source}")


def _setup_py(text: str, source: str) -> list[PythonRecord]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    keywords = (keyword for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords)
    values = (keyword.value for keyword in keywords if keyword.arg == "python_requires")
    texts = (value.value for value in values if isinstance(value, ast.Constant))
    return [hit for value in texts for hit in _bound(value, f"python_requires of {source}")]


def _workflows(texts: Mapping[str, str]) -> list[PythonRecord]:
    """Return the one version that all workflows of GitHub test with; what trains may have been another."""
    found: dict[str, str] = {}
    for path, text in sorted(texts.items()):
        if path.startswith(".github/workflows/"):
            for match in _WORKFLOW.finditer(text):
                for version in _IN_WORKFLOW.findall(match["value"]):
                    found.setdefault(version, path)
    return [PythonRecord(version, f"{path} at the commit", "hint") for version, path in found.items()][
        : 1 if len(found) == 1 else 0
    ]


def _flavors(text: str) -> Iterator[Any]:
    try:
        history = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return
    for model in reversed(history) if isinstance(history, list) else ():
        flavors = model.get("flavors") if isinstance(model, dict) else None
        python = flavors.get("python_function") if isinstance(flavors, dict) else None
        if isinstance(python, dict):
            yield python.get("python_version")


def _yaml(text: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # makes texts, lists and mappings alone
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_READERS = (
    (".python-version", _python_version),
    (".tool-versions", _tool_versions),
    ("uv.lock", _uv_lock),
    ("poetry.lock", _poetry_lock),
    ("pdm.lock", _pdm_lock),
    ("pylock.toml", _uv_lock),
    ("Pipfile.lock", _pipfile_lock),
    ("Pipfile", _pipfile),
    ("pyproject.toml", _pyproject),
    ("setup.cfg", _setup_cfg),
    ("setup.py", _setup_py),
    ("python_env.yaml", _python_env),
    ("runtime.txt", _runtime_txt),
    ("Dockerfile", _dockerfile),
)
"""Files of a folder, those first that tell most of what `python` was there."""
