"""Lays the recording out for a training whose Python lacks this package: a folder to be put on its path."""

from __future__ import annotations

import os
import shutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_POINT = "reproducibility_runner = reproducibility_runner.recording.plugin:RunContext"
GROUP = "mlflow.run_context_provider"
_DISTRIBUTION = "reproducibility_runner_record-1.0.dist-info"
_METADATA = """\
Metadata-Version: 2.1
Name: reproducibility-runner-record
Version: 1.0
Summary: Tags a training's runs with what they were made from
"""
# Python imports this by itself when it starts: W&B has no place in its own settings for what others record. The one of
# the environment, which it hides, has its turn after it.
_SITECUSTOMIZE = """\
import importlib.util
import os
import sys
from importlib.machinery import PathFinder

try:
    from reproducibility_runner.recording import wandb_runs

    wandb_runs.watch()
except Exception:
    pass
_here = os.path.dirname(os.path.abspath(__file__))
_spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path or ".") != _here])
if _spec is not None and _spec.loader is not None:
    sys.modules["sitecustomize"] = _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
"""
_WITHOUT_PACKAGE = ("__init__.py", "places.py")


def lay_out(target: str) -> None:
    """Copy what a training's Python imports into a folder, with the metadata by which MLflow finds it."""
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    package, metadata = (os.path.join(target, name) for name in ("reproducibility_runner", _DISTRIBUTION))
    os.makedirs(package)
    os.makedirs(metadata)
    for name in _WITHOUT_PACKAGE:
        shutil.copyfile(os.path.join(source, name), os.path.join(package, name))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(os.path.join(source, "recording"), os.path.join(package, "recording"), ignore=ignored)
    for name, text in (("METADATA", _METADATA), ("entry_points.txt", f"[{GROUP}]\n{ENTRY_POINT}\n")):
        with open(os.path.join(metadata, name), "w", encoding="utf-8") as file:
            file.write(text)
    with open(os.path.join(target, "sitecustomize.py"), "w", encoding="utf-8") as file:
        file.write(_SITECUSTOMIZE)


def variables(target: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that puts the folder on the path of each Python."""
    before = inherited.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([target, *([before] if before else [])])}
