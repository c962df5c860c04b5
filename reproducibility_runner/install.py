"""Lays the capture out where a training's Python finds it: a folder with this package, and a `.pth` file."""

from __future__ import annotations

import os
import shutil

from reproducibility_runner import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DISTRIBUTION = "reproducibility_runner_capture-1.0.dist-info"
PTH = "zz-reproducibility-runner.pth"
_TRACKING_SCHEMES = ("file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_REGISTRY_SCHEMES = (*_TRACKING_SCHEMES, "databricks-uc", "uc")
_METADATA = """\
Metadata-Version: 2.1
Name: reproducibility-runner-capture
Version: 1.0
Summary: Records the tracking calls of a training while it is rerun
"""


def lay_out(target_directory: Any) -> None:
    """Copy this package into a folder, with the metadata by which MLflow finds it.

    Whatever the folder held of an earlier version is replaced. Raises OSError.
    """
    target = os.fspath(target_directory)
    package = os.path.join(target, "reproducibility_runner")
    metadata = os.path.join(target, DISTRIBUTION)
    for folder in (package, metadata):
        shutil.rmtree(folder, ignore_errors=True)
    source = os.path.dirname(os.path.abspath(__file__))
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    os.makedirs(metadata)
    for name, text in (("METADATA", _METADATA), ("entry_points.txt", entry_points()), ("INSTALLER", "runner\n")):
        with open(os.path.join(metadata, name), "w", encoding="utf-8") as file:
            file.write(text)


def entry_points() -> str:
    """Return the text of `entry_points.txt`."""
    groups = (
        ("mlflow.tracking_store", _TRACKING_SCHEMES, "build_store"),
        ("mlflow.model_registry_store", _REGISTRY_SCHEMES, "build_registry"),
        ("mlflow.artifact_repository", ("file",), "build_artifact_repository"),
    )
    lines = []
    for group, schemes, builder in groups:
        lines.append(f"[{group}]")
        lines += [f"{scheme} = reproducibility_runner.entry:{builder}" for scheme in schemes]
        lines.append("")
    return "\n".join(lines)


def write_pth(site_packages: Any, directory: str = places.PACKAGE) -> str:
    """Write the `.pth` file into an environment's `site-packages`, by which each of its Pythons begins the capture.

    It does nothing where the folder, or a place for the capture, is missing. Returns its path; raises OSError.
    """
    path = os.path.join(os.fspath(site_packages), PTH)
    with open(path, "w", encoding="utf-8") as file:
        file.write(pth_line(directory))
    return path


def pth_line(directory: str = places.PACKAGE) -> str:
    """Return the one line of the `.pth` file."""
    # At the front while ours is loaded, so that no other version of this package is; at the end from then on.
    return (
        f"import os, sys; _d = {directory!r};"
        f" (os.environ.get('REPRO_CAPTURE_DIR') or os.path.isdir({places.CAPTURE!r}))"
        " and os.path.isdir(_d + '/reproducibility_runner')"
        " and (sys.path.insert(0, _d), __import__('reproducibility_runner.start').start.begin('.pth'),"
        " sys.path.remove(_d), sys.path.append(_d)); del _d\n"
    )
