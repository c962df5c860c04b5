"""The registered model against the run's own and the rerun's, file by file (VERDICTS rule 9). Pure.

A model that is logged again never has the same bytes: its MLmodel holds a new id and a new time. What is compared is
therefore all bytes of all files, but for the three texts that MLflow writes, of which every entry that stays counts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from runner.schema.model_files import ModelFile, ModelFiles, RegisteredComparison, RegisteredModel
from runner.schema.model_text import TEXTS
from runner.schema.rerun import CapturedFolder, CapturedRun

_DESCRIPTION = "MLmodel"
_SHOWN = 5


def compare_registered(registered: RegisteredModel, run: CapturedRun) -> RegisteredComparison:
    """Compare the three. Of several models that the rerun logged by one name, the one that differs least counts."""
    logged = registered.artifact if registered.same_place else registered.logged
    rerun = nearest(registered.artifact, rerun_models(run, registered.path))
    differences = () if rerun is None else differing(registered.artifact, rerun)
    equals_rerun = None if rerun is None else not differences
    return RegisteredComparison(
        reference=registered.reference,
        title=registered.title,
        registered=registered.artifact.content_digest,
        logged=None if logged is None else logged.content_digest,
        rerun=None if rerun is None else rerun.content_digest,
        equals_run=None if logged is None else not differing(registered.artifact, logged),
        equals_rerun=equals_rerun,
        run_equals_rerun=None if logged is None or rerun is None else not differing(logged, rerun),
        differences=shown(differences),
        circumstances=_circumstances(registered.artifact, rerun) if rerun is not None and equals_rerun else (),
    )


def differing(one: ModelFiles, other: ModelFiles) -> tuple[str, ...]:
    """Return in words each file in which two models differ, that only one of them has included."""
    ours, theirs = ({file.path: file for file in files.files} for files in (one, other))
    if len(ours) != len(one.files) or len(theirs) != len(other.files):
        return ("two of the files have one name",)
    words = []
    for path in sorted({*ours, *theirs}):
        if path not in theirs:
            words.append(f"{path} is only in the first")
        elif path not in ours:
            words.append(f"{path} is only in the second")
        elif not _same(ours[path], theirs[path]):
            words.append(path + _entries(ours[path], theirs[path]))
    if not words and not ours:
        return ("there are no files",)
    return tuple(words)


def _same(one: ModelFile, other: ModelFile) -> bool:
    return one.sha256 == other.sha256 or (one.parts is not None and one.parts == other.parts)


def _entries(one: ModelFile, other: ModelFile) -> str:
    if one.parts is None or other.parts is None:
        return ""
    names = {*one.parts, *other.parts}
    other_ones = sorted(name for name in names if one.parts.get(name) != other.parts.get(name))
    return f" ({', '.join(other_ones[:_SHOWN])})"


def _circumstances(one: ModelFiles, other: ModelFiles) -> tuple[str, ...]:
    bytes_of = {file.path: file.sha256 for file in other.files}
    paths = [file.path for file in one.files if bytes_of.get(file.path) != file.sha256]
    return tuple(f"{path}: equal but for ids, times, Python's patch and the installers' versions" for path in paths)


def shown(differences: tuple[str, ...]) -> tuple[str, ...]:
    """Return a few of many differences, and how many more there are."""
    if len(differences) <= _SHOWN:
        return differences
    return (*differences[:_SHOWN], f"and {len(differences) - _SHOWN} more")


def nearest(wanted: ModelFiles, candidates: Iterable[ModelFiles]) -> ModelFiles | None:
    """Return the one of several models that differs in the fewest files."""
    return min(candidates, key=lambda files: len(differing(wanted, files)), default=None)


def rerun_models(run: CapturedRun, path: str | None) -> tuple[ModelFiles, ...]:
    """Return the models that a captured run logged at a path or by a name; all of them where none is called so."""
    named = [] if path is None else [files for name, files in _models(run, path) if name == path]
    return tuple(named or (files for _, files in _models(run, None)))


def _models(run: CapturedRun, path: str | None) -> list[tuple[str, ModelFiles]]:
    """Return (name, files) of each model, and of what lies at `path` among the run's artifacts, model or not."""
    found = []
    for folder in run.folders:
        if folder.model_id is not None:
            found.append((folder.name, _files(folder.files)))
            continue
        places = {
            posixpath.dirname(file.path) for file in folder.files if posixpath.basename(file.path) == _DESCRIPTION
        }
        if path is not None:
            places.add(path)
        found += [(place, files) for place in sorted(places) if (files := _beneath(folder, place)).files]
    return found


def _beneath(folder: CapturedFolder, place: str) -> ModelFiles:
    prefix = f"{place}/" if place else ""
    files = [
        _moved(file, posixpath.basename(place) if file.path == place else file.path.removeprefix(prefix))
        for file in folder.files
        if file.path == place or file.path.startswith(prefix)
    ]
    return _files(files)


def _moved(file: ModelFile, path: str) -> ModelFile:
    parts = file.parts if path in TEXTS else None
    return ModelFile(path=path, sha256=file.sha256, size_bytes=file.size_bytes, parts=parts)


def _files(files: Iterable[ModelFile]) -> ModelFiles:
    at_top = (_moved(file, file.path) for file in files)
    return ModelFiles(files=tuple(sorted(at_top, key=lambda file: file.path)))
