"""Phases 2a and 2b on a real engine: what is run where, what a build can reach, and whose is what comes out of it."""

from __future__ import annotations

import io
import json
import socket
import stat
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact, RunnerError
from runner.inside import layout
from runner.network import read_network_settings
from runner.prepare import Prepared, images_of
from runner.rerun import build, watch
from runner.rerun import provision as host_side
from runner.schema.plan import Plan
from runner.schema.rerun import ResolvedEnvironment
from tests.support.package_index import PackageIndex
from tests.support.provisioning import Case, own_commit, refused
from tests.support.values import changed


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return Case(shared_engine, images_of(shared_images), cache_volume)


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as index:
        yield index


# ---- what a build reaches and sees ----

NOSY = """
import json, os, socket
SECRET = b"ge" + b"heim"
PLACES = json.loads('''PLACES_JSON''')

def tried(place):
    host, port = place
    try:
        socket.create_connection((host, port), timeout=3).close()
        return "reached"
    except OSError as error:
        return type(error).__name__

def readable():
    found = {}
    for folder, names, files in os.walk("/"):
        names[:] = [name for name in names if folder + name not in ("/proc", "/sys", "/dev", "/usr", "/opt")]
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.join(folder, name)] = SECRET in file.read(1 << 20)
            except OSError:
                pass
    return found

def seen():
    files = readable()
    processes = [open(f"/proc/{name}/environ", "rb").read() for name in os.listdir("/proc") if name.isdigit()]
    return {
        "reached": [place for place in PLACES if tried(place) == "reached"],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "uid": os.getuid(),
        "secret": [name for name, holds in files.items() if holds] + [1 for text in processes if SECRET in text],
        "environ": sorted(os.environ),
        "netrc": [name for name in files if name.endswith(("netrc", "pip.conf", "uv.toml", ".gitconfig"))],
        "cache": [name for name in files if name.startswith("/cache/")],
        "sockets": [name for name in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(name)],
        "writable": [folder for folder, _, _ in os.walk("/cache") if os.access(folder, os.W_OK)],
    }
SEEN = seen()
def module():
    return "seen = " + repr(SEEN)
"""


@pytest.fixture
def listener() -> Iterator[int]:
    """Something of this host's that listens on every address, as a tracker does."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def gateway(engine: DockerEngine) -> str:
    return str(engine.client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"])


@pytest.mark.parametrize("allowed", [False, True], ids=["closed", "build-network"])
def test_a_build_reaches_nothing_unless_allowed_and_sees_no_credentials_and_nothing_of_others_even_then(
    case: Case, listener: int, allowed: bool
) -> None:
    bridge = gateway(case.engine)
    with PackageIndex(userinfo="reader:geheim-1234") as index:
        _, _, port = index.origin.rpartition(":")
        places: list[tuple[str, int]] = [
            *(("127.0.0.1", int(port)), ("127.0.0.1", listener), (bridge, listener), (bridge, 53)),
            *(("169.254.169.254", 80), ("fd00:ec2::254", 80), ("host.docker.internal", listener), ("8.8.8.8", 53)),
            *(("pypi.org", 443), ("metadata.google.internal", 80)),
        ]
        index.add_source("nosy", "1.0", NOSY.replace("PLACES_JSON", json.dumps(places)))
        plan = case.plan("nosy==1.0\n", commit=own_commit(), allow=("build-network",) if allowed else ())
        made = case.provision(plan, index.address_with_credentials)
        seen = json.loads(case.python(made, "import json, nosy; print(json.dumps(nosy.seen))"))
    if allowed:
        assert [bridge, listener] in seen["reached"]
        assert ["127.0.0.1", listener] not in seen["reached"], "its own network, and not the host's"
    else:
        assert seen["reached"] == []
        assert seen["interfaces"] == ["lo"]
    assert seen["uid"] == layout.TRAINER_UID
    assert seen["secret"] == seen["netrc"] == seen["sockets"] == []
    assert not [name for name in seen["environ"] if name.startswith(("UV_", "PIP_", "AWS_")) or "proxy" in name.lower()]
    assert not [path for path in seen["cache"] if "/jobs/" not in path]
    assert seen["writable"]
    assert all("/output" in folder for folder in seen["writable"])
    assert "geheim" not in made.model_dump_json()
    assert case.shell(f"grep -rl geheim-1234 {layout.CACHE} || true") == ""


def test_what_was_built_with_a_network_is_not_taken_where_none_is_allowed(case: Case, index: PackageIndex) -> None:
    index.add_source(
        "nosy", "1.0", "import os\nTOKEN = os.urandom(8).hex()\ndef module(): return f'token = {TOKEN!r}'\n"
    )
    commit = own_commit()
    first = case.provision(case.plan("nosy==1.0\n", commit=commit, allow=("build-network",)), index)
    second = case.provision(case.plan("nosy==1.0\n", commit=commit), index)
    assert not second.cached
    assert first.key != second.key


def test_a_build_that_needs_the_network_says_how_to_allow_it(case: Case, index: PackageIndex) -> None:
    prologue = "def module():\n    import urllib.request\n    urllib.request.urlopen('https://example.org/model.bin')\n"
    index.add_source("loads", "1.0", prologue)
    error = refused(case, case.plan("loads\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    assert "loads 1.0" in error.cause
    assert "it tried to reach the network" in error.cause
    assert error.remedy == "runner reproduce RUN --allow build-network"


# ---- whose is what was built ----

TOKEN = "import os\nTOKEN = os.urandom(8).hex()\ndef module(): return f'token = {TOKEN!r}'\n"


def of_repository(plan: Plan, repository: str) -> Plan:
    return changed(plan, lineage=changed(plan.lineage, repository=repository))


def test_what_was_built_reaches_no_other_repository_and_no_other_commit_and_not_the_shared_store(
    case: Case, index: PackageIndex
) -> None:
    """Each build leaves another mark: whoever has the mark has the build."""
    index.add_source("marked", "1.0", TOKEN)
    commit = own_commit()
    plan = of_repository(case.plan("marked==1.0\n", commit=commit), "https://one.example/r.git")
    plans = [
        plan,
        of_repository(plan, "https://two.example/r.git"),
        changed(plan, lineage=changed(plan.lineage, commit=own_commit())),
    ]

    def token(made: ResolvedEnvironment) -> str:
        return case.python(made, "import marked; print(marked.token)").strip()

    made = [case.provision(each, index) for each in plans]
    tokens = [token(each) for each in made]
    assert len(set(tokens)) == len({each.key for each in made}) == 3
    again = [case.provision(each, index) for each in plans]
    assert all(each.cached for each in again)
    assert [token(each) for each in again] == tokens
    shared = case.shell(f"grep -rlE '{'|'.join(tokens)}' {layout.UV_CACHE} {layout.LOCKS} || true")
    assert shared == "", "the store that all share holds none of them"
    specification = host_side.ready_keys(plan)["specification"]
    locks = case.shell(f"ls {layout.LOCKS} | grep {specification}").split()
    assert f"{specification}.json" not in locks
    assert len(locks) == 3


# ---- no code runs in phase 2a ----

TELLS = "import urllib.request; urllib.request.urlopen('{address}/ran/{what}')"


def test_no_code_of_a_package_runs_where_the_network_and_the_credentials_are(case: Case, index: PackageIndex) -> None:
    """Not a backend's, not what a `.pth` file or a `sitecustomize` says, neither in the training's nor in a build's
    environment, also where packages are added to it later."""

    def tells(what: str) -> str:
        return TELLS.format(address=index.origin, what=what)

    quiet = "try:\n    {}\nexcept OSError:\n    pass\n"
    index.add_wheel("pth", "1.0", {"tells.pth": f"import sys; exec({quiet.format(tells('pth'))!r})\n"})
    index.add_wheel("site", "1.0", {"sitecustomize.py": quiet.format(tells("sitecustomize"))})
    index.add_wheel("late", "1.0")
    prologue = (
        quiet.format(tells("backend"))
        + "def get_requires_for_build_wheel(config=None): return ['late>=1']\ndef module(): return 'import late'\n"
    )
    index.add_source("needs", "1.0", prologue, requires=("pth", "site"))
    chained = quiet.format(tells("chained")) + "def module(): return ''\n"
    index.add_source("chained", "1.0", chained, requires=("needs",))
    made = case.provision(case.plan("pth\nsite\nchained\nneeds\n", commit=own_commit()), index)
    assert set(made.packages) == {"pth", "site", "chained", "needs"}
    assert [path for path in index.requests if path.startswith("ran/")] == []


def odd_wheel(name: str, *entries: tuple[str, str], link: str = "", metadata: str = "", record: str = "") -> bytes:
    """A wheel as no backend makes it."""
    stream = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(stream, "w") as pack:
        if link:
            linked = zipfile.ZipInfo(name)
            linked.external_attr = (stat.S_IFLNK | 0o777) << 16
            pack.writestr(linked, link)
        for entry, text in (("plain.py", "x = 1\n"), *entries):
            pack.writestr(entry, text)
        pack.writestr(f"{info}/METADATA", metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        pack.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        pack.writestr(f"{info}/RECORD", record)
    return stream.getvalue()


REFUSED = {
    "linked": odd_wheel("linked", ("linked/escaped.py", ""), link="/cache"),
    "python": odd_wheel("python", ("python-1.0.data/scripts/python", "#!/bin/sh\n")),
    "other": odd_wheel("other", metadata="Metadata-Version: 2.1\nName: numpy\nVersion: 9.9\n"),
    "script": odd_wheel(
        "script", ("script-1.0.dist-info/entry_points.txt", "[console_scripts]\n../../escaped = a:b\n")
    ),
    "nozip": b"no zip at all",
}
HARMLESS = {
    "dotdot": odd_wheel("dotdot", ("../../../../../../../cache/escaped", "")),
    "absolute": odd_wheel("absolute", ("/cache/escaped", "")),
    "data": odd_wheel("data", ("data-1.0.data/data/../../../../../../cache/escaped", "")),
    "record": odd_wheel("record", record="plain.py,sha256=AAAA,1\n../../../../../../cache/uv,,\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wheel_of_an_index_that_is_none_is_refused_by_name(case: Case, index: PackageIndex, name: str) -> None:
    index.add_file(f"{name}-1.0-py3-none-any.whl", name, REFUSED[name])
    error = refused(case, case.plan(f"{name}\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    words = "invalid package format" if name == "nozip" else "of the package index is no wheel that can be installed"
    assert words in error.cause
    assert name in error.cause


def test_entries_of_a_wheel_that_lead_elsewhere_arrive_nowhere(case: Case, index: PackageIndex) -> None:
    for name, content in HARMLESS.items():
        index.add_file(f"{name}-1.0-py3-none-any.whl", name, content)
    listing = f"find {layout.CACHE} / -xdev -name 'escaped*' 2>/dev/null || true"
    try:
        made = case.provision(case.plan("".join(f"{name}\n" for name in HARMLESS), commit=own_commit()), index)
    except RunnerError as error:
        assert any(name in error.cause for name in HARMLESS)  # noqa: PT017  # refused is as good as harmless
    else:
        assert set(made.packages) == set(HARMLESS)
        assert case.python(made, "import plain; print(plain.x)").strip() == "1"
    assert case.shell(listing) == ""
    assert case.shell(f"ls -d {layout.UV_CACHE}").strip() == layout.UV_CACHE


def test_a_wheel_that_a_build_made_odd_is_refused_by_name(case: Case, index: PackageIndex) -> None:
    prologue = """
class Odd(zipfile.ZipFile):
    def writestr(self, name, text):
        super().writestr("../../../escaped" if name == "sly.py" else name, text)
zipfile.ZipFile = Odd
def module(): return ''
"""
    index.add_source("sly", "1.0", prologue)
    error = refused(case, case.plan("sly\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    assert "building sly 1.0 gave a wheel that is not installed: its entry '../../../escaped'" in error.cause


# ---- what builds ask for ----


def test_what_a_build_needs_is_built_first_where_it_has_no_wheel_either(case: Case, index: PackageIndex) -> None:
    index.add_wheel("bottom", "1.0")
    index.add_source("bottom", "2.0", "def module(): return 'raise SystemExit'\n")
    middle = "import bottom\ndef module(): return f'below = {bottom.version!r}'\n"
    index.add_source("middle", "1.0", middle, requires=("bottom<2",))
    index.add_source("middle", "2.0", "def module(): raise SystemExit('too new')\n")
    dynamic = "def get_requires_for_build_wheel(config=None): return ['middle<2']\n"
    index.add_source(
        "top", "1.0", f"{dynamic}def module():\n    import middle\n    return f'below = {{middle.below!r}}'\n"
    )
    made = case.provision(case.plan("top\n", commit=own_commit()), index)
    assert case.python(made, "import top; print(top.below)").strip() == "1.0"
    assert made.packages == {"top": "1.0"}
    assert made.built_from_source == ("top==1.0",)


@pytest.mark.parametrize("dynamic", [False, pytest.param(True, marks=pytest.mark.full)])
def test_what_needs_itself_to_be_built_is_a_missing_fact_with_the_way_there(
    case: Case, index: PackageIndex, dynamic: bool
) -> None:
    for name, needed in (("egg", "hen"), ("hen", "egg")):
        asks = f"def get_requires_for_build_wheel(config=None): return [{needed!r}]\n" if dynamic else ""
        index.add_source(name, "1.0", f"{asks}def module(): return ''\n", requires=() if dynamic else (needed,))
    error = refused(case, case.plan("egg\n", commit=own_commit()), index)
    assert isinstance(error, MissingFact)
    assert "egg has no wheel for this Python and cannot be built: building it needs itself, by way of egg and hen" in (
        error.cause
    )


def pyproject(backend: str, *requires: str, more: str = "", build: str = "") -> str:
    return (
        f'[build-system]\nrequires = {json.dumps(list(requires))}\nbuild-backend = "{backend}"\n{build}'
        f'[project]\nname = "NAME"\nversion = "1.0"\ndescription = "x"\n{more}'
    )


LEGACY = """
import six, idna
from setuptools import setup
assert idna.__version__
setup(name="NAME", version="1.0", py_modules=["NAME"], setup_requires=["idna<4"])
"""
CMAKE = "cmake_minimum_required(VERSION 3.15)\nproject(x LANGUAGES NONE)\n"
MESON = "project('NAME', version: '1.0')\nimport('python').find_installation().install_sources('NAME.py')\n"

BACKENDS: dict[str, dict[str, str]] = {
    "legacy": {"setup.py": LEGACY},
    "hatchling": {"pyproject.toml": pyproject("hatchling.build", "hatchling", "hatch-vcs")},
    "meson": {"pyproject.toml": pyproject("mesonpy", "meson-python"), "meson.build": MESON},
    "setuptools": {
        "pyproject.toml": pyproject(
            "setuptools.build_meta",
            "setuptools>=61",
            "Cython",
            "oldest-supported-numpy",
            more='[tool.setuptools]\npy-modules=["NAME"]\n',
        )
    },
    "scm": {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=61", "setuptools_scm>=7"]\n'
        'build-backend = "setuptools.build_meta"\n[project]\nname = "NAME"\ndynamic = ["version"]\n'
        '[tool.setuptools_scm]\n[tool.setuptools]\npy-modules=["NAME"]\n'
    },
    "flit": {"pyproject.toml": pyproject("flit_core.buildapi", "flit_core>=3.2,<4")},
    "poetry": {
        "pyproject.toml": '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
        '[tool.poetry]\nname = "NAME"\nversion = "1.0"\ndescription = "x"\nauthors = []\n'
    },
    "pdm": {"pyproject.toml": pyproject("pdm.backend", "pdm-backend")},
    "scikit-build": {
        "pyproject.toml": pyproject(
            "scikit_build_core.build", "scikit-build-core", more='[tool.scikit-build]\nwheel.packages = ["NAME"]\n'
        ),
        "CMakeLists.txt": CMAKE,
    },
}


@pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=() if place < 1 else pytest.mark.full) for place, name in enumerate(BACKENDS)],
)
def test_each_backend_gets_what_it_asks_for_from_the_real_index_and_builds_without_a_network(
    case: Case, index: PackageIndex, backend: str
) -> None:
    name = f"made_by_{backend.replace('-', '_')}"
    files = {path: text.replace("NAME", name) for path, text in BACKENDS[backend].items()}
    module = f"{name}/__init__.py" if backend in {"scikit-build", "hatchling", "pdm", "poetry"} else f"{name}.py"
    files[module] = '"""A module."""\n__version__ = "1.0"\nanswer = 42\n'
    index.add_archive(name, "1.0", files)
    network = replace(read_network_settings(), extra_index_urls=(index.address,))
    made = case.provision(case.plan(f"{name}\n", commit=own_commit()), network=network)
    assert made.built_from_source == (f"{name.replace('_', '-')}==1.0",)
    assert case.python(made, f"import {name}; print({name}.answer)").strip() == "42"


def test_a_build_that_needs_rust_says_so(case: Case, index: PackageIndex) -> None:
    files = {
        "pyproject.toml": pyproject("maturin", "maturin>=1").replace("NAME", "rusty"),
        "Cargo.toml": '[package]\nname = "rusty"\nversion = "1.0.0"\n[lib]\ncrate-type = ["cdylib"]\n',
        "src/lib.rs": "",
    }
    index.add_archive("rusty", "1.0", files)
    network = replace(read_network_settings(), extra_index_urls=(index.address,))
    error = refused(case, case.plan("rusty\n", commit=own_commit()), network=network)
    assert isinstance(error, MissingFact)
    assert "building it failed: cargo is missing" in error.cause, (error.cause, error.nearest)


def bundled(folder: Path, files: dict[str, str]) -> tuple[str, Path]:
    """A commit with these files, and its bundle."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("bundle", "create", "-q", "b.bundle", "HEAD")
    return git("rev-parse", "HEAD"), folder / "b.bundle"


def test_a_package_in_a_folder_of_the_repository_with_a_backend_of_its_own_is_built_and_leads_there(
    case: Case, index: PackageIndex, tmp_path: Path
) -> None:
    """Its backend is at the commit, needs what has no wheel, and is no part of what is installed."""
    index.add_wheel("six", "1.0")
    index.add_source("tool", "1.0", "def module(): return 'there = True'\n")
    backend = """
import os, tool, zipfile
def build_editable(directory, config=None, metadata=None):
    name = "core-0.2-py3-none-any.whl"
    said = "Metadata-Version: 2.1\\nName: core\\nVersion: 0.2\\nRequires-Dist: six\\n"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("core.pth", os.path.join(os.getcwd(), "src"))
        wheel.writestr("core-0.2.dist-info/METADATA", said)
        wheel.writestr("core-0.2.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("core-0.2.dist-info/RECORD", "")
    return name
build_wheel = build_editable
"""
    text = '[build-system]\nrequires = ["tool"]\nbuild-backend = "ours"\nbackend-path = ["build"]\n'
    files = {"libs/core/pyproject.toml": text, "libs/core/build/ours.py": backend, "libs/core/src/core.py": ""}
    commit, bundle = bundled(tmp_path, {**files, "pyproject.toml": "[project]\nname = 'root'\nversion = '1'\n"})
    plan = case.plan(
        commit=commit,
        kind="pyproject",
        root="libs/core",
        main="libs/core/pyproject.toml",
        files={"libs/core/pyproject.toml": text},
        install_project=True,
    )
    made = case.provision(plan, index, bundle=bundle)
    assert {"core", "six"} <= set(made.packages)
    assert "tool" not in made.packages
    assert any("libs/core of the repository was installed as core 0.2, linked" in note for note in made.notes)
    links = case.shell(f"cat {layout.ENVIRONMENTS}/{made.key}/lib/python3.11/site-packages/core.pth")
    assert links.strip() == f"{layout.WORKSPACE_TARGET}/libs/core/src"


# ---- limits ----


def limited(plan: Plan, **limits: Any) -> Plan:
    return changed(plan, limits=changed(plan.limits, **limits))


FLOOD = """
def module():
    place = os.environ["TMPDIR"]
    while True:
        with open(os.path.join(place, "flood"), "ab") as file:
            file.write(bytes(8 << 20))
"""
GREEDY = "def module():\n    x = bytearray(1 << 30)\n    return str(len(x))\n"
MANY = """
def module():
    import subprocess
    for _ in range(100):
        subprocess.Popen(["sleep", "300"])
"""
SLEEPS = "def module():\n    import time\n    time.sleep(600)\n"


@pytest.mark.parametrize(
    ("prologue", "limits", "words"),
    [
        (FLOOD, {"output_bytes": 64 << 20}, "it wrote more than it may (64 MiB)"),
        (GREEDY, {"memory_bytes": 300 << 20}, "it needs more memory than it may have"),
        pytest.param(MANY, {"pids": 40}, "it may have no more processes and threads (40)", marks=pytest.mark.full),
        pytest.param(SLEEPS, {}, "it was stopped after 0 minutes", marks=pytest.mark.full),
    ],
    ids=["output", "memory", "processes", "time"],
)
def test_a_build_beyond_its_limits_is_ended_with_a_sentence(
    case: Case,
    index: PackageIndex,
    monkeypatch: pytest.MonkeyPatch,
    prologue: str,
    limits: dict[str, int],
    words: str,
) -> None:
    monkeypatch.setattr(watch, "_AFTER_S", 0.5)
    if not limits:
        monkeypatch.setattr(build, "_BUILD_TIMEOUT_S", 4.0)
    index.add_source("greedy", "1.0", prologue)
    error = refused(case, limited(case.plan("greedy\n", commit=own_commit()), **limits), index)
    assert isinstance(error, MissingFact), error
    assert f"greedy 1.0 has no wheel for this Python and building it failed: {words}" in error.cause
    assert case.shell(f"find {layout.BUILT} -name flood -size +1G") == ""


def test_a_daemon_that_a_build_leaves_dies_with_it(case: Case, index: PackageIndex) -> None:
    prologue = """
def module():
    if os.fork() == 0:
        os.setsid()
        import time
        time.sleep(600)
    return "x = 1"
"""
    index.add_source("leaves", "1.0", prologue)
    made = case.provision(case.plan("leaves\n", commit=own_commit()), index)
    assert case.python(made, "import leaves; print(leaves.x)").strip() == "1"
    labels: Callable[..., Any] = case.engine.client.containers
    assert labels(all=True, filters={"label": f"reproducibility-runner={case.engine.session_id}"}) == []
