"""What was found so far is said in phrases, without what is missing; caches lie where people look for them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ImageUnavailable, MissingFact, UsageError
from runner.finding import find_run
from runner.plan.images import NOT_MADE
from runner.planning import Found, cache_folder
from runner.planning import make_plan as plan_of
from runner.progress import NoProgress
from runner.schema.plan import EnvironmentSpec, Images, Plan
from runner.settings import Flags, load_settings
from tests.support.repositories import Repository, dvc_config
from tests.support.values import make_plan, make_record


def test_nothing_found_is_nothing_said() -> None:
    assert Found().facts(except_for="data") == ()


def test_what_was_found_is_said_without_what_is_missing() -> None:
    plan = make_plan()
    found = Found(lineage=plan.lineage, plan=plan)
    assert found.facts(except_for="") == (
        "digests of 2 files",
        'command (stage "train" of dvc.yaml)',
        "Python 3.9",
        "uv.lock at the commit",
    )
    assert found.facts(except_for="data")[0].startswith("command")
    assert "Python 3.9" not in found.facts(except_for="python")


def test_caches_lie_where_we_are_told_or_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("REPRO_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "reproducibility-runner"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "reproducibility-runner"


def test_without_a_tracker_there_is_a_usage_error_that_names_the_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        find_run("ab12", load_settings(Flags()))
    assert "--tracker" in caught.value.remedy
    assert list(tmp_path.iterdir()) == [], "and no store is made"


GONE = {"mlflow.source.git.repoURL": "http://127.0.0.1:9/acme/gone.git"}


def test_a_clone_at_hand_that_has_the_commit_stands_in_for_a_recorded_place_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "clone")
    commit = repository.commit({"train.py": "print()\n", "requirements.txt": "six==1.16.0\n"})
    record = make_record(tags={**GONE, "git_commit": commit, "mlflow.source.name": "train.py"}, params={})
    settings = load_settings(Flags(), {}, repository.path)
    plan = plan_of(record, settings, lambda _: NOT_MADE, Found(), NoProgress())
    found = next(fact for fact in plan.lineage.provenance if fact.fact == "repository")
    assert (found.value, found.source) == (str(repository.path), "the current directory")
    assert found.considered[-1].value == GONE["mlflow.source.git.repoURL"]


def test_the_repository_that_holds_a_store_whose_address_is_percent_encoded_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "a clone (1)")
    commit = repository.commit({"train.py": "print()\n", "requirements.txt": "six==1.16.0\n"})
    store = repository.path / "mlruns"
    store.mkdir()
    tags = {**GONE, "git_commit": commit, "mlflow.source.name": "train.py"}
    record = make_record(uri=store.as_uri(), tags=tags, params={})
    plan = plan_of(record, load_settings(Flags(), {}, tmp_path), lambda _: NOT_MADE, Found(), NoProgress())
    found = next(fact for fact in plan.lineage.provenance if fact.fact == "repository")
    assert "%20" in record.uri
    assert (found.value, found.source) == (str(repository.path), "the repository that holds the tracker's files")


@pytest.mark.parametrize("store", ["elsewhere/mlruns", "clone/mlruns"])
def test_why_the_only_repository_at_hand_could_not_be_used_is_what_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str
) -> None:
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "clone")
    repository.commit({"train.py": "print()\n"})
    (tmp_path / store).mkdir(parents=True)  # where that is the same repository, it is not asked twice
    record = make_record(
        uri=str(tmp_path / store), tags={"git_commit": "0" * 40, "mlflow.source.name": "train.py"}, params={}
    )
    settings = load_settings(Flags(), {}, repository.path)
    with pytest.raises(MissingFact, match="0000000") as caught:
        plan_of(record, settings, lambda _: NOT_MADE, Found(), NoProgress())
    assert caught.value.fact == "commit"


@pytest.mark.parametrize(
    ("stands", "named", "committed", "own"),
    [
        ("clone", False, False, True),
        ("clone/sub", False, False, True),
        ("elsewhere", True, False, True),
        ("elsewhere", False, False, False),  # found by the tracker's store alone: who knows whose it is
        ("clone", False, True, False),  # then it is the repository's, whatever lies there now
        ("clone", True, True, False),
    ],
)
def test_a_local_dvc_configuration_is_the_auditors_in_a_clone_of_theirs_unless_it_was_ever_committed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stands: str, named: bool, committed: bool, own: bool
) -> None:
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "clone")
    local = dvc_config("s3://mine/x", "storage", access_key_id="A", secret_access_key="B")
    if committed:
        repository.commit({".dvc/config.local": local})
        repository.commit({".dvc/config.local": None})
    files = {"train.py": "print()\n", "requirements.txt": "six==1.16.0\n", ".dvc/config": dvc_config("s3://data/x")}
    commit = repository.commit({**files, "sub/x": "x"})
    (repository.path / ".dvc" / "config.local").write_text(local)
    for folder in ("elsewhere", "clone/mlruns"):
        (tmp_path / folder).mkdir()
    record = make_record(
        uri=str(repository.path / "mlruns"), tags={"git_commit": commit, "mlflow.source.name": "train.py"}, params={}
    )
    settings = load_settings(Flags(repo=str(repository.path) if named else None), {}, tmp_path / stands)
    found = Found()
    plan = plan_of(record, settings, lambda _: NOT_MADE, found, NoProgress())
    source = f"remote storage of {repository.path}/.dvc/config.local"
    assert plan.remotes[0].confirmed_by == (source if own else None)
    assert found.host is not None
    assert [remote.name for remote in found.host.remotes] == (["storage"] if own else [])


@pytest.mark.parametrize(
    ("flags", "confirm", "answer", "asked", "confirmed"),
    [
        ({}, True, True, 1, "you, on the terminal"),
        ({}, True, False, 1, None),
        ({}, False, True, 0, None),  # `runner plan` asks nobody
        ({"offline": True}, True, True, 0, None),
        ({"remote": "storage"}, True, True, 0, "--remote"),
    ],
)
def test_a_person_is_asked_once_where_the_answer_matters(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    flags: dict[str, Any],
    confirm: bool,
    answer: bool,
    asked: int,
    confirmed: str | None,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "B")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "clone")
    files = {"train.py": "print()\n", "requirements.txt": "six==1.16.0\n", ".dvc/config": dvc_config("s3://data/x")}
    commit = repository.commit(files)
    record = make_record(tags={"git_commit": commit, "mlflow.source.name": "train.py"}, params={})
    questions: list[str] = []

    class Asking(NoProgress):
        def ask(self, question: str) -> bool:
            questions.append(question)
            return answer

    settings = load_settings(Flags(**flags), {}, repository.path)
    plan = plan_of(record, settings, lambda _: NOT_MADE, Found(), Asking(), confirm=confirm)
    assert questions == ["Send credentials of this host to s3, host amazonaws.com, bucket data?"] * asked
    assert plan.remotes[0].confirmed_by == confirmed


def had(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    images: tuple[str, ...],
    wheels: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
    asks: bool = True,
    offline: bool = False,
    nowhere: type[MissingFact] | type[ImageUnavailable] = MissingFact,
) -> tuple[Plan, list[str]]:
    """The plan of a run of 2024-01 where images and wheels can be had for these Pythons, and what was asked."""
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    repository = Repository(tmp_path / "clone")
    commit = repository.commit({"train.py": "print()\n", "requirements.txt": "six==1.16.0\n", **(files or {})})
    start = datetime(2024, 1, 2, tzinfo=timezone.utc)
    record = make_record(
        tags={"git_commit": commit, "mlflow.source.name": "train.py"},
        params={},
        environment_files=(),
        start_time=start,
        end_time=start,
    )
    asked: list[str] = []

    def images_for(environment: EnvironmentSpec) -> Images:
        python = environment.python
        asked.append(f"image {python}")
        if python not in images:
            if nowhere is ImageUnavailable:
                raise ImageUnavailable(f"no image of {python}", "run without --offline")
            raise MissingFact(f"no image of {python}", "--python", fact="python")
        return NOT_MADE.model_copy(update={"base": f"py{python}"})

    def lacks_wheels(plan: Plan) -> str | None:
        python = plan.environment.python
        assert plan.images.base == f"py{python}"
        asked.append(f"wheels {python}")
        return None if python in wheels else "numpy 1.22.0 has no wheel for it"

    settings = load_settings(Flags(offline=offline), {}, repository.path)
    found = Found()
    lacks = lacks_wheels if asks else None
    plan = plan_of(record, settings, images_for, found, NoProgress(), lacks_wheels=lacks)
    assert found.plan == plan == plan.sealed()
    return plan, asked


def test_a_guessed_python_is_the_newest_that_an_image_and_all_wheels_can_be_had_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan, asked = had(monkeypatch, tmp_path, images=("3.11", "3.9"), wheels=("3.9",))
    assert asked == ["image 3.12", "image 3.11", "wheels 3.11", "image 3.10", "image 3.9", "wheels 3.9"]
    assert (plan.environment.python, plan.images.base) == ("3.9", "py3.9")
    note = next(note for note in plan.environment.notes if note.startswith("Python 3.9"))
    assert "3.12 (no image has it), 3.10 (no image has it), 3.11 (numpy 1.22.0 has no wheel for it)" in note


def test_where_no_python_has_all_wheels_the_newest_is_left_to_build_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan, asked = had(monkeypatch, tmp_path, images=("3.11", "3.9"))
    assert asked[-1] == "image 3.6"
    assert (plan.environment.python, plan.images.base) == ("3.11", "py3.11")


def test_without_an_engine_that_resolves_the_newest_that_can_be_had_is_planned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan, asked = had(monkeypatch, tmp_path, images=("3.11", "3.9"), asks=False)
    assert (plan.environment.python, asked) == ("3.11", ["image 3.12", "image 3.11"])


def test_a_recorded_python_is_never_another_whatever_can_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MissingFact, match=r"no image of 3\.8"):
        had(monkeypatch, tmp_path, images=("3.11", "3.9"), files={".python-version": "3.8\n"})


def test_a_recorded_python_is_not_asked_for_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {".python-version": "3.9\n"}
    assert had(monkeypatch, tmp_path, images=("3.11", "3.9"), files=files)[1] == ["image 3.9"]


def test_without_a_network_a_guess_is_what_this_machine_has_and_with_one_an_outage_is_no_reason_for_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = {"images": ("3.9",), "wheels": ("3.9",), "nowhere": ImageUnavailable}
    (tmp_path / "offline").mkdir()
    plan, _ = had(monkeypatch, tmp_path / "offline", offline=True, **here)  # type: ignore[arg-type]
    assert plan.environment.python == "3.9"
    (tmp_path / "online").mkdir()
    with pytest.raises(ImageUnavailable, match=r"3\.12"):
        had(monkeypatch, tmp_path / "online", **here)  # type: ignore[arg-type]


def test_where_no_guess_can_be_had_the_likeliest_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(MissingFact, match=r"no image of 3\.12") as caught:
        had(monkeypatch, tmp_path, images=())
    assert caught.value.fact == "python"
