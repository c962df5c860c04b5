"""What is kept between reruns, on a real engine: killed half-way, asked for by two at once, pruned beside reruns."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runner.cache.prune import prune_volume
from runner.engine.docker import DockerEngine, connect
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import DiskFull, IndexUnavailable, InfrastructureError, RunnerError
from runner.inside import layout
from runner.prepare import Prepared, images_of
from tests.integration.test_provision import YEAR_2025, Case, own_commit, refused
from tests.support.command import CommandLine
from tests.support.engines import Pieces
from tests.support.package_index import PackageIndex
from tests.support.projects import RUN_ID, RecordedProject, script


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared) -> Iterator[Case]:
    """Provisions in a volume of this module's own."""
    volume = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    shared_engine.ensure_volume(volume)
    yield Case(shared_engine, images_of(shared_images), volume)
    shared_engine.client.remove_volume(volume)


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as index:
        yield index


def pruned(case: Case, **limits: Any) -> dict[str, int]:
    """Prune a volume, and return how many of each kind were removed."""
    engine = connect()
    try:
        done = prune_volume(engine, image=case.images.tools, volume=case.volume, **limits)
    finally:
        engine.close()
    removed: dict[str, int] = {}
    for line in done["removed"]:
        removed[line["kind"]] = removed.get(line["kind"], 0) + line["count"]
    return removed


def test_a_build_that_was_killed_is_done_again_from_the_start(case: Case, index: PackageIndex) -> None:
    # The first build stops when half of its wheel is where the whole one would be.
    waits = """
import time
def module():
    job = os.environ["VIRTUAL_ENV"].rpartition("/input")[0]
    if WAITS:
        open(job + "/output/dist/slow-1.0-py3-none-any.whl", "wb").write(b"half")
        time.sleep(60)
    return "made = True"
"""
    index.add_source("slow", "1.0", waits.replace("WAITS", "True"))
    plan = case.plan("slow==1.0\n", commit=own_commit())
    killed = connect()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(case.provision, plan, index, engine=killed)
        wait_until(lambda: "slow-1.0" in case.shell(f"find {layout.CACHE} -name '*.whl' -path '*/output/*'"))
        killed.close()  # SIGKILL
        with pytest.raises(RunnerError):
            running.result()
    assert case.shell(f"find {layout.BUILT} -name '*.whl' -not -path '*/output/*'") == ""
    index.files.clear()
    index.add_source("slow", "1.0", waits.replace("WAITS", "False"))
    made = case.provision(plan, index)
    assert case.python(made, "import slow; print(slow.made)").strip() == "True"


def test_pruning_waits_for_an_installation_and_takes_nothing_from_under_it(case: Case, index: PackageIndex) -> None:
    index.add_wheel("waited", "1.0")
    reached, go_on = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        reached.set()
        go_on.wait(30)

    index.before_file = wait
    plan = case.plan("waited\n", as_of=YEAR_2025)
    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(case.provision, plan, index)
        assert reached.wait(30)
        pruning = pool.submit(pruned, case, keep_bytes=0)
        time.sleep(1.5)  # its container runs by now
        assert not pruning.done()
        go_on.set()
        made = making.result()
        removed = pruning.result()
    assert made.packages == {"waited": "1.0"}
    assert removed["environments"] >= 1, "no rerun names it"
    again = case.provision(plan, index)
    assert (again.key, again.cached) == (made.key, False)


@pytest.mark.full
def test_what_a_training_uses_stays_while_everything_else_is_pruned(
    case: Case, project: RecordedProject, tmp_path: Path
) -> None:
    project.commit_training(script(before="print('training now', flush=True)\nimport time\ntime.sleep(6)\n"))
    project.record()
    typed = CommandLine(tmp_path / "here", tracker=project.tracker, REPRO_CACHE_VOLUME=case.volume)
    started = typed.start("reproduce", RUN_ID, "--json", "-v")
    started.wait_for("training now")
    removed = pruned(case, keep_bytes=0, older_than_s=0.001)
    said = started.end()
    assert said.code == 0, said.err
    assert said.document["verdict"] == "identical"
    assert removed.get("objects", 0) >= 1, "the workspace has them by other names"
    key = said.document["rerun"]["environment"]["key"]
    assert ".ready" in case.shell(f"ls -a {layout.ENVIRONMENTS}/{key}")
    assert pruned(case, older_than_s=0.001)["environments"] >= 1, "the rerun has ended"


def test_pruned_wheels_are_fetched_again_and_missed_without_a_network(case: Case, index: PackageIndex) -> None:
    index.add_wheel("fetched", "1.0")
    plan = case.plan("fetched\n", as_of=YEAR_2025)
    made = case.provision(plan, index)
    assert pruned(case, keep_bytes=0)["wheels"] >= 1
    assert case.shell(f"find {layout.UV_CACHE} -name 'fetched*.py' -o -type l") == ""
    error = refused(case, plan, index, offline=True)
    assert isinstance(error, IndexUnavailable)
    again = case.provision(plan, index)
    assert (again.key, again.cached) == (made.key, False)
    assert index.requests.count("files/fetched-1.0-py3-none-any.whl") == 2


def test_a_full_disk_leaves_nothing_that_is_used_or_stays(case: Case, index: PackageIndex) -> None:
    index.add_wheel("large", "1.0", {"large.py": "x = 1\n" * 3_000_000})
    index.add_wheel("small", "1.0")
    name = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    engine = connect()
    engine.client.create_volume(name, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=12m"})
    tiny = Case(engine, case.images, name)
    stop = threading.Event()
    holding = threading.Thread(target=hold, args=(engine, case.images.tools, name, stop))
    try:
        holding.start()  # what is in memory is there as long as a container uses it
        tiny.provision(tiny.plan("small\n", as_of=YEAR_2025), index)
        error = refused(tiny, tiny.plan("small\nlarge\n", as_of=YEAR_2025), index)
        assert isinstance(error, DiskFull)
        assert tiny.shell(f"find {layout.CACHE} -name 'large*.py'; ls -d {layout.UV_CACHE}/.tmp* || true") == ""
        assert len(tiny.shell(f"ls -d {layout.ENVIRONMENTS}/*/").split()) == 1
        assert tiny.provision(tiny.plan("small\n", as_of=YEAR_2025), index).cached
    finally:
        stop.set()
        holding.join()
        engine.client.remove_volume(name)
        engine.close()


def test_a_cache_that_others_use_all_the_time_is_not_pruned_and_that_is_said(case: Case) -> None:
    stop = threading.Event()
    script = f"flock -s {layout.CACHE}/.lock sleep 60"
    engine = connect()
    holding = threading.Thread(target=hold, args=(engine, case.images.tools, case.volume, stop, script))
    holding.start()
    try:
        wait_until(lambda: case.shell(f"flock -xn {layout.CACHE}/.lock true || echo held").strip() == "held")
        with pytest.raises(InfrastructureError, match="nothing was removed"):
            prune_volume(connect(), image=case.images.tools, volume=case.volume, keep_bytes=0, wait_s=0.5)
    finally:
        stop.set()
        holding.join()
        engine.close()


def hold(engine: DockerEngine, image: str, volume: str, stop: threading.Event, script: str = "sleep 120") -> None:
    """Run a container that uses a volume, until told to stop."""
    mounts = (VolumeMount(volume=volume, target=layout.CACHE),)
    request = ContainerRequest(image=image, argv=("sh", "-c", script), purpose="test", mounts=mounts)
    engine.run(request, stdout=Pieces(), stderr=Pieces(), stop=stop)


def wait_until(there: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)
