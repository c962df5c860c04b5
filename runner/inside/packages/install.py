"""Phase 2a, second half: an environment from a lock, by hard links out of uv's cache, at its final place.

Only wheels are installed, and only such whose hash the lock holds: unpacked, never run. uv is given an environment only
while it is empty. Standard library and uv.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.inside import layout, protocol
from runner.inside.packages import bytecode, environment
from runner.inside.packages.environment import Environment, Lock
from runner.inside.packages.resolve import Built, split_built
from runner.inside.packages.uv import Uv, install_arguments

_COMPILE_S = 20.0  # at most; a rerun without compiled modules is slower and not wrong


@dataclass(frozen=True)
class Installation:
    """What an environment is made of.

    `python` is the interpreter that it is made with, `wheels` and `trees` are what was built for this repository,
    kept apart in `build_cache`. `sources` and `direct` say what the training will import: its scripts, and the packages
    that were asked for.
    """

    lock: Lock
    python: str
    python_version: str
    wheels: tuple[Built, ...]
    trees: tuple[Built, ...]
    build_cache: str
    sources: Mapping[str, str]
    direct: tuple[str, ...]


def install(wanted: Installation, uv: Uv) -> Environment:
    """Make an environment unless it is ready, and return its record.

    Whoever comes second waits for the first. Raises WheelsNeeded and PhaseError.
    """
    key = wanted.lock.environment
    with environment.locked(key):
        ready = environment.read_ready(key)
        if ready is not None:
            return ready
        environment.remove(key)
        try:
            record = _make(wanted, uv)
        except BaseException:
            environment.remove(key)
            raise
        environment.write_ready(record)
        return record


def _make(wanted: Installation, uv: Uv) -> Environment:
    folder = environment.environment_path(wanted.lock.environment)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv.run(["venv", "--python", wanted.python, "--no-project", str(folder)])
    interpreter = str(folder / "bin" / "python")
    index, built = split_built(wanted.lock.text, (*wanted.wheels, *wanted.trees))
    built += [wheel for wheel in wanted.trees if wheel not in built]
    if index:
        listing = folder / "lock.txt"
        listing.write_text(index, encoding="utf-8")
        uv.run(install_arguments(str(listing), python=interpreter), by_hash=True)
    if built:
        # In a cache of its own: what foreign code built never enters the shared one.
        _add(folder, [wheel.path for wheel in built], uv.with_cache(wanted.build_cache), python=wanted.python)
    site = environment.site_packages(folder)
    write_pth(site)
    protocol.progress("compiling")
    roots = bytecode.imports_of_sources(wanted.sources) | bytecode.top_level_modules(site, wanted.direct)
    bytecode.compile_reachable(site, sorted(roots), seconds=_COMPILE_S)
    return Environment(
        key=wanted.lock.environment,
        python=wanted.python_version,
        lock=wanted.lock.text,
        packages=environment.freeze(site),
        built_from_source=tuple(f"{wheel.name}=={wheel.version}" for wheel in built),
    )


def _add(folder: Path, wheels: Sequence[Path], uv: Uv, *, python: str) -> None:
    """Add wheels to an environment that holds packages.

    They are unpacked into an empty one and moved: with another cache uv asks the environment's Python what it is, which
    would run the `.pth` files of all that is installed.
    """
    aside = folder / ".aside"
    uv.run(["venv", "--relocatable", "--python", python, "--no-project", str(aside)])
    empty = _files(aside)
    interpreter = str(aside / "bin" / "python")
    uv.run(["pip", "install", "--python", interpreter, "--no-deps", "--no-build", *map(str, wheels)])
    for path in sorted(_files(aside) - empty):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside / path, target)
    shutil.rmtree(aside)


def _files(folder: Path) -> set[Path]:
    return {Path(root, name).relative_to(folder) for root, _, names in os.walk(folder) for name in names}


def write_pth(site: Path) -> None:
    """Put the capture into an environment, by the `.pth` that the capture itself knows how to write."""
    sys.path.insert(0, layout.CAPTURE_PACKAGE)
    try:
        importlib.import_module("reproducibility_runner.install").write_pth(site)
    finally:
        sys.path.remove(layout.CAPTURE_PACKAGE)
