"""Projects locked by the tools themselves, with what each says is then to be installed. Needs the package index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PDM = ("uv", "tool", "run", "pdm@2.12.4")
_PIPENV = ("uv", "tool", "run", "pipenv@2024.4.1")

# Of each tool: its manifest, its lock, how it locks, and how it lists what it would install for a Python.
_TOOLS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "pdm": ("pyproject.toml", "pdm.lock", (*_PDM, "lock"), (*_PDM, "export", "--prod", "--without-hashes")),
    "pipenv": ("Pipfile", "Pipfile.lock", (*_PIPENV, "lock"), (*_PIPENV, "requirements")),
    "uv": (
        "pyproject.toml",
        "uv.lock",
        ("uv", "lock", "--no-python-downloads"),
        ("uv", "export", "--no-hashes", "--no-emit-project", "--no-dev"),
    ),
    "pylock": (
        "requirements.in",
        "pylock.toml",
        ("uv", "pip", "compile", "requirements.in", "-o", "pylock.toml", "--python-version", "3.13"),
        ("uv", "pip", "compile", "requirements.in", "--python-version", "3.13", "--no-header"),
    ),
}


def locked(tool: str, manifest: str, folder: Path) -> tuple[dict[str, str | bytes | None], str]:
    """Return the files of a project that `tool` locked, and the requirements that it then installs."""
    name, lock, locking, listing = _TOOLS[tool]
    folder.mkdir(parents=True)
    (folder / name).write_text(manifest)
    _run(locking, folder)
    listed = _run(listing, folder)
    return {name: manifest, lock: (folder / lock).read_text()}, listed


def _run(command: tuple[str, ...], folder: Path) -> str:
    bin_folder = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PIPENV_IGNORE_VIRTUALENVS": "1",
        "PIPENV_VENV_IN_PROJECT": "1",
        "PIPENV_PYTHON": sys.executable,
        "NO_COLOR": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stdout
