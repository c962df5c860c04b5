"""Debian packages in layers of images: compilers for building, an auditor's for the training, on the real engine."""

from __future__ import annotations

import io
import json
import os
import tarfile
import uuid
from collections.abc import Iterator

import pytest

from runner.engine import labels
from runner.engine.apt import AptSettings, read_apt_settings
from runner.engine.docker import DockerEngine, connect
from runner.engine.find import find_engine
from runner.engine.images import ensure_layered_image, tools_image_there
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.engine.packages import Layer, ensure_layer, existing_layer, layer_reference, layers_on
from runner.engine.prune import holdings
from runner.errors import ImageUnavailable, MissingFact
from runner.inside import layout
from runner.network import NetworkSettings
from runner.planning import plan_run
from runner.prepare import Prepared, building_layers, ensure_build_image, images_of
from runner.progress import NoProgress
from runner.rerun.provision import provision
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.reproduction import Verdict
from runner.schema.rerun import ResolvedEnvironment
from runner.settings import Flags, load_settings
from tests.support.engines import run
from tests.support.judging import Judge, why
from tests.support.more_engines import Engines
from tests.support.package_index import PackageIndex
from tests.support.projects import REQUIREMENTS, RUN_ID, RecordedProject, script
from tests.support.values import changed, make_plan

SMALL = "tini"  # a package of 30 kB that nothing else needs
MARK = "mark-of-a-secret-mirror"

C_SOURCE = """
#include <Python.h>
static PyObject *compiler(PyObject *self, PyObject *unused) { return PyUnicode_FromString(__VERSION__); }
static PyMethodDef methods[] = {{"compiler", compiler, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""
BACKEND = """
import os, subprocess, sysconfig, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name, library = "native-1.0-py3-none-any.whl", "native" + sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_path("include")
    subprocess.run(["cc", "-shared", "-fPIC", "-I", include, "native.c", "-o", library], check=True)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.write(library)
        info = "native-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: native\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def native_source() -> bytes:
    """A source archive with a C extension and a backend that needs nothing but a compiler and Python's headers."""
    files = {
        "PKG-INFO": "Metadata-Version: 1.1\nName: native\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "native.c": C_SOURCE,
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"native-1.0/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def plan_of(prepared: Prepared, requirements: str) -> Plan:
    environment = EnvironmentSpec(
        kind="requirements",
        source="requirements.txt at the commit",
        main="requirements.txt",
        files={"requirements.txt": requirements},
        exact=True,
        as_of=None,
        python="3.11",
        python_source="default",
    )
    plan = make_plan(environment=environment, images=images_of(prepared))
    return changed(plan, lineage=changed(plan.lineage, commit=uuid.uuid4().hex + "0" * 8))


def shell(engine: DockerEngine, image: str, text: str) -> str:
    done = run(engine, ContainerRequest(image=image, argv=("sh", "-c", text), purpose="test"))
    return done.out


@pytest.fixture(scope="module")
def built(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> tuple[Plan, ResolvedEnvironment]:
    """A plan with a package that must be compiled, and its environment."""
    plan = plan_of(shared_images, "native==1.0\n")
    with PackageIndex() as index:
        index.files["native-1.0.tar.gz"] = ("native", native_source())
        environment = provision(
            shared_engine,
            plan,
            rerun="none",
            volume=cache_volume,
            network=NetworkSettings(index_url=index.address),
            build_image=lambda: ensure_build_image(shared_engine, plan, progress=NoProgress(), offline=False),
            progress=NoProgress(),
            offline=False,
        )
    return plan, environment


def test_a_c_extension_is_compiled_without_a_network_and_runs_where_no_compiler_is(
    shared_engine: DockerEngine, cache_volume: str, built: tuple[Plan, ResolvedEnvironment]
) -> None:
    plan, environment = built
    assert environment.built_from_source == ("native==1.0",)
    folder = f"{layout.ENVIRONMENTS}/{environment.key}"
    looks = "import native, shutil; print(native.compiler(), [shutil.which(n) for n in ('cc', 'gcc', 'make')])"
    mount = VolumeMount(
        volume=cache_volume, subpath=layout.environment_subpath(environment.key), target=folder, read_only=True
    )
    done = run(
        shared_engine,
        ContainerRequest(
            image=plan.images.tools, argv=(f"{folder}/bin/python", "-c", looks), purpose="test", mounts=(mount,)
        ),
    )
    assert done.outcome.exit_code == 0, done.err
    assert done.out.strip().endswith("[None, None, None]"), "the training's image has no compiler"
    assert done.out[0].isdigit()


def test_the_image_with_compilers_is_made_once_and_is_of_the_same_python(
    shared_engine: DockerEngine, shared_images: Prepared, built: tuple[Plan, ResolvedEnvironment]
) -> None:
    found = tools_image_there(shared_engine, shared_images.base, building_layers(()))
    assert found is not None
    assert found.reference != shared_images.tools
    assert ensure_build_image(shared_engine, built[0], progress=NoProgress(), offline=True) == found.reference
    assert {"gcc", "g++", "make", "python3-dev"} <= found.installed.keys()
    said = shell(
        shared_engine, found.reference, "gcc -dumpversion; python3 -c 'import sys; print(sys.version_info[:2])'"
    )
    assert "(3, 11)" in said


@pytest.fixture(scope="module")
def parent(shared_engine: DockerEngine, shared_images: Prepared) -> Iterator[str]:
    """An image of these tests' own to put layers on; they go with it."""
    name = f"reproducibility-runner/test-{uuid.uuid4().hex[:8]}"
    shared_engine.client.tag(shared_images.base.reference, name, "1")
    yield f"{name}:1"
    for reference in (*reversed(layers_on(shared_engine, (f"{name}:1",))), f"{name}:1"):
        shared_engine.client.remove_image(reference, force=True)


def made_with_secrets(engine: DockerEngine, parent: str) -> Layer:
    host = read_apt_settings()
    settings = AptSettings(
        # Also Debian's own places by way of the settings, so that a mirror is known to be used.
        mirror=host.mirror or "http://deb.debian.org/debian",
        options={**host.options, "Acquire::http::Proxy::unused.example": f"http://me:{MARK}@proxy.example:1"},
        ca_bundle=host.ca_bundle,
        credentials=f"{host.credentials}\nmachine unused.example login me password {MARK}\n",
        variables={**host.variables, "REPRO_TEST_SECRET": MARK},
    )
    return ensure_layer(engine, parent, (SMALL,), progress=NoProgress(), settings=settings)


@pytest.fixture(scope="module")
def layer(shared_engine: DockerEngine, parent: str) -> Layer:
    """A layer with the small package, made with secrets among the settings."""
    return made_with_secrets(shared_engine, parent)


def test_a_layer_has_the_package_with_its_version_and_nothing_of_this_hosts_settings(
    shared_engine: DockerEngine, parent: str, layer: Layer
) -> None:
    version = shell(shared_engine, layer.reference, f"dpkg-query -W -f '${{Version}}' {SMALL}")
    assert layer.installed == {SMALL: version}
    inspected = shared_engine.client.inspect_image(layer.reference)
    assert MARK not in json.dumps([inspected, shared_engine.client.history(layer.reference)])
    left = shell(
        shared_engine,
        layer.reference,
        f"grep -rIl {MARK} /etc /var /root /tmp /usr/local /home; ls /tmp /var/lib/apt/lists /var/cache/apt; env",
    )
    assert MARK not in left
    assert "apt.conf" not in left
    tags = inspected["Config"]["Labels"]
    assert tags[labels.LABEL] == labels.PACKAGES
    assert tags[labels.PARENT] == parent
    assert inspected["Config"]["User"] in ("", "root", "0")
    assert not [name for name in inspected["Config"]["Env"] or () if "SECRET" in name or "proxy" in name.lower()]


def test_a_layer_is_made_once_and_pruning_knows_it_by_what_it_lies_on(
    shared_engine: DockerEngine, parent: str, layer: Layer
) -> None:
    nowhere = AptSettings(options={"Acquire::http::Proxy": "http://127.0.0.1:9"})
    assert ensure_layer(shared_engine, parent, (SMALL, SMALL), progress=NoProgress(), settings=nowhere) == layer
    assert layers_on(shared_engine, (parent,)) == [layer.reference]
    assert layers_on(shared_engine, ("another:1",)) == []
    listed = {each.name: each.current for each in holdings(shared_engine, current=[layer.reference])}
    assert listed[layer.reference]


def test_offline_takes_layers_that_are_there_and_says_how_to_make_them(
    shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    with pytest.raises(ImageUnavailable, match="--offline forbids") as caught:
        ensure_layered_image(shared_engine, shared_images.base, building_layers(("never-made",)), offline=True)
    assert caught.value.remedy == "runner setup --python 3.11 --compilers --system-packages never-made"


def test_a_package_that_debian_has_not_is_a_missing_fact_and_leaves_no_image(
    shared_engine: DockerEngine, parent: str
) -> None:
    with pytest.raises(MissingFact, match="has no package libgomp1x") as caught:
        ensure_layer(shared_engine, parent, ("libgomp1x", SMALL), progress=NoProgress())
    assert "libgomp1" in caught.value.nearest
    assert caught.value.remedy.endswith(f"--system-packages libgomp1,{SMALL}")
    assert shared_engine.image_digest(layer_reference(parent, ("libgomp1x", SMALL))) is None


def test_packages_that_cannot_be_fetched_are_infrastructure(shared_engine: DockerEngine, parent: str) -> None:
    nowhere = AptSettings(
        options={"Acquire::http::Proxy": "http://127.0.0.1:9", "Acquire::https::Proxy": "http://127.0.0.1:9"}
    )
    with pytest.raises(ImageUnavailable, match="cannot be fetched"):
        ensure_layer(shared_engine, parent, ("another",), progress=NoProgress(), settings=nowhere)


def test_podman_makes_the_same_layer(engines: Engines, shared_images: Prepared) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    engine = connect(find_engine(environ | engines.environment("podman")))
    try:
        layer = made_with_secrets(engine, shared_images.base.reference)
        assert set(layer.installed) == {SMALL}
        assert existing_layer(engine, shared_images.base.reference, (SMALL,)) == layer
        assert layers_on(engine, (shared_images.base.reference,)) == [layer.reference]
        assert MARK not in json.dumps(engine.client.inspect_image(layer.reference))
    finally:
        engine.close()


NEEDS_GOMP = "import ctypes; ctypes.CDLL('libgomp.so.1')"


def test_a_training_that_lacks_a_library_is_unverifiable_and_its_remedy_works(
    project: RecordedProject, judge: Judge
) -> None:
    project.commit_training(script(before=NEEDS_GOMP), {"packages.txt": "libgomp1\n"})
    project.record()
    lacking = judge()
    assert lacking.verdict is Verdict.UNVERIFIABLE, why(lacking)
    assert lacking.missing is not None
    assert "lacks libgomp.so.1" in lacking.missing.cause
    assert "--system-packages libgomp1" in lacking.missing.remedy
    assert lacking.plan is not None
    assert [offer.names for offer in lacking.plan.system_packages.offered] == [("libgomp1",)]

    done = judge.with_evidence(system_packages=("libgomp1",))
    supplied = done.reproduction
    assert supplied.verdict is Verdict.IDENTICAL, why(supplied)
    assert supplied.plan is not None
    images = supplied.plan.images
    assert images.train != images.tools
    assert images.train_digest is not None
    version = images.system_packages["libgomp1"]
    assert any(f"libgomp1 {version} by --system-packages" in line for line in supplied.not_verified)
    assert f"libgomp1 {version}" in (done.evidence / "report.md").read_text()
    assert supplied.plan.digest != lacking.plan.digest
    assert supplied.rerun is not None
    assert lacking.rerun is not None
    assert supplied.rerun.environment.key == lacking.rerun.environment.key, "wheels are the same on both images"


def test_a_base_image_of_the_auditors_says_its_python_and_that_a_tag_is_inexact(
    project: RecordedProject, judge: Judge, shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    """By tag it may be moved; nothing else than the image need say which Python it has."""
    name = f"user-base-{uuid.uuid4().hex[:6]}"
    shared_engine.client.tag(shared_images.base.reference, name, "1")
    try:
        project.commit_training(script(), {".python-version": None})
        project.record()
        given = load_settings(Flags(tracker=str(project.tracker), base_image=f"{name}:1"), {}, judge.folder)
        planned = plan_run(RUN_ID, given, progress=NoProgress())
        assert planned.environment.python_source == f"the base image {name}:1"
        assert planned.images.base_digest == shared_images.base.digest
        by_tag = judge(base_image=f"{name}:1")
        assert by_tag.verdict is Verdict.IDENTICAL, why(by_tag)
        assert by_tag.plan is not None
        assert by_tag.plan.environment.python == "3.11"
        assert by_tag.plan.environment.python_source == f"the base image {name}:1"
        assert any(f"base image by tag, which may be moved: {name}:1" in line for line in by_tag.not_verified)
        other = judge(base_image=f"{name}:1", python="3.12")
        assert other.verdict is Verdict.UNVERIFIABLE
        assert other.missing is not None
        assert "has Python 3.11, but 3.12 is needed" in other.missing.cause
    finally:
        shared_engine.client.remove_image(f"{name}:1")


@pytest.mark.full
@pytest.mark.parametrize("suite", ["3.9", "3.13", "3.14"])
def test_compilers_are_of_the_suite_of_every_base_image(suite: str, shared_engine: DockerEngine) -> None:
    from runner.engine.base_image import ensure_base_image

    base = ensure_base_image(shared_engine, python=suite)
    image = ensure_layered_image(shared_engine, base, building_layers(("libgomp1",)))
    source = "#include <Python.h>\nint main(void){return 0;}"
    compiles = f"echo '{source}' > /tmp/a.c && cc $(python3-config --includes) -c -o /dev/null /tmp/a.c"
    done = run(shared_engine, ContainerRequest(image=image.reference, argv=("sh", "-c", compiles), purpose="test"))
    assert done.outcome.exit_code == 0, done.err
    assert {"gcc", "libgomp1"} <= image.installed.keys()


@pytest.mark.full
@pytest.mark.parametrize(
    ("package", "imports", "lacks", "supplies"),
    [
        ("psycopg2==2.9.9", "psycopg2", "pg_config is missing", "libpq-dev"),  # has no wheel for Linux
        ("lightgbm==4.5.0", "lightgbm", "lacks libgomp.so.1", "libgomp1"),
    ],
)
def test_what_a_published_package_lacks_is_named_and_supplied(
    package: str, imports: str, lacks: str, supplies: str, project: RecordedProject, judge: Judge
) -> None:
    project.commit_training(script(before=f"import {imports}"), {"requirements.txt": f"{REQUIREMENTS}{package}\n"})
    project.record()
    lacking = judge()
    assert lacking.verdict is Verdict.UNVERIFIABLE, why(lacking)
    assert lacking.missing is not None
    assert lacks in lacking.missing.cause
    assert f"--system-packages {supplies}" in lacking.missing.remedy
    supplied = judge(system_packages=(supplies,))
    assert supplied.verdict is Verdict.IDENTICAL, why(supplied)
