"""Limits, variables, remotes and pointers of a plan."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner.errors import MissingFact, UsageError
from runner.plan.edits import edit_pointers
from runner.plan.limits import check_fit, recorded_duration_s, set_limits
from runner.plan.remotes import choose_remotes
from runner.plan.variables import set_variables
from runner.pointers.rewrite import create_pointer
from runner.schema.plan import PointerEdit, Remote
from runner.schema.snapshot import DvcRemote, RepositorySnapshot
from runner.settings import Settings
from tests.support.facts import REMOTE, lineage, pointed, run, seen, settings, snapshot
from tests.support.values import START, data_file, md5

DATA, MODEL = "data/train.csv", "models/model.joblib"


def test_a_timeout_is_three_times_the_recorded_duration_and_ten_minutes() -> None:
    found = set_limits(run(), settings())
    assert (found.timeout_s, found.timeout_source) == (960.0, "three times the recorded 120 s, and ten minutes")


@pytest.mark.parametrize("end", [None, START - timedelta(hours=1)])
def test_without_a_duration_the_timeout_is_a_default(end: object) -> None:
    record = run(end_time=end)
    assert recorded_duration_s(record) is None
    assert set_limits(record, settings()).timeout_source.startswith("default")


def test_limits_are_the_auditors() -> None:
    found = set_limits(run(), settings(timeout="90s", memory="2g", cpus="4", pids_limit="99", shm_size="64m"))
    assert (found.timeout_s, found.timeout_source) == (90.0, "--timeout")
    assert (found.memory_bytes, found.cpuset, found.pids, found.shm_bytes) == (2 << 30, "0-3", 99, 64 << 20)


def test_output_and_log_have_limits_of_the_auditors_file() -> None:
    found = set_limits(run(), settings(yaml="limits: {output: 2g, log: 1m}"))
    assert (found.output_bytes, found.log_bytes) == (2 << 30, 1 << 20)


@pytest.mark.parametrize(
    ("flags", "words", "remedy"),
    [
        ({"cpus": "4"}, "processors 0-3 were asked for; the engine has 2 processors (0-1)", "--cpus 2"),
        ({"cpus": "0,2"}, "processors 0,2 were asked for", "--cpus 2"),
        ({"memory": "9g"}, "9216 MiB of memory were asked for; the engine has 8192 MiB", "--memory 8192m"),
        ({"memory": "1m"}, "less than an engine can limit to", "--memory 6m"),
    ],
)
def test_more_than_the_engine_has_is_an_error_of_usage(flags: dict[str, str], words: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_fit(set_limits(run(), settings(**flags)), cpus=2, memory_bytes=8 << 30)
    assert words in caught.value.cause
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("flags", [{}, {"cpus": "2"}, {"cpus": "1"}, {"cpus": "0-1"}, {"memory": "8g"}])
def test_what_the_engine_has_may_be_asked_for(flags: dict[str, str]) -> None:
    check_fit(set_limits(run(), settings(**flags)), cpus=2, memory_bytes=8 << 30)
    check_fit(set_limits(run(), settings(memory="64g")), cpus=2, memory_bytes=0)


def test_each_circumstance_that_the_record_lacks_is_a_sentence() -> None:
    variables, lacking = set_variables(run(), None)
    assert variables == {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    assert [line.split(":")[0] for line in lacking] == [
        "time zone",
        "locale",
        "hash seed of Python",
        "threads of BLAS and OpenMP",
        "processors",
    ]


def test_recorded_variables_are_fixed_and_not_listed() -> None:
    tags = {"PYTHONHASHSEED": "0", "env.OMP_NUM_THREADS": "2", "TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8"}
    variables, lacking = set_variables(run(tags=tags), "0-3")
    assert variables["PYTHONHASHSEED"] == "0"
    assert (variables["OMP_NUM_THREADS"], variables["TZ"]) == ("2", "Asia/Tokyo")
    assert "MKL_NUM_THREADS" not in variables
    assert [line.split(":")[0] for line in lacking] == ["processors"]


def test_threads_that_are_not_recorded_are_those_of_the_cpu_set() -> None:
    variables, lacking = set_variables(run(), "0,2")
    assert {variables[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"2"}
    assert "threads of BLAS and OpenMP: not recorded, 2 here" in lacking
    assert variables["PYTHON_CPU_COUNT"] == "2"
    assert "PYTHON_CPU_COUNT" not in set_variables(run(), None)[0]


def test_a_value_that_is_no_plain_word_is_not_made_a_variable() -> None:
    assert "PYTHONHASHSEED" not in set_variables(run(tags={"PYTHONHASHSEED": "0\nX=1"}), None)[0]


def remotes(
    repository: RepositorySnapshot, chosen: Settings | None = None
) -> tuple[tuple[Remote, ...], tuple[str, ...]]:
    chosen = chosen or settings()
    return choose_remotes(run(), repository, lineage(run(), repository, chosen), chosen)


def test_remotes_come_in_the_order_commits_default_todays_default_flag_the_others() -> None:
    repository = snapshot(
        remotes=(DvcRemote(name="spare", url="s3://spare"), REMOTE),
        remotes_today=(DvcRemote(name="new", url="s3://new/x", default=True),),
    )
    found, _ = remotes(repository, settings(remote="s3://mine"))
    assert [(item.url, item.source, item.confirmed_by) for item in found] == [
        ("/srv/store", "default remote at commit 9f3c2e1d0b4a", None),
        ("s3://new/x", "default remote today", None),
        ("s3://mine", "--remote", "--remote"),
        ("s3://spare", "remote spare at commit 9f3c2e1d0b4a", None),
    ]


def test_a_remote_named_by_the_auditor_is_confirmed() -> None:
    found, _ = remotes(snapshot(), settings(yaml="remote: main"))
    assert (found[0].url, found[0].source) == ("/srv/store", "remote in runner.yaml main")
    assert found[0].confirmed_by == "remote in runner.yaml"
    assert len(found) == 1


def test_a_given_folder_is_meant_from_where_the_command_is_called() -> None:
    assert remotes(snapshot(), settings(remote="store"))[0][1].url == "/home/ann/store"
    assert remotes(snapshot(), settings(remote="file:///x"))[0][1].url == "/x"


@pytest.mark.parametrize(
    ("location", "url", "root", "expected"),
    [
        ("/srv/fraud", "../../store", ".", "/srv/store"),
        ("/srv/fraud", "../store", "sub", "/srv/fraud/sub/store"),
        ("file:///srv/fraud", "../../store", ".", "/srv/store"),
        ("../fraud", "../../store", ".", "/home/store"),
        ("https://git.example/x", "/mnt/store", ".", "/mnt/store"),
    ],
)
def test_a_local_remote_is_relative_to_the_original_repository(
    location: str, url: str, root: str, expected: str
) -> None:
    repository = snapshot(location=location, remotes=(DvcRemote(name="main", url=url, default=True, root=root),))
    assert remotes(repository)[0][0].url == expected


@pytest.mark.parametrize("location", ["https://git.example/x", "git@git.example:acme/x"])
def test_a_folder_beside_a_clone_elsewhere_is_noted_and_not_used(location: str) -> None:
    found, notes = remotes(snapshot(location=location))
    assert found == ()
    assert "not here" in notes[0]


def test_a_drive_of_another_machine_and_refused_settings_are_noted() -> None:
    repository = snapshot(
        remotes=(DvcRemote(name="main", url=r"D:\store", default=True, refused=("bearer_token_command",)),)
    )
    found, notes = remotes(repository)
    assert found == ()
    assert "bearer_token_command" in notes[0]
    assert "drive of another machine" in notes[1]


def test_an_input_without_any_remote_is_missing_one() -> None:
    repository = snapshot(dict([pointed(DATA, "data"), pointed("b.csv", "b")]), remotes=())
    with pytest.raises(MissingFact) as caught:
        remotes(repository)
    assert caught.value.fact == "remote"
    assert "--remote" in caught.value.remedy
    assert remotes(repository, settings(allow=("cached",)))[0] == ()


def edits(repository: RepositorySnapshot, **tags: str) -> dict[str, PointerEdit]:
    record = run(tags=tags)
    found = lineage(record, repository).files
    return {edit.path: edit for edit in edit_pointers(found, record, repository, settings())}


def test_a_pointer_that_matches_is_not_touched() -> None:
    assert edits(snapshot(dict([pointed(DATA, "data")])), dvc_data_md5=md5("data").hexdigest) == {}


def test_a_stale_pointer_is_rewritten_with_its_comments_kept() -> None:
    text = f"# mine\nouts:\n- md5: {md5('older').hexdigest}  # old\n  hash: md5\n  path: train.csv\n"
    repository = snapshot({f"{DATA}.dvc": text}, history=(seen(DATA, "data"),))
    edit = edits(repository, dvc_data_md5=md5("data").hexdigest)[f"{DATA}.dvc"]
    assert edit.text == text.replace(md5("older").hexdigest, md5("data").hexdigest)
    assert not edit.created


def test_two_outs_of_one_pointer_are_rewritten_in_one_text() -> None:
    text = f"outs:\n- md5: {'0' * 31}a\n  hash: md5\n  path: a\n- md5: {'0' * 31}b\n  hash: md5\n  path: b\n"
    repository = snapshot({"all.dvc": text}, history=(seen("a", "a"), seen("b", "b")))
    edit = edits(repository, dvc_data_md5=f"{md5('a').hexdigest},{md5('b').hexdigest}")["all.dvc"]
    assert md5("a").hexdigest in edit.text
    assert md5("b").hexdigest in edit.text


def test_a_pointer_that_the_commit_lacks_is_created() -> None:
    repository = snapshot(history=(seen(MODEL, "model"),))
    edit = edits(repository, dvc_model_md5=md5("model").hexdigest)[f"{MODEL}.dvc"]
    assert (edit.created, edit.text) == (True, create_pointer(MODEL, md5("model")))


def test_an_import_becomes_a_plain_pointer() -> None:
    text = f"deps:\n- path: x\nouts:\n- md5: {md5('older').hexdigest}\n  hash: md5\n  path: train.csv\n"
    repository = snapshot({f"{DATA}.dvc": text}, history=(seen(DATA, "data"),))
    edit = edits(repository, dvc_data_md5=md5("data").hexdigest)[f"{DATA}.dvc"]
    assert (edit.created, edit.text) == (False, create_pointer(DATA, md5("data")))


def test_a_pointer_that_cannot_be_rewritten_is_missing() -> None:
    repository = snapshot(dict([pointed(DATA, "older")]))
    broken = repository.model_copy(update={"texts": {f"{DATA}.dvc": "outs: ["}})
    with pytest.raises(MissingFact) as caught:
        edit_pointers((data_file(),), run(), broken, settings())
    assert caught.value.fact == "pointer"
