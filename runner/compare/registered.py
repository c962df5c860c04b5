"""The registered model against the run's own and the rerun's, file by file (VERDICTS rule 9). Pure.

A model that is logged again never has the same bytes: its MLmodel holds a new id and a new time. What is compared is
therefore all bytes of all files, but for the three texts that MLflow writes, of which every entry that stays counts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from runner.schema.model_files import ModelFile, ModelFiles, RegisteredComparison, RegisteredModel
from runner.schema.rerun import CapturedFile, CaptureReport

_SHOWN = 5


def compare_registered(registered: RegisteredModel, capture: CaptureReport, run_id: str) -> RegisteredComparison:
    """Compare the three; `run_id` is the captured run that is the original's counterpart."""
    logged = registered.artifact if registered.same_place else registered.logged
    candidates = rerun_models(registered, capture, run_id)
    rerun = candidates[0] if len(candidates) == 1 else None
    differences = () if rerun is None else differing(registered.artifact, rerun)
    equals_rerun = None if rerun is None else not differences
    return RegisteredComparison(
        reference=registered.reference,
        title=registered.title,
        registered=registered.artifact.content_digest,
        logged=None if logged is None else logged.content_digest,
        rerun=None if rerun is None else rerun.content_digest,
        rerun_models=len(candidates),
        equals_run=None if logged is None else not differing(registered.artifact, logged),
        equals_rerun=equals_rerun,
        run_equals_rerun=None if logged is None or rerun is None else not differing(logged, rerun),
        differences=shown(differences),
        circumstances=_circumstances(registered.artifact, rerun) if rerun is not None and equals_rerun else (),
    )


def differing(registered: ModelFiles, other: ModelFiles) -> tuple[str, ...]:
    """Return in words each file in which what is registered differs from another model, or that only one has."""
    ours, theirs = ({file.path: file for file in files.files} for files in (registered, other))
    if len(ours) != len(registered.files) or len(theirs) != len(other.files):
        return ("two of the files have one name",)
    words = []
    for path in sorted({*ours, *theirs}):
        if path not in theirs:
            words.append(f"{path} is only registered")
        elif path not in ours:
            words.append(f"{path} is not registered")
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


def rerun_models(registered: RegisteredModel, capture: CaptureReport, run_id: str) -> tuple[ModelFiles, ...]:
    """Return the rerun's models that may be the registered one, each content once.

    Meant are those that bear the name or path that it has in its run and that the rerun registered by its name; else
    those of the former kind alone; else those of the latter; else all models of the run. A choice by content would let
    one checkpoint be swapped for another.
    """
    run = next((run for run in capture.runs if run.run_id == run_id), None)
    models = {model.model_id or model.name: model for model in capture.models if model.run_id == run_id}
    named = {key: model.files for key, model in models.items() if model.name == registered.path}
    if not named and run is not None and registered.path is not None:
        named = {registered.path: _beneath(run.artifacts, registered.path)}
    again = {
        version.model_id or version.path or "": version.files
        for version in capture.versions
        if version.run_id == run_id and version.name == registered.name
    }
    both = {key: files for key, files in named.items() if key in again}
    everything = {key: model.files for key, model in models.items()}
    chosen = next((tier for tier in (both, named, again, everything) if any(tier.values())), {})
    found = [_model_files(files) for files in chosen.values() if files]
    return tuple({files.content_digest: files for files in found}.values())


def _beneath(files: Mapping[str, CapturedFile], place: str) -> dict[str, CapturedFile]:
    """Return the files of a folder by their paths within it, or the one file that lies at a path by its name."""
    if place in files:
        return {posixpath.basename(place): files[place]}
    prefix = f"{place}/" if place else ""
    return {path[len(prefix) :]: file for path, file in files.items() if path.startswith(prefix)}


def _model_files(files: Mapping[str, CapturedFile]) -> ModelFiles:
    return ModelFiles(
        files=tuple(
            ModelFile(path=path, sha256=file.sha256, size_bytes=file.size_bytes, parts=file.parts)
            for path, file in sorted(files.items())
        )
    )
