"""`runner demo`: make a project as its author would have, then audit four of its records and see what comes out.

Two records are honest, one was altered, and of one the data is gone. Each case is an ordinary `reproduce`.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from runner.progress import Progress
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.demo.project import DemoProject
    from runner.engine.docker import DockerEngine

DEFAULT_FOLDER = Path("runner-demo")

_NEXT = (
    ("runner plan diabetes/experiment_v1 --tracker runs/mlruns", "what would be run, and why that"),
    ("runner reproduce diabetes/experiment_v1 --tracker runs/mlruns", "the case in full; -v shows the log"),
    ("runner reproduce diabetes/experiment_v1 --tracker ../altered/mlruns", "the number that differs"),
    ("runner reproduce diabetes/pilot --tracker runs/mlruns", "where its data was looked for"),
)

Reproduce = Callable[[str, Settings], Reproduction]
Show = Callable[[str], None]


class DemoJson(TypedDict):
    """A result as `--json` prints it."""

    name: str
    expected: str
    verdict: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """How one case came out; `seconds` is its wall time."""

    name: str
    expected: Verdict
    verdict: Verdict
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the case has the verdict that it must have."""
        return self.verdict is self.expected

    def to_json(self) -> DemoJson:
        """Return the result for `--json`."""
        return {
            "name": self.name,
            "expected": self.expected.value,
            "verdict": self.verdict.value,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, kw_only=True)
class Case:
    """A record to reproduce, the verdict that it must get, and what is worth seeing in it."""

    name: str
    run: str
    tracker: Path
    expected: Verdict
    look_at: str


def run_demo(
    folder: Path | None,
    *,
    keep: bool,
    progress: Progress,
    engine: DockerEngine,
    reproduce: Reproduce,
    show: Show = lambda _: None,
    base_image: str | None = None,
    install: bool = False,
) -> tuple[DemoResult, ...]:
    """Make the project, reproduce each case, and return how they came out.

    A `folder` that was named is kept; of None the project is made in `DEFAULT_FOLDER` with `keep`, else in a temporary
    folder that is removed. `install` allows to install what the base image is made by. `show` gets each piece of the
    page as soon as it is known. Raises UsageError for a folder that holds anything else, and what `make_project` and
    `reproduce` raise.
    """
    from runner.credentials.indexes import with_index_credentials
    from runner.demo.project import existing_project, make_project
    from runner.network import read_network_settings
    from runner.planning import mirrors_folder
    from runner.prepare import prepare
    from runner.repository.mirror import forget_mirror

    with _chosen_folder(folder, keep=keep) as (place, kept):
        existing_project(place)  # a folder that is not ours is refused before minutes go into images
        with progress.phase("images"):
            image = prepare(engine, base_image=base_image, progress=progress, install=install).tools
        with progress.phase("project"):
            project = make_project(
                place,
                engine=engine,
                image=image,
                network=with_index_credentials(read_network_settings()),
                progress=progress,
            )
        show(describe_project(project, _as_typed(place)))
        try:
            results = reproduce_cases(project, reproduce=reproduce, show=show, base_image=base_image)
        finally:
            if not kept:
                forget_mirror(str(project.repository), mirrors_folder())
        show(describe_end(results, _as_typed(place) if kept else None))
    return results


def reproduce_cases(
    project: DemoProject, *, reproduce: Reproduce, show: Show = lambda _: None, base_image: str | None = None
) -> tuple[DemoResult, ...]:
    """Reproduce each case of a project that is there, and return how they came out."""
    results = []
    for case in demo_cases(project):
        started = time.monotonic()
        reproduction = reproduce(case.run, _settings(project, case, base_image))
        result = DemoResult(
            name=case.name,
            expected=case.expected,
            verdict=reproduction.verdict,
            seconds=time.monotonic() - started,
        )
        results.append(result)
        show(describe_result(result, case, reproduction.reason))
    return tuple(results)


def demo_exit_code(results: tuple[DemoResult, ...]) -> int:
    """Return 0 if there are results and all are as expected, else 1."""
    return 0 if results and all(result.as_expected for result in results) else 1


def demo_cases(project: DemoProject) -> tuple[Case, ...]:
    """Return the four cases, in the order in which they are shown."""
    runs, tracker = project.runs, project.tracker
    return (
        Case(
            name="experiment_v1",
            run=runs["experiment_v1"],
            tracker=tracker,
            expected=Verdict.IDENTICAL,
            look_at="the model pointer at its commit names the pilot's model, and the script has changed since",
        ),
        Case(
            name="experiment_v2",
            run=runs["experiment_v2"],
            tracker=tracker,
            expected=Verdict.IDENTICAL,
            look_at="more data, other parameters: both come from the record",
        ),
        Case(
            name="experiment_v1-altered",
            run=runs["experiment_v1"],
            tracker=project.altered_tracker,
            expected=Verdict.DIVERGED,
            look_at=f"this copy of its record says test_r2 = {project.altered:.4f}; it was {project.recorded:.4f}",
        ),
        Case(
            name="pilot",
            run=runs["pilot"],
            tracker=tracker,
            expected=Verdict.UNVERIFIABLE,
            look_at="the author deleted its data from the remote; nothing is trained on other data instead",
        ),
    )


def describe_project(project: DemoProject, folder: str) -> str:
    """Return what was made, as text."""
    return "\n".join(
        [
            f"A project as its author would have left it, made in {folder}",
            "  project/  scripts, pointers, and the MLflow store runs/mlruns; its history:",
            *(f"    {line}" for line in project.log),
            f"  remote/   the DVC remote; holds data and models of {len(project.runs)} runs, but the pilot's data",
            "  altered/  a copy of the record of experiment_v1 with a better number in it",
            "",
            "Each of these runs is now reproduced from its record alone:",
        ]
    )


def describe_result(result: DemoResult, case: Case, reason: str) -> str:
    """Return how a case came out, as text."""
    end = "as expected" if result.as_expected else f"NOT AS EXPECTED: it should be {result.expected.value}"
    return "\n".join(
        [
            f"{result.verdict.value.upper():<13} {result.name:<22} {result.seconds:5.1f} s  {end}",
            f"              {reason}",
            f"              note: {case.look_at}",
        ]
    )


def describe_end(results: tuple[DemoResult, ...], folder: str | None) -> str:
    """Return the last lines: how many came out as expected and what to type next; `folder` is None if it is gone."""
    right = sum(result.as_expected for result in results)
    lines = ["", f"{right} of {len(results)} as expected."]
    if folder is None:
        return "\n".join([*lines, "The folder is removed. To keep it and try for yourself:", "  runner demo --keep"])
    return "\n".join(
        [
            *lines,
            "Next:",
            f"  cd {shlex.quote(f'{folder}/project')}",
            *(f"  {command:<68} {why}" for command, why in _NEXT),
        ]
    )


def _settings(project: DemoProject, case: Case, base_image: str | None) -> Settings:
    """Return what a person would have said by flags; nothing of the demo's is passed to the audit besides."""
    values = {"tracker": str(case.tracker), "repo": str(project.repository), "base_image": base_image}
    given = {name: value for name, value in values.items() if value is not None}
    return Settings(
        tracker=given["tracker"],
        repo=given["repo"],
        base_image=given.get("base_image"),
        folder=str(project.folder),
        sources={name: "--" + name.replace("_", "-") for name in given},
    )


@contextmanager
def _chosen_folder(folder: Path | None, *, keep: bool) -> Iterator[tuple[Path, bool]]:
    if folder is not None or keep:
        yield (folder or DEFAULT_FOLDER).absolute(), True
        return
    with tempfile.TemporaryDirectory(prefix="runner-demo-") as temporary:
        yield Path(temporary).resolve(), False


def _as_typed(folder: Path) -> str:
    """Return the folder as a person would type it here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
