"""What is said of packages that cannot be had, from what an index has of them."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from runner.inside.packages import diagnosis, index_pages
from runner.inside.packages.diagnosis import explained, no_such_version, no_wheels, other_python
from runner.inside.packages.index_access import moment_of
from runner.inside.packages.index_pages import IndexFile, files_of
from runner.inside.packages.requirements import pinned_here
from runner.inside.packages.stand_ins import StandIns
from runner.inside.packages.uv import IndexSettings, Unsatisfiable
from runner.inside.protocol import UNAVAILABLE, PhaseError

MINOR = sys.version_info[1]


def page(*entries: dict[str, Any]) -> Any:
    return lambda *_: [dict(entry) for entry in entries]


def files(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> tuple[IndexFile, ...]:
    monkeypatch.setattr(index_pages, "page", page(*entries))
    return files_of("thing", IndexSettings())


def wheel(version: str, tags: str = "py3-none-any", **more: Any) -> dict[str, Any]:
    return {"filename": f"thing-{version}-{tags}.whl", **more}


def said(error: PhaseError | None) -> tuple[str, str]:
    assert error is not None
    return error.event["cause"], error.event["remedy"]


def test_the_nearest_versions_are_those_of_that_day_in_the_order_of_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    there = files(
        monkeypatch,
        *(wheel(version, **{"upload-time": "2020-01-01T00:00:00Z"}) for version in ("1.2", "1.9", "1.11", "1.13rc1")),
        wheel("1.10.1", **{"upload-time": "2022-01-01T00:00:00Z"}),
        wheel("1.9.9", **{"upload-time": "2020-01-01T00:00:00Z", "yanked": "bad"}),
    )
    cause, remedy = said(no_such_version("thing", "1.10", there, "2021-01-01T00:00:00Z"))
    assert cause.endswith("the nearest on 2021-01-01: 1.9 before it and 1.11 after it")
    assert remedy == "runner reproduce RUN --with thing==1.9"
    cause, _ = said(no_such_version("thing", "2", there, "2021-01-01T00:00:00Z"))
    assert cause.endswith("the nearest on 2021-01-01: 1.11 before it")
    cause, _ = said(no_such_version("thing", "0.1", there, "2019-01-01T00:00:00Z"))
    assert cause.endswith("the nearest: 1.2 after it")


def test_a_version_that_is_there_is_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_such_version("thing", "1.0.0", files(monkeypatch, wheel("1.0")), None) is None


def test_pythons_that_would_do_are_those_with_a_wheel_the_nearest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    linux = "manylinux_2_17_x86_64.manylinux2014_x86_64"
    monkeypatch.setattr(index_pages.platform, "machine", lambda: "x86_64")
    older, oldest, newer = MINOR - 1, MINOR - 3, MINOR + 2
    there = files(
        monkeypatch,
        *(wheel("2.4", f"cp3{minor}-cp3{minor}-{linux}") for minor in (oldest, older)),
        wheel("2.4", f"cp3{MINOR}-cp3{MINOR}-win_amd64"),
        wheel("2.5", f"cp3{MINOR}-cp3{MINOR}-macosx_11_0_arm64"),
        wheel("2.5", f"cp3{newer}-abi3-{linux}"),
    )
    cause, remedy = said(no_wheels("thing", "2.4", there))
    assert cause == f"thing==2.4 needs Python 3.{oldest} or 3.{older}, and the plan's Python is 3.{MINOR}"
    assert remedy == f"runner reproduce RUN --python 3.{older}    or 3.{oldest}"
    _, remedy = said(no_wheels("thing", "2.5", there))
    assert remedy.startswith(f"runner reproduce RUN --python 3.{newer}    or 3.{newer + 1}")


def test_what_may_be_built_here_is_not_said_to_be_for_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    there = files(monkeypatch, {"filename": "thing-1.0.tar.gz"}, wheel("1.0", "cp36-cp36m-win_amd64"))
    assert no_wheels("thing", "1.0", there) is None


def test_a_python_that_can_be_had_comes_before_a_nearer_one_that_perhaps_cannot() -> None:
    near, far = MINOR - 1, MINOR - 2
    error = other_python("thing", "Python <3", [near, far], pythons=("3.99", f"3.{far}"))
    assert said(error)[1] == f"runner reproduce RUN --python 3.{far}    or 3.{near}"


def test_no_python_is_named_where_none_would_do() -> None:
    assert other_python("thing", "Python <3", []) is None


def unsatisfiable(text: str) -> Unsatisfiable:
    return Unsatisfiable(f"error: No solution found when resolving dependencies\n  cause: {text}\n")


def test_an_index_that_does_not_answer_leaves_the_error_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PhaseError(UNAVAILABLE, "gone", service="index")

    monkeypatch.setattr(index_pages, "page", refuse)
    error = unsatisfiable("Because there is no version of thing==9 and you require thing==9, unsatisfiable.")
    assert explained(error, IndexSettings(), day=None) is error


def test_a_package_for_another_python_is_found_in_uvs_words() -> None:
    error = unsatisfiable(
        f"Because the current Python version (3.{MINOR}.2) does not satisfy Python>=3.{MINOR + 1} and "
        f"networkx==3.5 depends on Python>=3.{MINOR + 1}, we can conclude that networkx==3.5 cannot be used."
    )
    cause, remedy = said(explained(error, IndexSettings(), day=None))
    assert cause == f"networkx==3.5 needs Python >=3.{MINOR + 1}, and the plan's Python is 3.{MINOR}"
    assert remedy.startswith(f"runner reproduce RUN --python 3.{MINOR + 1}")


def test_a_conflict_of_pins_keeps_uvs_own_words() -> None:
    error = unsatisfiable("Because a==1 depends on b<2 and you require a==1 and b==2, unsatisfiable.")
    assert diagnosis.explained(error, IndexSettings(), day=None) is error


def test_pins_are_what_is_fixed_for_this_python() -> None:
    lines = [
        "Fixed_One==1.0 --hash=sha256:00",
        "extra[more]==2.0",
        "exact===3",
        "open>=1",
        "wild==1.*",
        "numpy==1.19 ; python_version < '3'",
        "here==1 ; python_version >= '3'",
        "only==1 ; extra == 'dev'",
        "own @ file:///cache/own.whl",
        "-e .",
    ]
    assert pinned_here(lines) == {"fixed-one": "1.0", "extra": "2.0", "exact": "3", "here": "1"}


@pytest.mark.parametrize(
    "text", ["2021-05-05T14:18:17.237Z", "2021-05-05T14:18:17.237000+00:00", "2021-05-05T14:18:17.237"]
)
def test_moments_are_read_as_indexes_write_them(text: str) -> None:
    assert moment_of(text) == datetime(2021, 5, 5, 14, 18, 17, 237000, tzinfo=timezone.utc)


def test_only_what_has_no_wheel_here_on_the_day_has_a_stand_in(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def source(version: str, day: str = "2020-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
        return {"filename": f"thing-{version}.tar.gz", "upload-time": day, **more}

    monkeypatch.setattr(
        index_pages,
        "page",
        page(
            *(source(version) for version in ("1.0", "1.1", "2.0rc1")),
            wheel("1.0", **{"upload-time": "2020-01-01T00:00:00Z"}),
            wheel("1.1", **{"upload-time": "2022-01-01T00:00:00Z"}),
            source("1.2", "2022-01-01T00:00:00Z"),
            source("1.3", yanked=True),
            source("1.4", **{"requires-python": "<3"}),
        ),
    )

    def made(pinned: dict[str, str], *built: str) -> set[str]:
        folder = tmp_path / "-".join([*pinned.values(), *built, "x"])
        stand_ins = StandIns(
            folder,
            IndexSettings(),
            as_of="2021-01-01T00:00:00Z",
            pinned=pinned,
            prereleases=False,
            built={("thing", version) for version in built},
        )
        stand_ins.add(["thing"])
        assert not stand_ins.add(["thing"])
        return {path.name.split("-")[1] for path in folder.glob("*.whl")}

    assert made({}) == {"1.1"}
    assert made({}, "1.1") == set()
    # A pin is had whatever the day, and where it is yanked; its wheel of a later day too.
    assert made({"thing": "1.3"}) == {"1.2", "1.3"}
