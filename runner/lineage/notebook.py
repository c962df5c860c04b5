"""Notebooks: the code in their cells, and which of the commit's a kernel ran. Text in, values out."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

KERNELS = frozenset({"ipykernel_launcher.py", "colab_kernel_launcher.py", "ipykernel/__main__.py"})
PAPERMILL = "python -m papermill --no-progress-bar --log-output -k python3"
"""Runs all cells of a notebook; the kernel is that of the environment, whatever the notebook calls its own."""

EXECUTED = "/tmp/executed.ipynb"  # noqa: S108  # of the training's container
NEEDED = ("papermill", "ipykernel")
"""What running a notebook needs, and its author's Jupyter had."""

_MAGIC = re.compile(r"^(?P<indent>\s*)(?P<magic>[%!?].*|[\w, ]+=\s*[!%]\w.*|\w[\w.]*\?\??)$")
_INSTALL = re.compile(r"^\s*[!%]+\s*(?:python3?\s+-m\s+|uv\s+)?(?:pip3?|conda|mamba)\s+install\s+(?P<rest>.+)$")
_TRACKS = re.compile(r"\b(?:mlflow|wandb)\b")
_MOST_NOTEBOOKS = 200


@dataclass(frozen=True)
class Notebook:
    """The code cells of a notebook, in order, without their magics.

    `parameters` is the cell that is tagged so, None where none is. `installs` are the packages that cells install.
    """

    cells: tuple[str, ...]
    parameters: str | None = None
    installs: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """All cells as one source."""
        return "\n\n".join(self.cells) + "\n"


def is_notebook(path: str | None) -> bool:
    """Tell whether a path is a notebook's."""
    return path is not None and path.endswith(".ipynb")


def read_notebook(text: str) -> Notebook | None:
    """Return a notebook of format 4, of Python; None for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        return None
    found: list[str] = []
    installs: list[str] = []
    parameters: str | None = None
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        installs += [line["rest"].strip() for each in source.splitlines() if (line := _INSTALL.match(each))]
        code = _without_magics(source)
        found.append(code)
        if parameters is None and "parameters" in _tags(cell):
            parameters = code
    return Notebook(tuple(found), parameters, tuple(dict.fromkeys(installs)))


def with_code(snapshot: RepositorySnapshot, path: str | None) -> RepositorySnapshot:
    """Return the snapshot with a notebook's code in the place of its JSON: what it imports is read as a script's."""
    if path is None or not is_notebook(path) or path not in snapshot.texts:
        return snapshot
    notebook = read_notebook(snapshot.texts[path])
    return snapshot if notebook is None else snapshot.with_texts({path: notebook.code})


def _tags(cell: dict[str, Any]) -> list[Any]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else []


def _without_magics(source: str) -> str:
    """Return the source of a cell with `pass` where IPython has a language of its own."""
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        # Of the cells in another language nothing is Python; these run theirs as it is.
        return _without_magics(rest) if first.split()[0] in ("%%time", "%%timeit", "%%capture", "%%prun") else ""
    lines = []
    for line in source.splitlines():
        match = _MAGIC.match(line)
        lines.append(f"{match['indent']}pass" if match else line)
    return "\n".join(lines)


def notebook_line(path: str, directory: str = ".") -> str:
    """Return the command that runs a notebook as a whole, in its own folder."""
    inner = posixpath.relpath(path, directory)
    folder = posixpath.dirname(inner)
    line = f"{PAPERMILL} {shlex.quote(posixpath.basename(inner))} {EXECUTED}"
    return f"cd {shlex.quote(folder)} && {line}" if folder else line


def is_kernel(name: str) -> bool:
    """Tell whether a recorded source is the program that runs notebooks, and not the notebook."""
    name = name.strip().strip("\"'").replace("\\", "/")
    return any(name == kernel or name.endswith(f"/{kernel}") for kernel in KERNELS)


def notebook_paths(snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return the notebooks of the commit, without the copies that Jupyter and trackers make."""
    paths = (entry.path for entry in snapshot.tree if entry.kind == "file" and is_notebook(entry.path))
    copies = {".ipynb_checkpoints", "mlruns", "mlartifacts", "node_modules", "site-packages"}
    return tuple(path for path in paths if copies.isdisjoint(path.split("/")))[:_MOST_NOTEBOOKS]


def notebooks_of_kernel(record: RunRecord, snapshot: RepositorySnapshot) -> tuple[tuple[str, ...], str]:
    """Return the notebooks that a kernel may have run, equally good ones side by side, and what speaks for them.

    Those that track at all; of several, those that name the run's experiment; of several, those that name each of its
    metrics, then each of its params.
    """
    codes = {
        path: notebook.code
        for path in notebook_paths(snapshot)
        if (notebook := read_notebook(snapshot.texts.get(path, ""))) is not None and _TRACKS.search(notebook.code)
    }
    found = tuple(codes)
    why = "the commit's only notebook that tracks runs"
    signs: list[tuple[str, Callable[[str], bool]]] = []
    if record.experiment_is_named and record.experiment_name != "Default":
        signs.append(("names its experiment", lambda code: _names(code, [record.experiment_name])))
    signs.append(("names its metrics", lambda code: _names(code, [metric.name for metric in record.metrics])))
    signs.append(("names its params", lambda code: _names(code, list(record.params))))
    for sign, holds in signs:
        if len(found) < 2:
            break
        kept = tuple(path for path in found if holds(codes[path]))
        if kept and len(kept) < len(found):
            found, why = kept, f"the only notebook that {sign}"
    return found, why


def _names(code: str, names: list[str]) -> bool:
    return bool(names) and all(f'"{name}"' in code or f"'{name}'" in code for name in names)
