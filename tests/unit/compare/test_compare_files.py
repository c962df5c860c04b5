"""Outputs, environment and platform (VERDICTS rules 9, 17, 22, 25)."""

from __future__ import annotations

import json

import pytest

from runner.compare.build import compare
from runner.compare.environment import compare_environment, recorded_platform
from runner.compare.numerical import moves_numbers
from runner.schema.comparison import Outcome
from runner.schema.digest import DigestValue
from runner.schema.reproduction import Verdict
from runner.schema.run_record import Artifact, TextFile
from tests.support.models import captured_files, registered
from tests.support.values import (
    MODEL,
    captured,
    changed,
    data_file,
    history,
    judge,
    make_plan,
    make_record,
    make_rerun,
    make_run,
    md5,
    model_file,
    written,
)


def output(plan=None, rerun=None, record=None):
    """The comparison of the only output."""
    (found,) = compare(record or make_record(), plan or make_plan(), rerun or make_rerun()).outputs
    return found


def test_other_bytes_of_an_output_are_reproduced_and_never_diverged():
    """rule 09"""
    rerun = make_rerun(outputs=(written(digest=md5("other")),))
    assert output(rerun=rerun).outcome is Outcome.OUTSIDE
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.REPRODUCED
    assert "model of other bytes" in decision.reason
    assert judge().verdict is Verdict.IDENTICAL


def test_an_output_alone_is_something_compared_only_if_its_bytes_are_equal():
    """rule 09"""
    no_metrics = make_record(metrics=())
    bare = make_run(metrics=())
    equal = judge(no_metrics, rerun=make_rerun(bare))
    assert equal.verdict is Verdict.IDENTICAL
    assert equal.reason == "model byte-equal"
    other = judge(no_metrics, rerun=make_rerun(bare, outputs=(written(digest=md5("other")),)))
    assert other.verdict is Verdict.UNVERIFIABLE
    nothing = judge(
        no_metrics,
        make_plan(files=(data_file(), model_file(digest=md5("")))),
        make_rerun(bare, outputs=(written(digest=md5("")),)),
    )
    assert nothing.verdict is Verdict.UNVERIFIABLE


def test_a_digest_is_compared_on_bytes_and_never_on_tags():
    """rule 22"""
    record = make_record(tags={"dvc_model_md5": md5("model").hexdigest})
    run = make_run(tags={"dvc_model_md5": md5("model").hexdigest})
    rerun = make_rerun(run, outputs=(written(digest=md5("other")),))
    assert output(record=record, rerun=rerun).outcome is Outcome.OUTSIDE
    assert judge(record, rerun=rerun).verdict is Verdict.REPRODUCED


def test_digests_of_two_kinds_are_not_compared_and_not_identical():
    """rule 22"""
    sha = DigestValue("sha256", "a" * 64)
    rerun = make_rerun(outputs=(written(sha256=None),))
    plan = make_plan(files=(data_file(), model_file(digest=sha)))
    assert output(plan, rerun).outcome is Outcome.NOT_COMPARED
    assert judge(plan=plan, rerun=rerun).verdict is Verdict.REPRODUCED
    plan = make_plan(files=(data_file(), model_file(digest=DigestValue("sha256", written().sha256))))
    assert output(plan).outcome is Outcome.EQUAL
    listing = make_plan(files=(data_file(), model_file(digest=DigestValue("md5", md5("model").hexdigest, True))))
    assert output(listing).outcome is Outcome.NOT_COMPARED


@pytest.mark.parametrize("outputs", [(), (written(written=False),)])
def test_a_recorded_output_that_was_not_written_diverges_with_a_recorded_command(outputs):
    """rule 17"""
    rerun = make_rerun(outputs=outputs)
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.DIVERGED
    assert f"recorded output {MODEL} was not written" in decision.reason
    inferred = judge(plan=make_plan(command_inferred=True), rerun=rerun)
    assert inferred.verdict is Verdict.REPRODUCED
    assert any(line.startswith(f"output: {MODEL}") for line in inferred.not_verified)


def test_an_output_that_lay_there_with_the_right_bytes_is_not_verified():
    """rule 17"""
    decision = judge(plan=make_plan(command_inferred=True), rerun=make_rerun(outputs=(written(written=False),)))
    assert decision.verdict is Verdict.REPRODUCED
    assert not any("byte-equal" in line for line in decision.verified)


def test_an_expected_output_without_a_digest_is_reported():
    """rule 17"""
    plan = make_plan(expected_outputs=(MODEL, "plots/roc.png"))
    rerun = make_rerun(outputs=(written(), written(path="plots/roc.png", digest=md5("plot"))))
    assert judge(plan=plan, rerun=rerun).verdict is Verdict.IDENTICAL
    missing = judge(plan=plan)
    assert missing.verdict is Verdict.REPRODUCED
    assert any("plots/roc.png" in line for line in missing.not_verified)


def test_a_digest_of_the_previous_model_counts_if_it_is_equal_and_is_stale_if_not():
    """rule 17"""
    plan = make_plan(files=(data_file(), model_file(maybe_previous=True)))
    assert output(plan).outcome is Outcome.EQUAL
    rerun = make_rerun(outputs=(written(digest=md5("new model")),))
    stale = output(plan, rerun)
    assert stale.outcome is Outcome.NOT_COMPARED
    assert "stale" in stale.note
    decision = judge(plan=plan, rerun=rerun)
    assert decision.verdict is Verdict.IDENTICAL
    assert any("stale" in line for line in decision.not_verified)
    assert output(plan, make_rerun(outputs=())).outcome is Outcome.NOT_COMPARED
    assert judge(plan=plan, rerun=make_rerun(outputs=())).verdict is Verdict.REPRODUCED


def test_a_file_of_unknown_role_is_an_output_only_if_the_plan_expects_it():
    plan = make_plan(files=(data_file(), model_file(role="unknown")))
    assert output(plan).outcome is Outcome.EQUAL
    assert (
        compare(make_record(), make_plan(files=(data_file(role="unknown"),), expected_outputs=()), make_rerun()).outputs
        == ()
    )


def test_artifacts_with_a_digest_are_compared_with_those_that_were_logged():
    record = make_record(artifacts=(Artifact(path="model.pkl", digest=md5("a")), Artifact(path="notes.txt")))
    for artifacts, outcome, verdict in (
        (captured_files({"model.pkl": "a"}), Outcome.EQUAL, Verdict.IDENTICAL),
        (captured_files({"model.pkl": "b"}), Outcome.OUTSIDE, Verdict.REPRODUCED),
        ({}, Outcome.MISSING, Verdict.REPRODUCED),
    ):
        rerun = make_rerun(make_run(artifacts=artifacts))
        found = {file.path: file for file in compare(record, make_plan(), rerun).outputs}["artifact:model.pkl"]
        assert found.outcome is outcome
        assert judge(record, rerun=rerun).verdict is verdict


UNPINNED = changed(
    make_plan(), environment=changed(make_plan().environment, kind="requirements", main="r", files={"r": "numpy\n"})
)


def test_recorded_packages_and_python_are_compared_with_what_ran():
    files = (
        TextFile(
            path="m/requirements.txt",
            text="numpy==1.26.0\nScikit_Learn[x]==1.4.2 ; python_version>'3'\nmlflow\ngone==1\n",
        ),
        TextFile(path="m/conda.yaml", text="dependencies:\n- python=3.9.17\n- pip:\n  - extra==2\n"),
        TextFile(path="m/other.txt", text="ignored==1"),
    )
    found = compare_environment(make_record(environment_files=files), UNPINNED, make_rerun())
    assert {package.name: package.outcome for package in found.packages} == {
        "numpy": "changed",
        "scikit-learn": "same",
        "gone": "removed",
        "extra": "removed",
        "mlflow": "unknown",  # the model names it without a version
    }
    assert found.counts == {"same": 1, "changed": 1, "added": 0, "removed": 2, "unknown": 1}
    text = "build_dependencies:\n- pip==25.0\n- setuptools==65.5.0\n- wheel==0.40.0\n"
    installers = (TextFile(path="m/python_env.yaml", text=text),)  # nothing that the training used
    assert compare_environment(make_record(environment_files=installers), UNPINNED, make_rerun()).recorded == ()


@pytest.mark.parametrize(
    ("recorded", "outcome"),
    [("3.9", "same"), ("3.9.18", "same"), ("3.9.1", "changed"), ("3.8", "changed"), (None, "unknown")],
)
def test_python_is_compared_as_far_as_it_is_recorded(recorded, outcome):
    environment = changed(make_plan().environment, python_recorded=recorded)
    found = compare_environment(make_record(), changed(make_plan(), environment=environment), make_rerun())
    assert (found.python.original, found.python.rerun, found.python.outcome) == (recorded, "3.9.18", outcome)


def pinned(kind, text, packages, **fields):
    """The comparison with what a file at the commit pins, where the run recorded nothing."""
    environment = changed(make_plan().environment, kind=kind, main="list", files={"list": text}, **fields)
    ran = changed(make_rerun().environment, packages=packages)
    plan = changed(make_plan(), environment=environment)
    return compare_environment(make_record(environment_files=()), plan, make_rerun(environment=ran))


def test_what_a_lock_does_not_have_was_added_and_what_is_for_other_platforms_is_not_removed():
    lock = "".join(
        f'[[package]]\nname = "{name}"\n{version}'
        for name, version in (
            ("numpy", 'version = "1"\n'),
            ("numpy", 'version = "2"\n'),
            ("uvloop", 'version = "1"\n'),
            ("project", 'source = { editable = "." }\n'),
        )
    )
    found = pinned("uv.lock", lock, {"numpy": "2.0", "project": "0.1", "click": "8", "setuptools": "65"})
    assert {package.name: (package.outcome, package.original) for package in found.packages} == {
        "numpy": ("same", "2.0"),
        "project": ("unknown", None),
        "click": ("added", None),
        "setuptools": ("unknown", None),
    }
    assert (found.complete, found.packages[1].recorded_by) == (True, "commit")
    assert pinned("uv.lock", lock, {"numpy": "3"}).packages[0].original == "1 or 2"


def test_a_list_adds_nothing_unless_a_tool_froze_it():
    frozen = "# This file was autogenerated by uv\nnumpy==1 --hash=sha256:00\n"
    ran = {"numpy": "1", "click": "8"}
    assert [package.outcome for package in pinned("requirements", frozen, ran).packages] == ["added", "same"]
    found = pinned("requirements", "numpy==1\n", ran)
    assert [package.outcome for package in found.packages] == ["unknown", "same"]
    assert not found.complete


def test_what_the_run_recorded_comes_before_what_its_commit_pins():
    files = (TextFile(path="m/requirements.txt", text="numpy==1.26.0\n"),)
    (numpy,) = compare_environment(make_record(environment_files=files), make_plan(), make_rerun()).differing
    assert (numpy.original, numpy.rerun, numpy.recorded_by) == ("1.26.0", "1.26.4", "run")


@pytest.mark.parametrize(
    ("listed", "reading"),
    [
        ("numpy==1\nattrs==1\nclick==1\n", "numpy 1 recorded, 2 ran could move numbers; attrs 1 recorded, 2 ran could "
         "where the training computes with it; click 1 recorded, 2 ran cannot by itself"),
        ("numpy==2\nattrs==2\nclick==2\n", "all 3 recorded versions"),
        ("click==2\n", "all 1 recorded versions; 2 without a recorded version, numpy among them, which could "
         "move numbers"),
        ("", "3 without a recorded version, numpy among them, which could move numbers"),
    ],
)  # fmt: skip
def test_the_reading_says_which_differences_could_move_numbers(listed, reading):
    ran = changed(make_rerun().environment, packages={"numpy": "2", "attrs": "2", "click": "2"})
    files = (TextFile(path="m/requirements.txt", text=listed),)
    found = compare_environment(make_record(environment_files=files), UNPINNED, make_rerun(environment=ran))
    assert found.reading == reading


def test_the_reading_of_a_whole_lock_says_that_nothing_moved():
    assert compare(make_record(), make_plan(), make_rerun()).environment.reading == (
        "the same packages as recorded: no package moved numbers"
    )


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("numpy", "can"),
        ("nvidia-cublas-cu12", "can"),
        ("mlflow-skinny", "not by itself"),
        ("rich", "not by itself"),
        ("pywin32", "not by itself"),
        ("tensorflow-intel", "can"),
        ("acme-features", "perhaps"),
    ],
)
def test_a_package_moves_numbers_if_it_computes(name, moves):
    assert moves_numbers(name) == moves


def test_the_environment_alone_changes_no_verdict():
    files = (TextFile(path="m/requirements.txt", text="numpy==1.0\nscikit-learn==0.1\n"),)
    assert judge(make_record(environment_files=files)).verdict is judge(make_record()).verdict is Verdict.IDENTICAL


def test_the_registered_models_packages_are_those_that_are_compared():
    files = tuple(
        TextFile(path=f"{name}/requirements.txt", text=f"numpy=={version}\n")
        for name, version in (("model", "1.26.4"), ("other", "1.26.0"))
    )
    record = make_record(environment_files=files)
    plan = changed(UNPINNED, registered=registered(path="model"))
    (numpy,) = compare(record, plan, make_rerun()).environment.recorded
    assert (numpy.original, numpy.outcome) == ("1.26.4", "same")
    assert compare(record, UNPINNED, make_rerun()).environment.recorded == ()


def recorded(name, text):
    """What is compared of one environment file: each package's recorded version."""
    record = make_record(environment_files=(TextFile(path=f"m/{name}", text=text),))
    return {package.name: package.original for package in compare_environment(record, UNPINNED, make_rerun()).recorded}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('colorama==0.4.6; sys_platform == "win32"', None),
        ("uvloop==0.19.0 ; sys_platform != 'win32'", "0.19.0"),
        ("x==1 ; python_version < '3.9'", None),
        ("x==1 ; python_version >= '3.9' and python_full_version < '3.9.19'", "1"),
        ("x==1 ; platform_machine == 'aarch64'", None),
        ("x==1 ; platform_system == 'Linux' and platform_machine == 'x86_64'", "1"),
        ("x[a,b]==1.0+cu118  # why", "1.0+cu118"),
        ("x==1 --hash=sha256:00", "1"),
        ("x===1", "1"),
        ("x==1.*", None),
        ("x==1,==2", None),
        ("x==1 ; nonsense", None),
        ("x>=1", None),
        ("-r other.txt", None),
        ("x @ https://files.example/x-1.whl", None),
    ],
)
def test_a_requirement_is_recorded_where_it_is_for_here_and_pins_one_version(line, found):
    assert list(recorded("requirements.txt", line).values()) == ([] if found is None else [found])
    folded = f"dependencies:\n- python=3.10\n- pip:\n  - {json.dumps(line)}\n"
    if "#" not in line and "--" not in line:
        assert recorded("conda.yaml", folded) == recorded("requirements.txt", line)


def test_lists_of_yaml_are_read_as_yaml():
    folded = (
        'dependencies:\n- python=3.9.17\n- pip<=25\n- pip:\n  - torch==2.1.0 ; platform_system == "Linux" and\n'
        '    platform_machine "aarch64"\n  - nvidia-nccl==2.18.1 ; platform_system == "Linux" and\n'
        '    platform_machine == "x86_64"\n'
    )
    assert recorded("conda.yaml", folded) == {"nvidia-nccl": "2.18.1"}
    for text in (
        "- a",
        "x: [",
        "dependencies: 3",
        "dependencies: [{pip: 1}, 2]",
        "a: " + "[" * 5000,
        "!!python/none x",
    ):
        assert recorded("conda.yaml", text) == {}


def test_one_version_in_two_spellings_is_the_same():
    files = (TextFile(path="m/requirements.txt", text="numpy==1.26.4.0\nscikit-learn==1.4.2+cpu\n"),)
    found = compare_environment(make_record(environment_files=files), UNPINNED, make_rerun()).recorded
    assert {package.name: package.outcome for package in found} == {"numpy": "same", "scikit-learn": "changed"}


@pytest.mark.parametrize(
    ("source", "root", "platform"),
    [
        (r"C:\Users\bob\train.py", None, "Windows"),
        ("train.py", "file:///D:/mlruns/1", "Windows"),
        ("/Users/bob/train.py", None, "macOS"),
        ("train.py", "file:///Users/bob/mlruns", "macOS"),
        ("/home/bob/train.py", "s3://bucket/C:x", None),
        ("", None, None),
    ],
)
def test_another_platform_that_recorded_paths_betray_is_part_of_the_reason(source, root, platform):
    """rule 25"""
    record = make_record(tags={"mlflow.source.name": source}, artifact_root=root)
    assert recorded_platform(record) == platform
    decision = judge(record)
    assert (f"recorded on {platform}" in decision.reason) is (platform is not None)


def test_a_metric_of_the_model_file_does_not_stand_for_its_bytes():
    record = make_record(metrics=(history("auc", [0.5]),))
    rerun = make_rerun(make_run(metrics=captured("auc", [0.5])), outputs=(written(digest=md5("x")),))
    assert judge(record, rerun=rerun).verdict is not Verdict.IDENTICAL


@pytest.mark.parametrize("kind", ["poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"])
def test_every_kind_of_lock_is_a_record_of_all_packages(kind):
    package = '[[{}]]\nname = "{}"\nversion = "{}"\n'
    list_name = "packages" if kind == "pylock.toml" else "package"
    lock = package.format(list_name, "NumPy", "1.0") + package.format(list_name, "six", "1.16.0")
    if kind == "Pipfile.lock":
        lock = json.dumps({"default": {"NumPy": {"version": "==1.0"}, "six": {"version": "==1.16.0"}}})
    found = pinned(kind, lock, {"numpy": "1.0", "six": "1.15.0", "click": "8"}, exact=True)
    assert {item.name: (item.outcome, item.original) for item in found.packages} == {
        "numpy": ("same", "1.0"),
        "six": ("changed", "1.16.0"),
        "click": ("added", None),
    }
    assert pinned(kind, "broken [", {"numpy": "1.0"}).packages[0].outcome == "added"
