"""The packages, Python and platform that were recorded, by the run or at its commit, against those that trained."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from reproducibility_runner.recording.environment import packages_digest
from runner.compare.numerical import likelihood, moves_numbers
from runner.lineage.packages import INSTALLERS, PYTHON, linux_markers, normalise, recorded_packages, same_version
from runner.lineage.training import environment_digest
from runner.plan.lists.pinned import is_complete, pinned_versions, project_name
from runner.schema.comparison import EnvironmentComparison, PackageComparison, PlatformComparison
from runner.schema.plan import Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord

_OS = "wandb.os"
_SHOWN = 5


def compare_environment(record: RunRecord, plan: Plan, rerun: Rerun) -> EnvironmentComparison:
    """Compare each package that was recorded or that trained, Python, and the platform.

    What the run recorded comes before what its commit pins. A logged model lists its direct requirements only, so that
    packages beyond it are `added` where the commit has a lock, and else `unknown`.
    """
    markers = linux_markers(
        rerun.environment.python, re.split(r"[ -]", rerun.hardware.platform)[-1], rerun.hardware.kernel or ""
    )
    by_run = recorded_packages(record, markers, plan.registered).pins
    by_commit = pinned_versions(plan.environment)
    complete = is_complete(plan.environment)
    ran = {normalise(name): version for name, version in rerun.environment.packages.items()}
    packages = []
    for name in sorted({*ran, *by_run} - {PYTHON}):
        if name in by_run:
            packages.append(_compared(name, (by_run[name].version,), ran.get(name), "run"))
        elif by_commit.get(name):
            packages.append(_compared(name, by_commit[name], ran.get(name), "commit"))
        else:
            # Freezing leaves out what installs packages, and a lock need not give the project itself a version.
            listed = name in by_commit or name in INSTALLERS or name == project_name(plan.environment)
            packages.append(
                PackageComparison(
                    name=name,
                    original=None,
                    rerun=ran[name],
                    outcome="added" if complete and not listed else "unknown",
                    moves_numbers=moves_numbers(name),
                )
            )
    counts = Counter(package.outcome for package in packages)
    recorded = environment_digest(record)
    whole = None if recorded is None else recorded.value == packages_digest(rerun.environment.packages)
    return EnvironmentComparison(
        packages=tuple(packages),
        counts={outcome: counts[outcome] for outcome in ("same", "changed", "added", "removed", "unknown")},
        complete=complete,
        python=_python(plan.environment.python_recorded, rerun.environment.python),
        platform=_platform(record, plan, rerun),
        whole=whole,
        whole_source=None if recorded is None else recorded.source,
        reading=_reading(packages, complete=complete, whole=whole),
    )


def _compared(name: str, recorded: Iterable[str], ran: str | None, by: str) -> PackageComparison:
    versions = sorted(recorded)
    same = ran is not None and any(same_version(ran, version) for version in versions)
    return PackageComparison(
        name=name,
        original=ran if same and len(versions) > 1 else " or ".join(versions),
        rerun=ran,
        outcome="same" if same else "removed" if ran is None else "changed",
        recorded_by=by,  # type: ignore[arg-type]  # one of the two
        moves_numbers=moves_numbers(name),
    )


def _python(recorded: str | None, ran: str) -> PackageComparison:
    if recorded is None:
        return PackageComparison(name=PYTHON, original=None, rerun=ran, outcome="unknown")
    same = ".".join(ran.split(".")[: recorded.count(".") + 1]) == recorded
    return PackageComparison(name=PYTHON, original=recorded, rerun=ran, outcome="same" if same else "changed")


def _platform(record: RunRecord, plan: Plan, rerun: Rerun) -> PlatformComparison:
    recorded, ran = recorded_platform(record), rerun.hardware.platform
    same = recorded is not None and recorded.lower() in ran.lower()
    return PlatformComparison(
        original=recorded,
        rerun=ran,
        gpu_original=plan.gpu_recorded,
        gpus_rerun=rerun.capture.gpus,
        outcome="unknown" if recorded is None else "same" if same else "changed",
    )


def recorded_platform(record: RunRecord) -> str | None:
    """Return the platform that W&B recorded, or the system that recorded paths betray; None for neither (rule 25)."""
    told = re.match(r"(?P<system>Linux|Windows|macOS|Darwin)\b", record.tags.get(_OS, ""))
    if told is not None:
        system = "macOS" if told["system"] == "Darwin" else told["system"]
        machine = re.search(r"x86_64|aarch64", record.tags[_OS])
        return system if machine is None or system != "Linux" else f"{system} {machine[0]}"
    places = [record.tags.get("mlflow.source.name", ""), record.artifact_root or ""]
    if any(re.search(r"(?:^|///?)[A-Za-z]:[\\/]", place) for place in places):
        return "Windows"
    if any(re.search(r"(?:^|//)/(?:Users|private/var)/", place) for place in places):
        return "macOS"
    return None


def _reading(packages: Sequence[PackageComparison], *, complete: bool, whole: bool | None) -> str:
    """Return in a line which of the differences could have moved numbers."""
    other = sorted((package for package in packages if package.differs), key=lambda package: likelihood(package.name))
    if whole and not other:
        return f"all {len(packages)} packages as recorded: no package moved numbers"
    known = [package for package in packages if package.recorded_by is not None]
    unknown = [package.name for package in packages if package.outcome == "unknown"]
    groups: dict[str, list[str]] = {"can": [], "perhaps": [], "not by itself": []}
    for package in other:
        groups[package.moves_numbers].append(package.words)
    words = [
        f"{_listed(groups[kind])} {what}"
        for kind, what in (
            ("can", "could move numbers"),
            ("perhaps", "could where the training computes with it"),
            ("not by itself", "cannot by itself"),
        )
        if groups[kind]
    ]
    if not other and known:
        every = "the same packages as recorded" if complete else f"all {len(known)} recorded versions"
        words.append(f"{every}: no package moved numbers" if complete else every)
    if unknown:
        telling = [name for name in sorted(unknown, key=likelihood) if moves_numbers(name) == "can"]
        of_them = f", {_listed(telling)} among them, which could move numbers" if telling else ""
        words.append(f"{len(unknown)} without a recorded version{of_them}")
    if whole is False:
        words.append("not the very set that was recorded, of which the digest alone is known")
    return "; ".join(words)


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
