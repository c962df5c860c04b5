"""Versions that the tracker recorded, over a list of the commit that leaves them open, or alone."""

from __future__ import annotations

import pytest

from runner.lineage.resolve import commit_facts
from runner.plan.environment import specify_environment
from runner.schema.plan import EnvironmentSpec
from runner.schema.run_record import RunRecord, TextFile
from runner.settings import Settings
from tests.support.facts import run, settings, snapshot
from tests.support.values import START, changed, make_plan

RECORDED = "numpy==1.26.4\nsix==1.16.0\n"
HASH = f" --hash=sha256:{'0' * 64}"


def specified(
    own: str | None,
    recorded: str = RECORDED,
    *,
    texts: dict[str, str] | None = None,
    chosen: Settings | None = None,
    record: RunRecord | None = None,
    machine: str = "x86_64",
) -> EnvironmentSpec:
    chosen = chosen or settings(python="3.11")
    repository = snapshot({} if own is None else {"requirements.txt": own}) if texts is None else snapshot(texts)
    record = record or run(environment_files=(TextFile(path="model/requirements.txt", text=recorded),))
    facts = commit_facts(repository, chosen)
    return specify_environment(record, repository, chosen, facts, "train.py", machine=machine)[0]


def test_what_a_list_leaves_open_has_the_recorded_version_and_all_else_is_as_of_the_run() -> None:
    spec = specified("numpy\npandas\n")
    assert spec.constraints == ("numpy==1.26.4", "six==1.16.0")
    assert spec.constraints_source == "model/requirements.txt of the run"
    assert (spec.source, spec.exact, spec.as_of) == ("requirements.txt at the commit (not pinned)", False, START)
    assert spec.files == {"requirements.txt": "numpy\npandas\n"}
    assert not spec.notes


@pytest.mark.parametrize(
    ("own", "asked", "followed"),
    [
        ("numpy==1.25.0\n", "==1.25.0", "numpy==1.26.4"),
        ("NumPy[tests]>=2\n", ">=2", "numpy[tests]==1.26.4"),
        ("numpy\n-c bounds.txt\n", "<1.26", "numpy==1.26.4"),
        ("numpy==1.26.4.post1+cpu\n", "==1.26.4.post1+cpu", "numpy==1.26.4"),
    ],
)
def test_where_the_list_excludes_the_recorded_version_the_record_is_followed_and_the_note_names_both(
    own: str, asked: str, followed: str
) -> None:
    spec = specified(None, texts={"requirements.txt": own, "bounds.txt": "numpy<1.26\n"})
    assert (spec.constraints, spec.recorded_overrides) == (("six==1.16.0",), (followed,))
    assert spec.constraints_source == "model/requirements.txt of the run"
    says = f"environment: numpy 1.26.4 recorded, requirements.txt asks for {asked}: the record is followed"
    assert spec.notes[0] == says


def test_an_address_and_a_list_that_the_auditor_named_are_followed_against_the_record() -> None:
    address = specified("numpy @ https://files.example/numpy-1.25.0.whl\n")
    assert (address.constraints, address.recorded_overrides) == (("six==1.16.0",), ())
    assert address.notes[0].endswith("requirements.txt asks for an address: requirements.txt is followed")
    named = specified("numpy==1.25.0\n", chosen=settings(python="3.11", yaml="environment: requirements.txt\n"))
    assert (named.constraints, named.recorded_overrides) == (("six==1.16.0",), ())
    assert named.notes[0].endswith("requirements.txt asks for ==1.25.0: requirements.txt is followed")


def test_the_record_is_followed_where_the_list_names_a_place_of_its_authors_machine() -> None:
    spec = specified("numpy @ file:///croot/numpy_1687/work\n")
    assert spec.recorded_overrides == ("numpy==1.26.4",)
    assert spec.notes[0].endswith("asks for a place that only its author's machine had: the record is followed")


def test_a_build_of_the_recorded_version_is_no_contradiction() -> None:
    spec = specified("torch==2.1.0+cu118\n", "torch==2.1.0+cu118\n")
    assert spec.recorded_overrides == ()
    assert not any("asks for" in note for note in spec.notes)


def test_with_wins_over_a_record_that_contradicts_the_list() -> None:
    spec = specified("numpy==1.25.0\n", chosen=settings(python="3.11", with_packages=("numpy==1.25.0",)))
    assert (spec.recorded_overrides, spec.overrides) == ((), ("numpy==1.25.0",))


@pytest.mark.parametrize(
    ("own", "constrained"),
    [
        ("numpy>=1.20\n", True),
        ("numpy==1.26.4\n", False),
        ("numpy==1.0 ; sys_platform == 'win32'\n", True),
        ("numpy==1.0 ; python_version < '3.9'\n", True),
        ("nonsense ~\n", True),
    ],
)
def test_a_bound_that_admits_the_version_is_narrowed_and_a_pin_or_a_line_for_elsewhere_changes_nothing(
    own: str, constrained: bool
) -> None:
    spec = specified(own)
    assert ("numpy==1.26.4" in spec.constraints) is constrained
    assert not any("numpy" in note for note in spec.notes if "recorded" in note)


def test_dependencies_of_a_project_are_read_too() -> None:
    project = '[project]\nname = "x"\ndependencies = ["numpy>=2", "six"]\n'
    spec = specified(None, texts={"pyproject.toml": project})
    assert (spec.kind, spec.constraints) == ("pyproject", ("six==1.16.0",))
    assert spec.recorded_overrides == ("numpy==1.26.4",)
    assert "pyproject.toml asks for >=2" in spec.notes[0]


@pytest.mark.parametrize(
    "texts",
    [
        {"uv.lock": "version = 1\n", "pyproject.toml": '[project]\nname = "x"\ndependencies = ["numpy"]\n'},
        {"requirements.txt": f"numpy==1.25.0{HASH}\n"},
        {"requirements.txt": "# This file was autogenerated by uv via the following command:\nnumpy==1.25.0\n"},
    ],
)
def test_a_lock_is_not_touched(texts: dict[str, str]) -> None:
    spec = specified(None, texts=texts)
    assert (spec.constraints, spec.constraints_source, spec.notes) == ((), None, ())


def test_what_pinned_packages_need_in_turn_has_the_recorded_version() -> None:
    spec = specified("numpy==1.26.4\n")
    assert (spec.exact, spec.constraints) == (True, ("six==1.16.0",))
    assert "are as recorded, else as of 2025-03-02" in spec.notes[-1]


def test_with_wins_over_what_was_recorded() -> None:
    spec = specified("numpy\n", chosen=settings(python="3.11", with_packages=("NumPy==1.25.0",)))
    assert (spec.constraints, spec.overrides) == (("six==1.16.0",), ("NumPy==1.25.0",))


@pytest.mark.parametrize(
    "line",
    ["torch @ https://files.example/torch.whl", "-e .", "pywin32==306", "torch===of-mine"],
)
def test_what_no_index_has_for_linux_is_left_out_with_a_note(line: str) -> None:
    for own in ("torch\n", None):
        spec = specified(own, f"{RECORDED}{line}\n")
        lines = spec.constraints or tuple(spec.files["requirements.txt"].splitlines())
        assert lines == ("numpy==1.26.4", "six==1.16.0")
        assert any("recorded and left out:" in note and line[:5] in note for note in spec.notes)
        assert not spec.exact


def test_of_a_local_version_the_public_one_holds_with_a_note() -> None:
    for own in ("torch\n", None):
        spec = specified(own, f"{RECORDED}torch==2.1.0+cu118\n")
        lines = spec.constraints or tuple(spec.files["requirements.txt"].splitlines())
        assert lines == ("numpy==1.26.4", "six==1.16.0", "torch==2.1.0")
        assert any("recorded as a build of its own" in note and "torch 2.1.0+cu118" in note for note in spec.notes)
        assert not spec.exact


def test_markers_are_those_of_the_reruns_python_and_machine() -> None:
    text = 'a==1 ; platform_machine == "aarch64"\nb==1 ; python_version < "3.11"\nc==1 ; sys_platform == "linux"\n'
    assert specified("a\n", text).constraints == ("c==1",)
    assert specified("a\n", text, machine="aarch64").constraints == ("a==1", "c==1")


def test_recorded_versions_are_a_list_of_their_own_where_the_commit_has_none() -> None:
    spec = specified(None, "six[extra]==1.16.0\nnumpy>=1\n")
    assert spec.files == {"requirements.txt": "six[extra]==1.16.0\nnumpy>=1\n"}
    assert (spec.constraints, spec.exact, spec.source) == ((), False, "model/requirements.txt of the run")


def test_the_plans_digest_covers_them() -> None:
    plan = make_plan()
    constrained = changed(plan, environment=changed(plan.environment, constraints=("six==1.16.0",)))
    assert constrained.sealed().digest != plan.sealed().digest
    overridden = changed(plan, environment=changed(plan.environment, recorded_overrides=("six==1.16.0",)))
    assert overridden.sealed().digest not in {plan.sealed().digest, constrained.sealed().digest}


def test_only_what_is_installed_counts_as_constrained() -> None:
    assert specified("numpy\n").constrained(["numpy", "pandas"]) == 1
