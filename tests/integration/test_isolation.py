"""What foreign code sees of others, looked at from inside on the real engine: nothing, in training and in building."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.inside import layout
from runner.prepare import Prepared, ensure_build_image, images_of
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.rerun.build import build_request
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.engines import run
from tests.support.projects import RUN_ID, RecordedProject, script
from tests.support.values import make_plan

OTHERS = "belongs-to-another"

# Another environment, another rerun, an object, a build's leavings and a lock, as they lie in the cache.
PLACES = (
    f"environments/{'f' * 16}/lib",
    "work/other/sandbox/workspace/data",
    "work/other/reference",
    "work/other/state",
    "objects/files/md5/00",
    "built/other/jobs/j/output",
    "uv/archive",
    "locks",
)

# A walk through all that can be named, by every way that leads out of a mount.
SEARCH = f"""
import os

def search(top, skipped=("/proc", "/sys", "/dev")):
    for folder, names, files in os.walk(top):
        names[:] = [name for name in names if os.path.join(folder, name) not in skipped]
        assert not any({OTHERS!r} in name for name in [*names, *files]), folder

search("/")
for way in ("/proc/1/root/cache", "/proc/self/root/cache", "/proc/self/cwd/..", "/dev/fd/../../.."):
    if os.path.isdir(way):
        search(way, skipped=("/dev/fd/../../../proc", "/dev/fd/../../../sys", "/dev/fd/../../../dev"))
for guess in ("/var/lib/docker", "/var/lib/containers", "/var/run/docker.sock", "/run/docker.sock", "/run/podman"):
    assert not os.path.exists(guess), guess
mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
# The engine mounts names, resolver and init of its own; podman also empty folders on a read-only root.
engines = ("/etc/", "/run", "/sbin/docker-init", "/usr/sbin/docker-init", "/var/tmp")
own = sorted(mount for mount in mounts if not mount.startswith(("/proc", "/sys", "/dev", *engines)) and mount != "/")
"""


def whole(engine: DockerEngine, image: str, volume: str, text: str) -> str:
    """Run a shell script of the test's own with the whole cache."""
    mounts = (VolumeMount(volume=volume, target=layout.CACHE),)
    ran = run(engine, ContainerRequest(image=image, argv=("bash", "-c", text), purpose="test", mounts=mounts))
    assert ran.outcome.exit_code == 0, ran.err
    return ran.out


@pytest.fixture(scope="module")
def others(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Iterator[None]:
    """What others have in the cache, readable by everybody."""
    tools = shared_images.tools
    lines = [f"mkdir -p /cache/{place}; echo secret > /cache/{place}/{OTHERS}" for place in PLACES]
    whole(shared_engine, tools, cache_volume, "\n".join([*lines, "chmod -R a+rX /cache/work/other"]))
    yield
    left = "rm -rf " + " ".join(f"/cache/{place}/{OTHERS}" for place in PLACES)
    whole(
        shared_engine,
        tools,
        cache_volume,
        f"{left} /cache/work/other /cache/built/other /cache/environments/{'f' * 16}",
    )


@pytest.fixture
def project(tmp_path: Path) -> RecordedProject:
    (tmp_path / "author").mkdir()
    return RecordedProject(tmp_path / "author")


def judged(project: RecordedProject, engine: DockerEngine, text: str, **flags: str) -> Reproduction:
    project.commit_training(text)
    project.record()
    folder = project.folder.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    settings = load_settings(Flags(tracker=str(project.tracker), **flags), {}, folder)
    return reproduce(RUN_ID, settings, progress=NoProgress(), engine=engine).reproduction


def why(reproduction: Reproduction) -> str:
    tail = reproduction.rerun.log_tail if reproduction.rerun is not None else ()
    return "\n".join((reproduction.reason, *tail))


def test_a_training_sees_its_own_workspace_and_environment_alone(
    project: RecordedProject, shared_engine: DockerEngine, others: None
) -> None:
    look = f"""
{SEARCH}
import subprocess, sys
environment = os.path.dirname(os.path.dirname(sys.executable))
assert own == sorted(
    [environment, "/sandbox", "/tmp"]), own
assert os.listdir("/cache") == ["environments"] and os.listdir("/cache/environments") == [os.path.basename(environment)]
for path in (environment + "/x", environment + "/bin/python", "/cache/x", "/cache/environments/x", "/opt/x", "/etc/x"):
    try:
        open(path, "w")
    except OSError:
        continue
    raise SystemExit("could write " + path)
# Data is the cache's own file: it can be read, replaced and linked, and not changed.
data = "data/train.csv"
try:
    os.link(data, "data/link")
except PermissionError:  # kernels that protect links do not even let it be linked
    os.symlink("train.csv", "data/link")
for change in (lambda: open(data, "a"), lambda: os.chmod(data, 0o666), lambda: open("data/link", "r+"),
               lambda: os.chown("data/link", os.getuid(), os.getgid()), lambda: os.utime(data, (1, 1))):
    try:
        change()
    except OSError:
        continue
    raise SystemExit("could change the data")
for command in ("mount --bind / /tmp", "unshare -m true", "mknod /tmp/b b 8 0"):
    assert subprocess.run(command, shell=True, capture_output=True).returncode != 0, command
# The folders that our phases mount or read are in a folder that is not the training's: no link can take their place.
for part in ("workspace", "capture", "home", "tmp"):
    try:
        os.rename("/sandbox/" + part, "/sandbox/away")
    except PermissionError:
        continue
    raise SystemExit("could move " + part)
os.symlink("/cache", "runs-link") if not os.path.lexists("runs-link") else None
search("runs-link/.")
"""
    reproduction = judged(project, shared_engine, script(before=look))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_a_build_sees_its_own_inputs_alone(
    shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str, others: None
) -> None:
    tools, job = shared_images.tools, "built/mine/jobs/j"
    chown = f"chown {layout.TRAINER_UID} /cache/{job}/output"
    whole(shared_engine, tools, cache_volume, f"mkdir -p /cache/{job}/input /cache/{job}/output; {chown}")
    described = {"path": f"/cache/{job}", "subpath": job, "in_workspace": False, "tree": None}
    plan = make_plan(images=images_of(shared_images))
    look = f"""
{SEARCH}
assert own == [
    "/cache/{job}/input", "/cache/{job}/output", "/tmp"], own
assert os.getuid() == {layout.TRAINER_UID} and "CapEff:\\t0000000000000000" in open("/proc/self/status").read()
assert sorted(set(os.listdir("/sys/class/net")) - {{"sit0", "ip6tnl0", "tunl0"}}) == ["lo"]
for path in ("/cache/{job}/input/x", "/cache/{job}/x", "/cache/x", "/opt/x"):
    try:
        open(path, "w")
    except OSError:
        continue
    raise SystemExit("could write " + path)
open("/cache/{job}/output/x", "w").write("mine")
"""
    image = ensure_build_image(shared_engine, plan, progress=NoProgress(), offline=False)
    request = build_request(plan, described, image=image, volume=cache_volume)
    request = replace(request, argv=("python3", "-I", "-c", look))
    ran = run(shared_engine, request)
    assert ran.outcome.exit_code == 0, ran.err
    assert whole(shared_engine, tools, cache_volume, f"cat /cache/{job}/output/x; rm -r /cache/built/mine") == "mine"


@pytest.mark.parametrize("target", ["/", pytest.param("/cache/work/other/sandbox", marks=pytest.mark.full)])
def test_a_link_in_the_place_of_a_folder_leads_no_phase_of_ours_elsewhere(
    project: RecordedProject,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    cache_volume: str,
    others: None,
    target: str,
) -> None:
    """At the end of the training, so that collect meets it: it neither reads nor removes what lies there."""
    after = f"""
import os
os.rename("runs", "away")
for name in ("runs", "away/link", os.environ["HOME"] + "/link", os.environ["REPRO_CAPTURE_DIR"] + "/link"):
    os.symlink({target!r}, name)
"""
    reproduction = judged(project, shared_engine, script(after=after))
    assert reproduction.verdict is Verdict.REPRODUCED, why(reproduction)
    assert "runs/model.bin was not written" in reproduction.reason
    assert reproduction.rerun is not None
    written = [output.path for output in reproduction.rerun.outputs if output.written]
    assert written == ["away/model.bin", "away/model.bin.dvc"], "and nothing that lies behind a link"
    assert OTHERS not in reproduction.to_json()
    kept = f"cat {' '.join(f'/cache/{place}/{OTHERS}' for place in PLACES)}"
    assert whole(shared_engine, shared_images.tools, cache_volume, kept) == "secret\n" * len(PLACES)
