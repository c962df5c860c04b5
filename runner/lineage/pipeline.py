"""The stages of `dvc.yaml` at the commit: their commands, dependencies and outs, with templates and loops filled in.

Stages of DVC before 1.0 are `.dvc` files with a command; they count alike.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner.inside.chain import overlap
from runner.pointers.document import Node, PointerSyntaxError
from runner.pointers.dvc_yaml import check_pipeline
from runner.pointers.read import document_root, read_wdirs
from runner.pointers.remotes import read_entries
from runner.pointers.templates import (
    OpenTemplate,
    Parsing,
    as_text,
    members_of_foreach,
    members_of_matrix,
    merge,
    resolve,
)
from runner.pointers.values import LONGEST, load_file, load_yaml, plain
from runner.schema.snapshot import PointerProblem, RepositorySnapshot

PARAMS = "params.yaml"
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|/|[A-Za-z]:[\\/]")
REPRO = re.compile(r"(?P<repro>\bdvc(?:\s+-{1,2}(?:verbose|quiet|[vq]+))*\s+(?:repro|exp\s+run)\b)(?P<rest>[^|;&\n]*)")
"""A command by which DVC runs a pipeline, and what follows it."""
_REPRO_VALUES = frozenset({"-S", "--set-param", "-n", "--name", "-m", "--message", "-j", "--jobs"})


@dataclass(frozen=True)
class Stage:
    """A stage; all paths are from the repository's root, those that lead out of it are in `external`.

    `command` is None where a template in it stays open, or a path of the stage does; `problem` then says which.
    `persistent` are the outs that DVC leaves in place before it runs the stage, `metrics` those that hold numbers,
    `params` the files of params with the keys that the stage depends on, none of which means all.
    """

    name: str
    file: str
    command: str | None
    working_directory: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    persistent: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    external: tuple[str, ...] = ()
    frozen: bool = False
    problem: str | None = None

    def runs(self, script: str) -> bool:
        """Tell whether the command starts a script, by its path or as a module (`-m`)."""
        words = words_of(self.command or "")
        for before, word in zip(["", *words], words, strict=False):
            path = word.replace(".", "/") + ".py" if before == "-m" else word
            if _join(self.working_directory, path) == script:
                return True
        return False

    def makes(self, path: str) -> bool:
        """Tell whether a path is an out of this stage, or lies in one, or holds one."""
        return any(overlap(out, path) for out in self.outs)


def words_of(line: str) -> list[str]:
    """Return the words of a command, none where its quotes are open."""
    try:
        return shlex.split(line)
    except ValueError:
        return []


def covers(folder: str, path: str) -> bool:
    """Tell whether a path is a folder, or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def stages_of(snapshot: RepositorySnapshot) -> tuple[Stage, ...]:
    """Return all stages that can be read; a file that DVC would refuse has none."""
    stages: list[Stage] = []
    for path, text in _pipelines(snapshot):
        try:
            stages += _stages(path, text, snapshot.texts)
        except PointerSyntaxError:
            continue
    return tuple(stages)


def pipeline_problems(snapshot: RepositorySnapshot) -> tuple[PointerProblem, ...]:
    """Return why DVC would refuse a `dvc.yaml` or a stage of it, with the line."""
    problems: list[PointerProblem] = []
    for path, text in _pipelines(snapshot):
        try:
            found = _stages(path, text, snapshot.texts)
        except PointerSyntaxError as error:
            problems.append(PointerProblem(pointer=path, problem=str(error)))
            continue
        problems += [PointerProblem(pointer=path, problem=stage.problem) for stage in found if stage.problem]
    return tuple(problems)


def working_directories(path: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the working directories of the stages of the `dvc.yaml` at `path`, from its own folder.

    That of each member of a loop where templates name it; a lock holds paths from there, and not the directory.
    """
    text = texts.get(path, "")
    written = read_wdirs(text)
    if not any("${" in wdir for wdir in written.values()):
        return written
    try:
        found = _stages(path, text, texts)
    except PointerSyntaxError:
        return written
    folder = posixpath.dirname(path) or "."
    return {stage.name: posixpath.relpath(stage.working_directory, folder) for stage in found}


def stage_of(snapshot: RepositorySnapshot, script: str) -> tuple[Stage, ...]:
    """Return the stages that run a script."""
    return tuple(stage for stage in stages_of(snapshot) if stage.runs(script))


def stages_of_line(line: str, directory: str, stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """Return the stages that a command line runs: those that a `dvc repro` in it names, else one that it is word for
    word.

    A `dvc repro` without targets runs all of the `dvc.yaml` in its directory.
    """
    stages = tuple(stages)
    found: list[Stage] = []
    for match in REPRO.finditer(line):
        targets = repro_targets(match["rest"])
        found += [stage for stage in stages if _is_target(stage, targets, directory)]
    if found or REPRO.search(line):
        return tuple(dict.fromkeys(found))
    words = words_of(line)
    return tuple(
        stage
        for stage in stages
        if words and words == words_of(stage.command or "") and _clean(stage.working_directory) == _clean(directory)
    )


def is_repro(line: str) -> bool:
    """Tell whether a command line has DVC run a pipeline."""
    return REPRO.search(line) is not None


def repro_targets(rest: str) -> list[str]:
    """Return the targets among what follows `dvc repro`."""
    words = iter(words_of(rest))
    targets = []
    for word in words:
        if word in _REPRO_VALUES:
            next(words, None)
        elif not word.startswith("-"):
            targets.append(word)
    return targets


def _is_target(stage: Stage, targets: list[str], directory: str) -> bool:
    here = _clean(posixpath.dirname(stage.file)) == _clean(directory)
    if not targets:
        return here
    group = stage.name.rpartition("@")[0]
    for target in targets:
        file, colon, name = target.rpartition(":")
        in_file = _join(directory, file or "dvc.yaml") == stage.file if colon else here
        if in_file and name in (stage.name, group):
            return True
        if _join(directory, target) == stage.file:  # a whole file: `dvc repro train.dvc`, `dvc repro sub/dvc.yaml`
            return True
    return False


def chain_to(paths: Iterable[str], stages: Iterable[Stage], *, but: Iterable[Stage] = ()) -> tuple[Stage, ...]:
    """Return the stages that make these paths and what those need in turn, in the order in which they run.

    `but` are never among them. Of a circle, which DVC refuses, each stage comes once.
    """
    stages = tuple(stage for stage in stages if stage not in set(but))
    ordered: list[Stage] = []
    state: dict[Stage, bool] = {}  # False while a stage's own needs are looked at
    work: list[tuple[Stage, bool]] = [(stage, False) for stage in reversed(_makers(paths, stages))]
    while work:
        stage, done = work.pop()
        if done:
            state[stage] = True
            ordered.append(stage)
        elif stage not in state:
            state[stage] = False
            work.append((stage, True))
            work += [(other, False) for other in reversed(_makers(stage.deps, stages)) if other not in state]
    return tuple(ordered)


def _makers(paths: Iterable[str], stages: tuple[Stage, ...]) -> list[Stage]:
    return list(dict.fromkeys(stage for path in paths for stage in stages if stage.makes(path)))


def lacking_vars(snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return the files that templates take values from and that the snapshot has not read."""
    lacking: list[str] = []
    for path, text in _pipelines(snapshot):
        try:
            root = check_pipeline(text) if path.endswith("dvc.yaml") else None
            document = plain(root) if root is not None else {}
        except PointerSyntaxError:
            continue
        folder = posixpath.dirname(path)
        lacking += _vars_files(document.get("vars"), folder)
        for body in _mapping(document.get("stages")).values():
            inner = _mapping(_mapping(body).get("do") or body)
            lacking += _vars_files(inner.get("vars"), _join(folder, str(inner.get("wdir") or ".")))
            lacking += [_join(_join(folder, str(inner.get("wdir") or ".")), file) for file, _ in _params(inner)]
    return tuple(dict.fromkeys(path for path in lacking if path not in snapshot.texts and not path.startswith("..")))


def _vars_files(entries: Any, folder: str) -> list[str]:
    return [
        _join(folder, entry.partition(":")[0]) for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, str)
    ]  # fmt: skip


def _pipelines(snapshot: RepositorySnapshot) -> Iterator[tuple[str, str]]:
    for path, text in sorted(snapshot.texts.items()):
        name = posixpath.basename(path)
        if name == "dvc.yaml" or (name.endswith(".dvc") and "cmd" in text) or name == "Dvcfile":
            yield path, text


def _stages(path: str, text: str, texts: Mapping[str, str]) -> list[Stage]:
    if len(text) > LONGEST:
        raise PointerSyntaxError(f"is longer than {LONGEST} characters")
    folder = posixpath.dirname(path)
    if posixpath.basename(path) != "dvc.yaml":
        return _single_stage(path, folder, text)
    root = check_pipeline(text)
    document = plain(root) if root is not None else {}
    values: dict[str, Any] = {}
    loaded: set[str] = set()
    default = _join(folder, PARAMS)
    if default in texts:
        merge(values, _load(default, texts))
        loaded.add(default)
    entries = document.get("vars")
    if entries:
        _load_vars(values, entries, folder, texts, loaded, _line_of(root, "vars"))
    parsing = _parsing(folder, texts)
    stages: list[Stage] = []
    for name, body in _mapping(document.get("stages")).items():
        line = _line_of(root, "stages", name)
        stages += _of_definition(_Place(path, folder, line, texts, parsing, frozenset(loaded)), name, body, values)
    return stages


@dataclass(frozen=True)
class _Place:
    """Where a definition stands, and what it is read with."""

    file: str
    folder: str
    line: int
    texts: Mapping[str, str]
    parsing: Parsing
    loaded: frozenset[str]


def _of_definition(place: _Place, name: str, body: Any, values: dict[str, Any]) -> list[Stage]:
    """Return the stages of one entry: one, or one for each member of its loop."""
    body = _mapping(body)
    try:
        if "matrix" in body:
            members = members_of_matrix(body["matrix"], values)
            body = {key: value for key, value in body.items() if key != "matrix"}
        elif "foreach" in body:
            members = members_of_foreach(body["foreach"], values)
            body = _mapping(body.get("do"))
        else:
            return [_stage(place, name, body, values)]
    except OpenTemplate as error:
        inner = _mapping(body.get("do") or {key: value for key, value in body.items() if key != "matrix"})
        stage = _stage(place, name, inner, values)
        return [_open(stage, f"line {place.line}: stage {name!r}: {error.problem}")]
    return [_stage(place, f"{name}@{key}", body, {**values, **added}) for key, added in members]


def _open(stage: Stage, problem: str) -> Stage:
    return replace(stage, command=None, problem=problem)


def _stage(place: _Place, name: str, body: dict[str, Any], values: dict[str, Any]) -> Stage:
    problems: list[str] = []

    def filled(value: Any, *, command: bool = False) -> Any:
        try:
            return resolve(value, values, command=command, parsing=place.parsing)
        except OpenTemplate as error:
            problems.append(error.problem)
            return None

    wdir = filled(body.get("wdir"))
    directory = _join(place.folder, as_text(wdir) if wdir else ".")
    if body.get("vars"):
        values = merged(values)
        try:
            _load_vars(values, body["vars"], directory, place.texts, set(place.loaded), place.line)
        except PointerSyntaxError as error:
            problems.append(error.problem)
    commands = filled(body.get("cmd"), command=True)
    lines = [str(line).strip() for line in (commands if isinstance(commands, list) else [commands]) if line]
    command = " && ".join(line for line in lines if line)
    deps, external = _inside(directory, [as_text(dep) for dep in _each(body.get("deps"), filled)])
    outs: list[str] = []
    persistent: list[str] = []
    metrics: list[str] = []
    for key in ("outs", "metrics", "plots"):
        for out, options in _out_entries(body.get(key), filled):
            inside, beyond = _inside(directory, [out])
            outs += inside
            external += beyond
            persistent += inside if options.get("persist") is True else []
            metrics += inside if key == "metrics" else []
    return Stage(
        name=name,
        file=place.file,
        command=None if problems else command or None,
        working_directory=directory,
        deps=tuple(deps),
        outs=tuple(dict.fromkeys(outs)),
        persistent=tuple(persistent),
        metrics=tuple(metrics),
        params=tuple((_join(directory, file), keys) for file, keys in _params(body, filled)),
        external=tuple(external),
        frozen=body.get("frozen") is True,
        problem=f"line {place.line}: stage {name!r}: {problems[0]}" if problems else None,
    )


def merged(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of values into which more can be merged."""
    copied: dict[str, Any] = {}
    merge(copied, values)
    return copied


def _single_stage(path: str, folder: str, text: str) -> list[Stage]:
    """Return the stage that a `.dvc` file with a command is."""
    root = document_root(text)
    document = plain(root) if root is not None else {}
    if not isinstance(document.get("cmd"), str):
        return []
    directory = _join(folder, str(document.get("wdir") or "."))
    named = {key: [entry for entry in document.get(key) or [] if isinstance(entry, dict)] for key in ("deps", "outs")}
    deps, external = _inside(directory, [str(entry.get("path")) for entry in named["deps"]])
    outs, beyond = _inside(directory, [str(entry.get("path")) for entry in named["outs"]])
    return [
        Stage(
            name=posixpath.basename(path),
            file=path,
            command=document["cmd"].strip() or None,
            working_directory=directory,
            deps=tuple(deps),
            outs=tuple(outs),
            persistent=tuple(
                _join(directory, str(entry.get("path"))) for entry in named["outs"] if entry.get("persist") is True
            ),
            metrics=tuple(_join(directory, str(entry.get("path"))) for entry in named["outs"] if entry.get("metric")),
            external=(*external, *beyond),
            frozen=document.get("frozen") is True or document.get("locked") is True,
        )
    ]


def _each(entries: Any, filled: Any) -> list[Any]:
    found = [filled(entry) for entry in entries or [] if isinstance(entry, str)]
    return [entry for entry in found if entry is not None and not isinstance(entry, list | dict)]


def _out_entries(entries: Any, filled: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in entries or []:
        for path, options in entry.items() if isinstance(entry, dict) else [(entry, None)]:
            out = filled(path)
            if isinstance(out, str | int | float):
                yield as_text(out), options if isinstance(options, dict) else {}


def _params(body: dict[str, Any], filled: Any = None) -> list[tuple[str, tuple[str, ...]]]:
    """Return the params files of a stage with the keys of each; a plain key is one of `params.yaml`."""
    found: dict[str, list[str]] = {}
    for entry in body.get("params") or []:
        value = filled(entry) if filled is not None else entry
        if isinstance(value, str | int | float):
            found.setdefault(PARAMS, []).append(str(value))
        elif isinstance(value, dict):
            for file, keys in value.items():
                found.setdefault(str(file), []).extend(str(key) for key in keys or [])
    return [(file, tuple(keys)) for file, keys in found.items() if "${" not in file]


def _inside(directory: str, paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the paths that lie in the repository, from its root, and those that do not, as they are written."""
    inside: list[str] = []
    beyond: list[str] = []
    for path in paths:
        joined = _join(directory, path)
        outside = bool(_ELSEWHERE.match(path)) or joined in ("", "..") or joined.startswith("../")
        (beyond if outside else inside).append(path if outside else joined)
    return inside, beyond


def _load_vars(
    values: dict[str, Any], entries: Any, folder: str, texts: Mapping[str, str], loaded: set[str], line: int
) -> None:
    """Merge what `vars` names into the values. Raises PointerSyntaxError."""
    for entry in entries:
        try:
            if isinstance(entry, dict):
                merge(values, entry)
                continue
            file, _, keys = str(entry).partition(":")
            path = _join(folder, file)
            if path in loaded and not keys:
                continue
            document = _load(path, texts)
            chosen = [key for key in keys.split(",") if key]
            merge(values, {key: document[key] for key in chosen if key in document} if chosen else document)
            loaded.add(path)
        except PointerSyntaxError as error:
            raise PointerSyntaxError(f"vars: {error.problem}", line) from error


def _load(path: str, texts: Mapping[str, str]) -> dict[str, Any]:
    if path not in texts:
        raise PointerSyntaxError(f"{path} is not at the commit, or too long to be read")
    try:
        return load_file(path, texts[path])
    except PointerSyntaxError as error:
        raise PointerSyntaxError(f"{path}: {error}") from error


def _parsing(folder: str, texts: Mapping[str, str]) -> Parsing:
    """Return what the nearest `.dvc/config` says of mappings in commands."""
    while True:
        config = texts.get(posixpath.join(folder, ".dvc", "config"))
        if config is not None or not folder:
            break
        folder = posixpath.dirname(folder)
    found = {key: value for section, key, value in read_entries(config or "") if section.lower() == "parsing"}
    return Parsing(bool=found.get("bool", "store_true"), list=found.get("list", "nargs"))


def _line_of(root: Node | None, *names: str) -> int:
    """Return the line of a key at a path of keys; that of what holds it where it comes from an anchor."""
    line = 1
    node = root
    for name in names:
        pair = next((pair for pair in (node.pairs if node is not None else []) if pair[0].text == name), None)
        if pair is None:
            break
        line, node = pair[0].line, pair[1]
    return line


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def load_mapping(text: str) -> dict[str, Any]:
    """Return a YAML mapping; empty for anything else, since the commit's files are not ours to correct."""
    try:
        if len(text) > LONGEST:
            return {}
        document = load_yaml(text)
    except PointerSyntaxError:
        return {}
    return document if isinstance(document, dict) else {}


def _clean(path: str) -> str:
    return posixpath.normpath(path or ".")


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))
