"""Packages that the tracker recorded, as a list of their own."""

from __future__ import annotations

from runner.plan.constraints import RecordedVersions
from runner.plan.lists.found import PackageList


def recorded_list(recorded: RecordedVersions) -> list[PackageList]:
    """Return the packages that the tracker recorded with the run or its models, for a commit that lists none."""
    if not recorded.pins:
        return []
    name = "requirements.txt"
    return [
        PackageList(
            kind="requirements",
            main=name,
            files={name: recorded.list},
            exact=recorded.whole and not recorded.unpinned,
            complete=False,
            source=recorded.source,
            requirements=tuple(recorded.list.splitlines()),
            notes=(
                "environment: only packages that the tracker recorded; the commit lists none",
                *recorded.notes,
            ),
            recorded=True,
        )
    ]
