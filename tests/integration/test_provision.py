"""What provisioning must hold, on a real engine: small packages of the real index, and hostile ones of our own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from runner.engine.base_image import ensure_base_image
from runner.engine.docker import DockerEngine, connect
from runner.engine.images import ensure_tools_image
from runner.errors import DiskFull, EngineUnavailable, IndexUnavailable, MissingFact, RunnerError
from runner.inside import layout
from runner.network import NetworkSettings
from runner.progress import NoProgress
from runner.rerun.provision import lacks_wheels, ready_keys
from runner.schema.plan import Images
from runner.schema.rerun import ResolvedEnvironment
from tests.support.package_index import PackageIndex
from tests.support.provisioning import Case, own_commit, refused
from tests.support.values import changed

YEAR_2024 = datetime(2024, 1, 1, tzinfo=timezone.utc)
YEAR_2025 = datetime(2025, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def images(engine: DockerEngine) -> Images:
    base = ensure_base_image(engine)
    tools, digest = ensure_tools_image(engine, base)
    return Images(
        base=base.reference, base_digest=base.digest, base_origin=base.origin, tools=tools, tools_digest=digest
    )


@pytest.fixture(scope="module")
def volume(engine: DockerEngine) -> Iterator[str]:
    name = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    engine.ensure_volume(name)
    yield name
    engine.client.remove_volume(name)


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as index:
        yield index


@pytest.fixture(scope="module")
def case(engine: DockerEngine, images: Images, volume: str) -> Case:
    return Case(engine, images, volume)


@pytest.fixture(scope="module")
def small(case: Case) -> ResolvedEnvironment:
    """six and idna from the real index, as of a day."""
    return case.provision(case.plan("six\nidna<3\n", as_of=YEAR_2024))


def test_unpinned_requirements_resolve_as_of_the_date_to_exact_versions_with_hashes(small: ResolvedEnvironment) -> None:
    assert (small.packages["six"], small.packages["idna"]) == ("1.16.0", "2.10")
    assert not small.cached
    assert all("==" in line and "--hash=sha256:" in line for line in small.lock.splitlines())


def test_a_second_provision_finds_it_ready_and_so_does_restore_in_a_tenth_of_a_second(
    case: Case, small: ResolvedEnvironment
) -> None:
    plan = case.plan("six\nidna<3\n", as_of=YEAR_2024)
    again = case.provision(plan)
    assert again.cached
    assert again == changed(small, cached=True)
    keys = ready_keys(plan)
    seconds, found = json.loads(
        case.shell(
            f"{layout.TOOLS_PYTHON} -I -c \"import sys; sys.path.insert(0, '{layout.LIBRARY}')\n"
            "import json, time; from runner.inside.packages.environment import find_ready\n"
            "def timed():\n"
            "    started = time.perf_counter()\n"
            f"    record = find_ready('{keys['specification']}', '{keys['repository']}')\n"
            "    return time.perf_counter() - started, record\n"
            'print(json.dumps(min((timed() for _ in range(20)), key=lambda one: one[0])))"'
        )
    )
    assert found["key"] == small.key
    assert seconds < 0.1


def test_packages_are_hard_links_into_the_one_cache_and_compiled(case: Case, small: ResolvedEnvironment) -> None:
    site = f"{layout.ENVIRONMENTS}/{small.key}/lib/python3.11/site-packages"
    listing = case.shell(f"stat -c %h {site}/six.py; ls {site}/__pycache__ {site}/idna/__pycache__; ls {site}")
    assert int(listing.split()[0]) >= 2
    assert "six.cpython-311.pyc" in listing
    assert "core.cpython-311.pyc" in listing
    assert ".pth" in listing


def test_the_training_can_import_what_was_installed_and_change_none_of_it(
    case: Case, small: ResolvedEnvironment
) -> None:
    script = (
        "import six, os\n"
        "try: open(six.__file__, 'a'); print('written')\n"
        "except OSError: print('kept')\n"
        "print(six.__version__, os.path.exists(six.__cached__))"
    )
    assert case.python(small, script).split() == ["kept", "1.16.0", "True"]


def test_environments_of_two_locks_share_their_files(case: Case, small: ResolvedEnvironment) -> None:
    other = case.provision(case.plan("six==1.16.0\n"))
    assert other.key != small.key
    path = "lib/python3.11/site-packages/six.py"
    inodes = case.shell(f"cd {layout.ENVIRONMENTS}; stat -c %i {small.key}/{path} {other.key}/{path}").split()
    assert inodes[0] == inodes[1]


def test_a_package_without_a_wheel_is_built_apart_and_only_for_its_repository_and_commit(case: Case) -> None:
    plan = case.plan("docopt==0.6.2\n", commit=own_commit())
    made = case.provision(plan)
    assert made.built_from_source == ("docopt==0.6.2",)
    assert any("docopt 0.6.2 was built from source" in note for note in made.notes)
    assert case.python(made, "import docopt; print(docopt.__version__)").strip() == "0.6.2"
    assert case.provision(plan).cached
    assert case.provision(changed(plan, lineage=changed(plan.lineage, commit=own_commit()))).key != made.key
    # Nothing of it is in the shared store.
    assert case.shell(f"find {layout.UV_CACHE} -name 'docopt*.whl' -o -path '*archive*' -name 'docopt.py'") == ""
    assert case.shell(f"ls {layout.BUILT}/*/jobs").replace("\n", "").count("docopt") == 0


def test_a_package_that_no_index_has_is_a_missing_fact_that_names_it(case: Case) -> None:
    error = refused(case, case.plan("six\nno-such-package-of-the-runner==1.0\n"))
    assert isinstance(error, MissingFact)
    assert error.fact == "environment"
    assert "no-such-package-of-the-runner" in error.cause
    assert "--with" in error.remedy


def test_pins_that_contradict_each_other_are_a_missing_fact_with_the_reason(case: Case) -> None:
    error = refused(case, case.plan("requests==2.31.0\nurllib3==1.20\n"))
    assert isinstance(error, MissingFact)
    assert "urllib3>=1.21.1,<3" in error.cause


def test_a_recorded_version_that_fits_no_others_is_a_missing_fact_with_a_remedy_that_works(case: Case) -> None:
    plan = case.plan("requests==2.31.0\n", as_of=YEAR_2024, constraints=("idna==3.4", "urllib3==1.20"))
    error = refused(case, plan)
    assert isinstance(error, MissingFact)
    assert error.cause.startswith("urllib3==1.20 as the run recorded cannot be had with the rest: Because")
    assert error.remedy == "runner reproduce RUN --with urllib3==2.1.0"
    found = case.provision(
        case.plan("requests==2.31.0\n", as_of=YEAR_2024, constraints=("idna==3.4",), overrides=("urllib3==2.1.0",))
    )
    assert (found.packages["idna"], found.packages["urllib3"]) == ("3.4", "2.1.0")


def test_a_recorded_version_stands_in_the_place_of_the_lists_and_both_are_named_where_it_fits_no_others(
    case: Case,
) -> None:
    text = "requests==2.31.0\nurllib3==1.26.18\n"
    found = case.provision(case.plan(text, as_of=YEAR_2024, recorded_overrides=("urllib3==2.1.0",)))
    assert found.packages["urllib3"] == "2.1.0"
    error = refused(case, case.plan(text, as_of=YEAR_2024, recorded_overrides=("urllib3==1.20",)))
    assert isinstance(error, MissingFact)
    assert error.cause.startswith("urllib3==1.20 as the run recorded cannot be had with the rest: Because")
    assert error.cause.endswith("; requirements.txt asks for urllib3==1.26.18")
    assert error.remedy == "runner reproduce RUN --with urllib3==1.26.18"


def test_another_python_than_the_images_is_a_missing_fact(case: Case) -> None:
    error = refused(case, case.plan("six\n", python="3.8"))
    assert isinstance(error, MissingFact)
    assert "needs Python 3.8" in error.cause


def test_a_build_that_fails_is_a_missing_fact_with_what_was_missing_and_the_end_of_its_log(
    case: Case, index: PackageIndex
) -> None:
    prologue = "def module():\n    print('first words')\n    raise SystemExit('gcc: not found')\n"
    index.add_source("broken", "1.0", prologue)
    error = refused(case, case.plan("broken\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    assert "broken 1.0 has no wheel for this Python and building it failed: no compiler" in error.cause
    assert "gcc: not found" in error.nearest


def test_a_build_that_gives_another_package_is_refused(case: Case, index: PackageIndex) -> None:
    content = "import shutil\nreal = 1\ndef module(): return ''\n"
    trick = """
class Other(zipfile.ZipFile):
    def __init__(self, path, mode):
        super().__init__(path.replace("sly-1.0", "numpy-9.9"), mode)
zipfile.ZipFile = Other
"""
    index.add_source("sly", "1.0", content + trick)
    error = refused(case, case.plan("sly\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    assert "gave no wheel" in error.cause


def test_an_index_that_cannot_date_its_files_is_a_missing_fact_unless_allowed(case: Case) -> None:
    with PackageIndex(dated=False) as index:
        index.add_wheel("undated", "1.0")
        error = refused(case, case.plan("undated\n", as_of=YEAR_2025), index)
        assert isinstance(error, MissingFact)
        assert "--allow undated" in error.remedy
        made = case.provision(case.plan("undated\n", as_of=YEAR_2025, allow=("undated",)), index)
    assert made.packages["undated"] == "1.0"


def test_an_index_that_refuses_is_infrastructure_and_its_credentials_are_not_told(case: Case) -> None:
    with PackageIndex(userinfo="reader:right") as index:
        index.add_wheel("closed", "1.0")
        address = index.address.replace("http://", "http://reader:wrong-geheim@")
        error = refused(case, case.plan("closed\n"), address)
    assert isinstance(error, IndexUnavailable)
    assert "geheim" not in f"{error.cause}{error.remedy}"


def test_an_index_with_credentials_gives_packages_and_source_archives(case: Case) -> None:
    with PackageIndex(userinfo="reader:geheim-5678") as index:
        index.add_wheel("closed_wheel", "1.0")
        index.add_source("closed_source", "1.0", "def module(): return ''\n")
        plan = case.plan("closed-wheel\nclosed-source\n", commit=own_commit())
        made = case.provision(plan, index.address_with_credentials)
    assert {"closed-wheel", "closed-source"} <= set(made.packages)


def test_a_lock_with_other_hashes_than_the_index_serves_is_a_missing_fact(case: Case, index: PackageIndex) -> None:
    index.add_wheel("locked", "1.0")
    error = refused(case, case.plan(f"locked==1.0 --hash=sha256:{'0' * 64}\n"), index)
    assert isinstance(error, MissingFact)
    assert "other bytes of locked==1.0" in error.cause


def test_hashed_requirements_are_installed_as_they_are(case: Case, index: PackageIndex) -> None:
    digest = hashlib.sha256(index.add_wheel("locked", "1.0")).hexdigest()
    index.add_wheel("locked", "2.0")
    made = case.provision(case.plan(f"locked==1.0 \\\n    --hash=sha256:{digest}\n"), index)
    assert made.packages == {"locked": "1.0"}
    assert made.lock == f"locked==1.0 --hash=sha256:{digest}\n"


def uv_lock(index: PackageIndex, wheel: bytes, source: bytes) -> dict[str, str]:
    """A project with a lock, whose packages lie on our index: one wheel, one source archive."""
    registry = "https://pypi.org/simple"  # where its author had them from
    one, two = hashlib.sha256(wheel).hexdigest(), hashlib.sha256(source).hexdigest()
    return {
        "app/pyproject.toml": '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        'dependencies = ["one", "two"]\n[tool.uv]\npackage = false\n',
        "app/uv.lock": f'''version = 1
requires-python = ">=3.9"

[[package]]
name = "app"
version = "1"
source = {{ virtual = "." }}
dependencies = [{{ name = "one" }}, {{ name = "two" }}]

[package.metadata]
requires-dist = [{{ name = "one" }}, {{ name = "two" }}]

[[package]]
name = "one"
version = "1.0"
source = {{ registry = "{registry}" }}
wheels = [{{ url = "https://files.example/one-1.0-py3-none-any.whl", hash = "sha256:{one}", size = 1 }}]

[[package]]
name = "two"
version = "1.0"
source = {{ registry = "{registry}" }}
sdist = {{ url = "https://files.example/two-1.0.tar.gz", hash = "sha256:{two}", size = 1 }}
''',
    }


def test_a_uv_lock_is_taken_as_it_is_and_what_it_has_only_as_source_is_built(case: Case, index: PackageIndex) -> None:
    wheel = index.add_wheel("one", "1.0")
    index.add_wheel("one", "2.0")
    source = index.add_source("two", "1.0", "def module(): return 'two = 2'\n")
    fields: dict[str, Any] = {
        "kind": "uv.lock",
        "root": "app",
        "main": "app/uv.lock",
        "files": uv_lock(index, wheel, source),
    }
    made = case.provision(case.plan(commit=own_commit(), **fields), index)
    assert made.packages == {"one": "1.0", "two": "1.0"}
    assert made.built_from_source == ("two==1.0",)
    assert case.python(made, "import two; print(two.two)").strip() == "2"


def test_a_source_archive_with_other_bytes_than_the_lock_records_is_not_built(case: Case, index: PackageIndex) -> None:
    wheel = index.add_wheel("one", "1.0")
    index.add_source("two", "1.0", "def module(): return 'changed since'\n")
    fields: dict[str, Any] = {
        "kind": "uv.lock",
        "root": "app",
        "main": "app/uv.lock",
        "files": uv_lock(index, wheel, b"what it was"),
    }
    error = refused(case, case.plan(commit=own_commit(), **fields), index)
    assert isinstance(error, MissingFact)
    assert "than the lock at the commit records" in error.cause


def test_with_replaces_one_version_of_a_lock(case: Case, index: PackageIndex) -> None:
    wheel = index.add_wheel("one", "1.0")
    index.add_wheel("one", "1.5")
    source = index.add_source("two", "1.0", "def module(): return ''\n")
    fields: dict[str, Any] = {
        "kind": "uv.lock",
        "root": "app",
        "main": "app/uv.lock",
        "files": uv_lock(index, wheel, source),
    }
    made = case.provision(case.plan(commit=own_commit(), overrides=("one==1.5",), **fields), index)
    assert made.packages == {"one": "1.5", "two": "1.0"}


PYPROJECT = """
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"
[project]
name = "own-project"
version = "0.3"
dependencies = ["six==1.16.0"]
[tool.setuptools.packages.find]
where = ["src"]
"""


def test_the_repository_itself_is_installed_so_that_it_leads_to_the_workspace(case: Case, tmp_path: Path) -> None:
    package = tmp_path / "src" / "own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("bundle", "create", "-q", "b.bundle", "HEAD")
    plan = case.plan(
        commit=git("rev-parse", "HEAD"),
        kind="pyproject",
        main="pyproject.toml",
        files={"pyproject.toml": PYPROJECT},
        install_project=True,
    )
    made = case.provision(plan, bundle=tmp_path / "b.bundle")
    assert made.packages["own-project"] == "0.3"
    assert made.packages["six"] == "1.16.0"
    assert any("linked to the workspace" in note for note in made.notes)
    links = case.shell(f"cat {layout.ENVIRONMENTS}/{made.key}/lib/python3.11/site-packages/*own*.pth")
    assert f"{layout.WORKSPACE_TARGET}/src" in links


def test_two_at_the_same_time_make_one_environment(case: Case, index: PackageIndex) -> None:
    index.add_wheel("shared", "1.0")
    plan = case.plan("shared\n", as_of=YEAR_2025)
    engines = [connect(), connect()]
    try:
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda engine: case.provision(plan, index, engine=engine), engines))
    finally:
        for engine in engines:
            engine.close()
    assert sorted(one.cached for one in made) == [False, True]
    assert made[0].key == made[1].key
    assert index.requests.count("files/shared-1.0-py3-none-any.whl") == 1


def test_what_a_killed_provision_left_is_never_used(case: Case, index: PackageIndex) -> None:
    index.add_wheel("first", "1.0")
    index.add_wheel("halfway", "1.0")
    reached, go_on = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        # Metadata is read from the wheel too: the environment's folder is there when it is installed.
        if name.startswith("halfway") and not go_on.is_set():
            reached.set()
            go_on.wait(120)

    digests = {name: hashlib.sha256(content).hexdigest() for name, (_, content) in index.files.items()}
    text = "".join(f"{name.split('-')[0]}==1.0 --hash=sha256:{digest}\n" for name, digest in digests.items())
    plan = case.plan(text)
    killed = connect()
    with ThreadPoolExecutor(1) as pool:
        index.before_file = wait
        running = pool.submit(case.provision, plan, index, engine=killed)
        assert reached.wait(120)
        killed.close()
        go_on.set()
        with pytest.raises((RunnerError, EngineUnavailable)):
            running.result()
    half = case.shell(
        f"cd {layout.ENVIRONMENTS}; for e in *; do [ -d $e ] && [ ! -e $e/.ready ] && echo $e; done; true"
    )
    made = case.provision(plan, index)
    assert made.packages == {"first": "1.0", "halfway": "1.0"}
    assert not made.cached
    assert half.split() == [made.key]
    assert case.provision(plan, index).cached


def test_a_folder_without_its_record_is_removed_and_made_again(case: Case, index: PackageIndex) -> None:
    index.add_wheel("again", "1.0")
    plan = case.plan("again\n", as_of=YEAR_2025)
    made = case.provision(plan, index)
    folder = f"{layout.ENVIRONMENTS}/{made.key}"
    case.shell(f"rm {folder}/.ready; touch {folder}/lib/python3.11/site-packages/left.py")
    # Its wheels are in the cache: no network is needed.
    second = case.provision(plan, index, offline=True)
    assert (second.key, second.cached) == (made.key, False)
    assert "left.py" not in case.shell(f"ls {folder}/lib/python3.11/site-packages")


def test_offline_takes_what_is_there_and_asks_nobody(
    case: Case, small: ResolvedEnvironment, index: PackageIndex
) -> None:
    assert case.provision(case.plan("six\nidna<3\n", as_of=YEAR_2024), offline=True).key == small.key
    error = refused(case, case.plan("never-fetched\n"), index, offline=True)
    assert isinstance(error, IndexUnavailable)
    assert "--offline" in error.cause
    assert index.requests == []


def test_a_full_volume_is_said_to_be_full(case: Case, engine: DockerEngine, index: PackageIndex) -> None:
    index.add_wheel("large", "1.0", {"large.py": "x = 1\n" * 1_000_000})
    name = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    engine.client.create_volume(name, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=2m"})
    try:
        error = refused(Case(engine, case.images, name), case.plan("large\n"), index)
    finally:
        engine.client.remove_volume(name)
    assert isinstance(error, DiskFull)


def test_builds_without_cuda_stand_in_for_those_of_a_list_and_what_only_cuda_needs_is_left_out(case: Case) -> None:
    """An index of our own stands for PyTorch's: it has local versions, and none of what CUDA needs."""
    listed = "torch==2.1.0+cu118\nnvidia-cublas-cu11==11.11.3.6\none==1.0\n"
    with PackageIndex() as index:
        index.add_wheel("torch", "2.1.0+cpu")
        index.add_wheel("one", "1.0")
        error = refused(case, case.plan(listed), index)
        fields = {"substitutions": ("torch==2.1.0+cpu",), "left_out": ("nvidia-cublas-cu11",)}
        made = case.provision(case.plan(listed, **fields), index)
    assert isinstance(error, MissingFact)
    assert (made.packages["torch"], made.packages["one"]) == ("2.1.0+cpu", "1.0")
    assert "nvidia-cublas-cu11" not in made.packages


def test_a_python_that_lacks_wheels_is_told_without_building_anything(case: Case) -> None:
    with PackageIndex() as index:
        index.add_wheel("one", "1.0")
        index.add_source("sourced", "1.0", "def module(): return ''\n")
        index.files["sourced-1.0-cp39-cp39-manylinux2014_x86_64.whl"] = ("sourced", b"for another Python")
        options: dict[str, Any] = {"volume": case.volume, "progress": NoProgress(), "offline": False}
        options["network"] = NetworkSettings(index_url=index.address)
        assert lacks_wheels(case.engine, case.plan("one==1.0\n"), **options) is None
        assert lacks_wheels(case.engine, case.plan("one\nsourced==1.0\n"), **options) == (
            "sourced 1.0 has no wheel for it"
        )
        assert "no-such" in (lacks_wheels(case.engine, case.plan("no-such==1.0\n"), **options) or "")
        assert lacks_wheels(case.engine, case.plan("-e .\none==1.0\n", install_project=True), **options) is None
