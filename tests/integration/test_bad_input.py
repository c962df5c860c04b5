"""What a run gets that is not as it should be: a sentence with its remedy, an exit code, and nothing left behind.

What is refused before a container starts is beside what only a rerun shows; all of it on the real engine, git and DVC.
"""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import RepositoryUnavailable
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.schema.reproduction import Missing, Reproduction, Verdict
from tests.support.judging import Judge, judging, why
from tests.support.mlflow_stores import write_sqlite_store
from tests.support.projects import EXPERIMENT_ID, RUN_ID, START_MS, RecordedProject, script
from tests.support.repositories import pointer_text


def missing(reproduction: Reproduction, fact: str) -> Missing:
    """What an unverifiable run lacks, once it is that fact."""
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.verdict.exit_code == 3
    assert reproduction.missing is not None
    assert reproduction.missing.fact == fact
    assert reproduction.missing.remedy
    return reproduction.missing


# --- the repository


@pytest.fixture
def git_host() -> Iterator[Callable[[int], str]]:
    """A git host that answers every question with one status; returns the address of a repository there."""
    servers = []

    def answer(status: int) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/acme/sums.git"

    yield answer
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [404, 410])
def test_a_repository_that_is_gone_is_unverifiable(
    project: RecordedProject, judge: Judge, git_host: Callable[[int], str], status: int
) -> None:
    project.commit_training()
    project.record()
    repository = git_host(status)
    fact = missing(judge(repo=repository), "repository")
    assert repository in fact.cause
    assert "--repo" in fact.remedy


@pytest.mark.parametrize("status", [401, 403, 500, 503, None])
def test_a_repository_that_refuses_or_does_not_answer_is_infrastructure(
    project: RecordedProject, judge: Judge, git_host: Callable[[int], str], status: int | None
) -> None:
    project.commit_training()
    project.record()
    repository = "http://127.0.0.1:9/acme/sums.git" if status is None else git_host(status)
    with pytest.raises(RepositoryUnavailable) as caught:
        judge(repo=repository.replace("//", "//ann:pa55word@"))
    assert caught.value.exit_code == 5
    assert repository in caught.value.cause
    assert "pa55word" not in caught.value.cause + caught.value.remedy
    assert caught.value.remedy
    assert not (judge.folder / "reproductions").exists()


def test_a_shallow_clone_is_completed_from_its_origin_or_refused(
    project: RecordedProject, judge: Judge, tmp_path: Path
) -> None:
    """Pointers are never inferred from a cut history: the model's was committed after the run."""
    project.commit_training()
    project.record()
    clone = tmp_path / "clone"
    origin = project.repository.path.as_uri()
    subprocess.run(["git", "clone", "-q", "--depth", "1", origin, str(clone)], check=True)
    complete = judge(repo=str(clone), remote=str(project.store.path))
    assert complete.verdict is Verdict.IDENTICAL, why(complete)
    project.repository.path.rename(tmp_path / "gone")
    shutil.rmtree(judge.folder / "reproductions")
    fact = missing(judge(repo=str(clone), tracker=str(tmp_path / "gone" / "mlruns")), "history")
    assert "shallow" in fact.cause
    assert "--unshallow" in fact.remedy


def test_commits_that_disagree_are_both_shown(project: RecordedProject, judge: Judge) -> None:
    other = project.repository.commit({"train.py": "print('other code')\n"})
    project.commit_training()
    project.record(tags={"mlflow.source.git.commit": other})
    fact = missing(judge(), "commit")
    assert {project.commit[:12], other[:12]} <= set(fact.cause.replace(";", " ").split())
    assert [f"--commit {project.commit}", f"--commit {other}"] == list(fact.nearest)


def test_a_short_id_of_two_commits_is_ambiguous_and_both_can_be_pasted(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record()
    prefix = two_commits_of_one_prefix(project)
    fact = missing(judge(commit=prefix), "commit")
    assert prefix in fact.cause
    assert len(fact.nearest) >= 2
    assert all(line.startswith(f"--commit {prefix}") for line in fact.nearest)


def two_commits_of_one_prefix(project: RecordedProject) -> str:
    """Make commits on a branch aside until two begin with the same four digits."""
    lines = [
        f"commit refs/heads/aside\ncommitter Ann <ann@example.org> {1_700_000_000 + number} +0000\ndata 0\n"
        for number in range(2000)
    ]
    project.repository.git("fast-import", "--quiet", stdin="\n".join(lines).encode())
    shown = project.repository.git("log", "--format=%H", "aside").splitlines()
    prefixes = [sha[:4] for sha in shown]
    return next(prefix for prefix in prefixes if prefixes.count(prefix) > 1)


# --- the run


@pytest.mark.parametrize("status", [4, pytest.param(5, marks=pytest.mark.full)], ids=["FAILED", "KILLED"])
def test_of_a_run_that_ended_early_only_what_it_recorded_is_compared(
    project: RecordedProject, judge: Judge, status: int
) -> None:
    """rule 13"""
    project.commit_training()
    total = sum(project.values)
    project.record(status=status, metrics={"loss": [total, total / 2]})
    reproduction = judge()
    assert reproduction.verdict is Verdict.REPRODUCED, why(reproduction)
    assert "until the run ended as" in reproduction.reason


@pytest.mark.parametrize("status", [1, 2], ids=["RUNNING", "SCHEDULED"])
def test_a_run_that_has_not_ended_is_not_rerun_unless_that_is_allowed(
    project: RecordedProject, judge: Judge, status: int
) -> None:
    """rule 13"""
    project.commit_training()
    total = sum(project.values)
    project.record(status=status, metrics={"loss": [total, total / 2]})
    fact = missing(judge(), "finished run")
    assert "--allow unfinished" in fact.remedy
    if status == 1:
        allowed = judge(allow=("unfinished",))
        assert allowed.verdict is Verdict.REPRODUCED, why(allowed)
        assert [line for line in allowed.not_verified if line.startswith("--allow unfinished")]


class Meanwhile(NoProgress):
    """Does something to the original while its training is rerun."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        yield
        if name == "train":
            self._act()


ALSO_CHANGED = [pytest.param(change, marks=pytest.mark.full) for change in ("a param", "the status", "deleted")]


@pytest.mark.parametrize("change", ["a metric", "gone", *ALSO_CHANGED])
def test_a_run_that_changed_while_it_was_rerun_is_unverifiable(
    project: RecordedProject, judge: Judge, change: str
) -> None:
    """rule 13: the record is read before and after."""
    project.commit_training()
    project.record()
    run = project.tracker / EXPERIMENT_ID / RUN_ID

    def act() -> None:
        meta = run / "meta.yaml"
        if change == "a metric":
            with (run / "metrics" / "loss").open("a") as file:
                file.write(f"{START_MS} 0.1 9\n")
        elif change == "a param":
            (run / "params" / "scale").write_text("2.0")
        elif change == "the status":
            meta.write_text(meta.read_text().replace("status: 3", "status: 1"))
        elif change == "deleted":
            meta.write_text(meta.read_text().replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
        else:
            shutil.rmtree(run)

    reproduction = judge.with_evidence(progress=Meanwhile(act)).reproduction
    assert "changed during the rerun" in missing(reproduction, "record").cause


@pytest.mark.parametrize("length", [250, 500, pytest.param(6000, marks=pytest.mark.full)])
def test_a_param_that_the_store_cut_is_equal_so_far(project: RecordedProject, judge: Judge, length: int) -> None:
    """rule 10: MLflow cut at 250, at 500 and at 6000 characters."""
    text = script(inside="mlflow.log_param('note', 'x' * 6000)")
    project.commit_training(text)
    project.record(params={"note": "x" * length})
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.comparison is not None
    (note,) = [param for param in reproduction.comparison.params if param.name == "note"]
    assert (note.note is None) == (length == 6000)


def test_values_that_a_database_cannot_hold_are_those_that_it_holds_instead(
    project: RecordedProject, judge: Judge, tmp_path: Path
) -> None:
    """rules 02 and 03: infinities are clamped, the sign of zero is lost, duplicates and the order of ties too."""
    logs = (
        "import math\n"
        "    client = mlflow.MlflowClient(); run = mlflow.active_run().info.run_id\n"
        "    for value in (-0.0, math.inf, -math.inf, math.nan): mlflow.log_metric('odd', value, step=1)\n"
        "    for value in (3.0, 1.0, 2.0, 2.0): client.log_metric(run, 'tied', value, timestamp=1700000000000, step=0)"
    )
    project.commit_training(script(inside=logs))
    project.commit_pointers()
    largest = 1.7976931348623157e308
    odd = [(START_MS + 1000 + index, value, 1) for index, value in enumerate((0.0, largest, -largest, float("nan")))]
    run = project.stored_run(odd=odd, tied=[(1_700_000_000_000, value, 0) for value in (1.0, 2.0, 3.0)])
    database = write_sqlite_store(tmp_path / "mlflow.db", [run])
    reproduction = judge(tracker=f"sqlite:///{database}", repo=str(project.repository.path))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.comparison is not None
    said = " ".join(reproduction.comparison.mappings)
    assert all(word in said for word in ("infinities", "sign of zero", "duplicates", "no order"))


def test_results_in_the_repository_are_no_baseline(project: RecordedProject, judge: Judge) -> None:
    """rule 23: many are stale. A run without metrics has none, whatever the commit's files say."""
    files = {"metrics.json": '{"total": 7.75}', "dvc.yaml": "metrics: [metrics.json]\n"}
    project.commit_training(files=files)
    project.record()
    shutil.rmtree(project.tracker / EXPERIMENT_ID / RUN_ID / "metrics")
    missing(judge(), "metrics")


def test_a_training_that_would_make_its_own_data_is_not_started_without_the_recorded(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 20: it would end well, with a believable number."""
    makes = "Path('data/train.csv').exists() or Path('data/train.csv').write_text('1.0\\n')"
    project.commit_training(script(before=makes))
    project.record()
    project.store.remove(project.stored_data.digest)
    reproduction = judge()
    assert "data/train.csv" in missing(reproduction, "data").cause
    assert reproduction.rerun is None
    assert reproduction.stopped_before == "restore"


# --- several at once


def test_two_digests_of_one_path_in_one_cache_do_not_meet(
    shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training reads its own bytes, though both are `data/train.csv` and run at the same time."""
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    project.commit_training()
    project.record()
    other = "e" * 32
    later = project.store.put(b"10.0\n20.0\n")
    model = project.store.put(b"model of [10.0, 20.0]")
    project.repository.commit({"data/train.csv.dvc": pointer_text("train.csv", later)})
    project.repository.commit({"runs/model.bin.dvc": pointer_text("model.bin", model)})
    project.record(
        run_id=other,
        tags={"dvc_data_md5": later.digest.dvc, "dvc_model_md5": model.digest.dvc},
        metrics={"loss": [30.0, 15.0, 7.5, 3.75], "total": [30.0]},
        pointers=False,
    )
    with judging(project, shared_engine, tmp_path, monkeypatch) as judge, ThreadPoolExecutor(2) as pool:
        for reproduction in pool.map(judge, (RUN_ID, other)):
            assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
