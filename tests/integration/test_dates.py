"""The run's day and the packages, on a real engine: what of an index it reaches, and who may let it move."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from runner.engine.docker import DockerEngine, connect
from runner.errors import MissingFact, NotByThen, RunnerError
from runner.inside import layout
from runner.network import NetworkSettings
from runner.prepare import Prepared, images_of, prepare
from runner.progress import NoProgress
from runner.rerun.provision import lacks_wheels
from runner.schema.reproduction import Verdict
from tests.integration.test_provision import Case, own_commit, refused
from tests.support.judging import Judge, why
from tests.support.package_index import PackageIndex
from tests.support.projects import REQUIREMENTS, START_MS, RecordedProject

YEAR_2021 = datetime(2021, 1, 1, tzinfo=timezone.utc)
EARLY, MAY, LATE = "2020-06-01T00:00:00.000000Z", "2021-05-01T00:00:00.000000Z", "2022-06-01T00:00:00.000000Z"


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return Case(shared_engine, images_of(shared_images), cache_volume)


@pytest.fixture
def index() -> PackageIndex:
    with PackageIndex() as index:
        yield index


def test_a_pin_is_had_whenever_it_was_uploaded_and_what_is_open_as_of_the_day(case: Case, index: PackageIndex) -> None:
    index.add_wheel("fixed", "1.0", None, "below", upload_time=LATE)
    for name in ("open", "below"):
        index.add_wheel(name, "1.0", upload_time=EARLY)
        index.add_wheel(name, "2.0", upload_time=LATE)
    made = case.provision(case.plan("fixed==1.0\nopen\n", as_of=YEAR_2021), index)
    assert made.packages == {"fixed": "1.0", "open": "1.0", "below": "1.0"}
    assert made.as_of == YEAR_2021


def test_a_pin_needs_no_upload_time(case: Case) -> None:
    with PackageIndex(dated=False) as index:
        index.add_wheel("fixed", "1.0")
        index.add_wheel("fixed", "2.0")
        assert case.provision(case.plan("fixed==1.0\n", as_of=YEAR_2021), index).packages["fixed"] == "1.0"


def test_a_version_that_only_a_source_archive_has_is_chosen_as_pip_chooses_it_and_built(
    case: Case, index: PackageIndex
) -> None:
    index.add_wheel("asks", "1.0", upload_time=EARLY)
    index.add_wheel("asks", "2.0", None, "lean>=1.1", upload_time=EARLY)
    index.add_wheel("lean", "1.0", upload_time=EARLY)
    index.add_source("lean", "1.1", "def module(): return ''\n", upload_time=EARLY)
    index.add_source("lean", "1.2", "def module(): return ''\n", upload_time=LATE)
    made = case.provision(case.plan("asks\n", as_of=YEAR_2021, commit=own_commit()), index)
    assert (made.packages["asks"], made.packages["lean"]) == ("2.0", "1.1")
    assert made.built_from_source == ("lean==1.1",)


ASKS_FOR_MORE = """
def get_requires_for_build_wheel(_): return ["helper"]
def module():
    import helper, maker
    return f"made = {maker.version!r}, {helper.version!r}"
"""


def test_what_building_asks_for_is_as_of_the_day_too(case: Case, index: PackageIndex) -> None:
    for name in ("maker", "helper"):
        index.add_wheel(name, "1.0", upload_time=EARLY)
        index.add_wheel(name, "2.0", upload_time=MAY)
    index.add_source("thing", "1.0", ASKS_FOR_MORE, requires=("maker",), upload_time=EARLY)
    commit = own_commit()
    made = case.provision(case.plan("thing==1.0\n", as_of=YEAR_2021, commit=commit), index)
    assert case.python(made, "import thing; print(*thing.made)").split() == ["1.0", "1.0"]
    # The same commit, run on another day: nothing of what was built for the first is taken.
    later = datetime(2023, 1, 1, tzinfo=timezone.utc)
    other = case.provision(case.plan("thing==1.0\n", as_of=later, commit=commit), index)
    assert case.python(other, "import thing; print(*thing.made)").split() == ["2.0", "2.0"]
    # One that was uploaded after the day can only be pinned; it is built as on its own day.
    index.add_source("thing", "1.1", ASKS_FOR_MORE, requires=("maker>1",), upload_time=LATE)
    pinned = case.provision(case.plan("thing==1.1\n", as_of=YEAR_2021, commit=commit), index)
    assert case.python(pinned, "import thing; print(*thing.made)").split() == ["2.0", "2.0"]


def test_a_later_day_stands_in_only_where_the_auditor_allows_it_and_it_is_the_first_that_works(
    case: Case, index: PackageIndex
) -> None:
    index.add_source("part", "1.0", "def module(): raise SystemExit('gcc: not found')\n", upload_time=EARLY)
    index.add_wheel("part", "1.1", upload_time=MAY)
    index.add_wheel("part", "1.2", upload_time=LATE)
    commit, day = own_commit(), datetime(2021, 4, 20, tzinfo=timezone.utc)
    error = refused(case, case.plan("part\n", as_of=day, commit=commit), index)
    assert isinstance(error, NotByThen)
    assert error.cause == "part 1.0 has no wheel for this Python and building it failed: no compiler (gcc)"
    assert error.remedy.startswith("runner reproduce RUN --allow redate  ")
    plan = case.plan("part\n", as_of=day, commit=commit, allow=("redate",))
    made = case.provision(plan, index)
    # Tried a day, a week and a month later.
    assert (made.packages["part"], made.as_of) == ("1.1", datetime(2021, 5, 20, tzinfo=timezone.utc))
    assert made.redated == error.cause
    again = case.provision(plan, index)
    assert again.cached
    assert (again.as_of, again.redated) == (made.as_of, made.redated)


def test_no_day_moves_a_pin(case: Case, index: PackageIndex) -> None:
    index.add_source("part", "1.0", "def module(): raise SystemExit('gcc: not found')\n", upload_time=EARLY)
    index.add_wheel("part", "1.1", upload_time=MAY)
    error = refused(case, case.plan("part==1.0\n", as_of=YEAR_2021, commit=own_commit(), allow=("redate",)), index)
    assert isinstance(error, MissingFact)
    assert not isinstance(error, NotByThen)
    assert "--allow redate" not in error.remedy


def test_what_no_day_before_had_is_said_and_a_conflict_of_any_day_is_none_of_the_days(
    case: Case, index: PackageIndex
) -> None:
    index.add_wheel("young", "1.0", upload_time=LATE)
    index.add_wheel("above", "1.0", None, "young>1", upload_time=EARLY)
    error = refused(case, case.plan("young\n", as_of=YEAR_2021), index)
    assert isinstance(error, NotByThen)
    assert error.cause.startswith("the packages of 2021-01-01 cannot be had together: ")
    never = refused(case, case.plan("above\nyoung\n", as_of=YEAR_2021), index)
    assert isinstance(never, MissingFact)
    assert not isinstance(never, NotByThen)
    assert "above" in never.cause


def test_upload_times_that_the_auditor_brings_date_an_index_that_has_none(case: Case) -> None:
    with PackageIndex(dated=False, userinfo="reader:geheim-5678", html_pages=True) as index:
        index.add_wheel("quiet", "1.0")
        index.add_wheel("quiet", "2.0")
        index.add_source("plain", "1.0", "def module(): return ''\n")
        plan = case.plan("quiet\nplain\n", as_of=YEAR_2021, commit=own_commit())
        times = {"quiet-1.0-py3-none-any.whl": EARLY, "quiet-2.0-py3-none-any.whl": LATE, "plain-1.0.tar.gz": EARLY}
        made = case.provision(plan, index.address_with_credentials, upload_times=times)
        del times["plain-1.0.tar.gz"]
        error = refused(case, case.plan("plain\n", as_of=YEAR_2021), index.address_with_credentials, upload_times=times)
    assert (made.packages["quiet"], made.packages["plain"]) == ("1.0", "1.0")
    assert made.built_from_source == ("plain==1.0",)
    assert isinstance(error, MissingFact)
    assert "neither the package index nor --index-dates says when plain-1.0.tar.gz was uploaded" in error.cause
    assert "geheim" not in case.shell(f"grep -rl geheim {layout.CACHE} || true")


def test_a_version_that_never_was_is_named_with_those_next_to_it_on_that_day(case: Case, index: PackageIndex) -> None:
    for version, day in (("0.9", EARLY), ("1.0", EARLY), ("1.2", EARLY), ("1.1", LATE), ("2.0", LATE)):
        index.add_wheel("known", version, upload_time=day)
    error = refused(case, case.plan("known==1.0.5\n", as_of=YEAR_2021), index)
    assert isinstance(error, MissingFact)
    assert error.cause == (
        "known==1.0.5 is not on the package index: it never was, or has been removed; "
        "the nearest on 2021-01-01: 1.0 before it and 1.2 after it"
    )
    assert error.remedy == "runner reproduce RUN --with known==1.0"
    assert error.nearest == ("known==1.0 (uploaded 2020-06-01)", "known==1.2 (uploaded 2020-06-01)")


def test_a_package_for_another_python_is_named_with_the_python_that_would_do(case: Case, index: PackageIndex) -> None:
    index.add_wheel("modern", "1.0", requires_python=">=3.13")
    error = refused(case, case.plan("modern==1.0\n"), index)
    assert isinstance(error, MissingFact)
    assert error.cause == "modern==1.0 needs Python >=3.13, and the plan's Python is 3.11"
    assert error.remedy.startswith("runner reproduce RUN --python 3.13 ")


def test_a_yanked_version_is_had_where_it_is_pinned_and_said_and_not_chosen_where_it_is_not(
    case: Case, index: PackageIndex
) -> None:
    index.add_wheel("hasty", "1.0", upload_time=EARLY)
    index.add_wheel("hasty", "1.1", upload_time=EARLY, yanked="loses data")
    pinned = case.provision(case.plan("hasty==1.1\n", as_of=YEAR_2021), index)
    assert pinned.packages["hasty"] == "1.1"
    note = "hasty 1.1 has been yanked from its index (loses data): taken, since it is pinned"
    assert note in pinned.notes
    assert case.provision(case.plan("hasty\n", as_of=YEAR_2021), index).packages["hasty"] == "1.0"


def test_what_a_replaced_version_needs_beyond_a_lock_is_as_of_the_day(case: Case, index: PackageIndex) -> None:
    index.add_wheel("one", "1.0", upload_time=EARLY)
    index.add_wheel("one", "3.0", None, "new", upload_time=LATE)
    index.add_wheel("new", "1.0", upload_time=EARLY)
    index.add_wheel("new", "2.0", upload_time=LATE)
    text = f"one==1.0 --hash=sha256:{'a' * 64}\n"
    made = case.provision(case.plan(text, as_of=YEAR_2021, overrides=("one==3.0",), exact=True), index)
    assert (made.packages["one"], made.packages["new"]) == ("3.0", "1.0")


def test_a_python_lacks_what_others_have_a_wheel_of_and_not_what_must_be_built_on_all(
    case: Case, index: PackageIndex, engine: DockerEngine, cache_volume: str
) -> None:
    index.add_wheel("asks", "1.0", None, "lean", upload_time=EARLY)
    index.add_source("lean", "1.0", "def module(): return ''\n", upload_time=EARLY)

    def lacking(text: str, **options: object) -> str | None:
        network = NetworkSettings(index_url=index.address)
        plan = case.plan(text, as_of=YEAR_2021)
        return lacks_wheels(
            engine, plan, volume=cache_volume, network=network, progress=NoProgress(), offline=False, **options
        )

    assert lacking("asks\n") is None
    other = ("heavy-1.0-cp39-cp39-manylinux2014_x86_64.whl", ("heavy", b""))
    index.add_source("heavy", "1.0", "def module(): return ''\n", upload_time=EARLY)
    index.files[other[0]] = other[1]
    assert lacking("asks\nheavy\n") == "heavy 1.0 has no wheel for it"
    index.dated = False
    index.about.clear()
    index.files.pop("lean-1.0.tar.gz")
    index.add_wheel("lean", "2.0")
    times = {"asks-1.0-py3-none-any.whl": EARLY, "lean-2.0-py3-none-any.whl": EARLY}
    assert lacking("asks\nlean==2.0\n", upload_times=times) is None


OF_THEIR_DAYS = [
    ("3.9", "2021-03-01", "mlflow=1.14.0 numpy=1.20.1 pandas=1.2.2 scikit-learn=0.24.1 databricks-cli=0.14.2"),
    ("3.9", "2022-03-01", "mlflow=1.24.0 numpy=1.22.2 pandas=1.4.1 scikit-learn=1.0.2 databricks-cli=0.16.4"),
    ("3.11", "2023-06-01", "mlflow=2.3.2 numpy=1.24.3 pandas=2.0.2 scikit-learn=1.2.2 databricks-cli=0.17.7"),
    ("3.13", "2026-11-20", "mlflow=3.17.2 numpy=2.5.5 pandas=3.1.1 scikit-learn=1.9.1"),
]


@pytest.mark.full
@pytest.mark.parametrize(("python", "day", "versions"), OF_THEIR_DAYS)
def test_an_unpinned_list_gets_what_pip_installed_on_that_day(
    python: str, day: str, versions: str, shared_engine: DockerEngine, cache_volume: str
) -> None:
    case = Case(shared_engine, images_of(prepare(shared_engine, python=python)), cache_volume)
    moment = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    plan = case.plan("mlflow\nscikit-learn\npandas\n", python=python, as_of=moment, commit=own_commit())
    made = case.provision(plan)
    wanted = dict(text.split("=") for text in versions.split())
    assert {name: made.packages[name] for name in wanted} == wanted
    assert case.python(made, "import mlflow, sklearn, pandas; print(mlflow.__version__)").strip() == wanted["mlflow"]


class Watching(NoProgress):
    """Tells when a build begins."""

    def __init__(self) -> None:
        self.building = threading.Event()

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        if text.startswith("building slow"):
            self.building.set()


def test_a_build_that_was_killed_half_way_is_done_again(case: Case, index: PackageIndex) -> None:
    index.add_source("slow", "1.0", "import time\ntime.sleep(4)\ndef module(): return 'whole = True'\n")
    plan, watching, killed = case.plan("slow==1.0\n", commit=own_commit()), Watching(), connect()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(case.provision, plan, index, engine=killed, progress=watching)
        assert watching.building.wait(60)
        time.sleep(2)
        killed.close()
        with pytest.raises(RunnerError):
            running.result()
    assert case.shell(f"find {layout.BUILT} -name 'slow*.whl'") == ""
    made = case.provision(plan, index)
    assert case.python(made, "import slow; print(slow.whole)").strip() == "True"


@pytest.mark.full  # every change holds the same by the phase alone (above), and by the verdict's values
def test_a_later_day_is_in_the_verdicts_reason_and_so_is_what_the_auditor_replaced(
    project: RecordedProject, judge: Judge, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = datetime.fromtimestamp(START_MS / 1000, timezone.utc)
    index.add_source("part", "1.0", "def module(): raise SystemExit('gcc: not found')\n", upload_time=EARLY)
    soon = (day + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    index.add_wheel("part", "1.1", None, "more", upload_time=soon)
    index.add_wheel("more", "1.0", upload_time=EARLY)
    index.add_wheel("more", "0.9", upload_time=EARLY)
    monkeypatch.setenv("UV_INDEX", index.address)  # beside PyPI, which has MLflow
    project.commit_training(files={"requirements.txt": REQUIREMENTS + "part\n"})
    project.record()
    stopped = judge(python="3.11")
    assert stopped.verdict is Verdict.UNVERIFIABLE
    assert stopped.missing is not None
    remedy = stopped.missing.remedy
    assert remedy.startswith(f"runner reproduce {stopped.run.id} --allow redate --tracker {project.tracker} ")
    assert "--python 3.11    to take the packages of the first later day that has them" in remedy
    done = judge(python="3.11", allow=("redate",), with_packages=("more==0.9",))
    assert done.verdict is Verdict.IDENTICAL, why(done)
    words = f"packages as of {day + timedelta(days=7):%Y-%m-%d}, those of {day:%Y-%m-%d} could not be had"
    assert done.reason.endswith(f"; {words}")
    assert any(line.startswith(f"--allow redate: {words}: part 1.0 has no wheel") for line in done.not_verified)
    assert "environment: changed by --with more==0.9" in done.not_verified
    assert done.rerun is not None
    assert (done.rerun.environment.packages["part"], done.rerun.environment.packages["more"]) == ("1.1", "0.9")
