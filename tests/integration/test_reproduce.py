"""`reproduce` from run id to verdict on the real engine: the main job, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.errors import EngineUnavailable
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.comparison import Outcome
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.judging import Judge, why
from tests.support.mlflow_stores import write_sqlite_store
from tests.support.projects import EXPERIMENT_ID, REQUIREMENTS, RUN_ID, RecordedProject, script
from tests.support.repositories import fingerprint, pointer_text


def test_a_run_of_pattern_is_identical_and_its_original_is_only_read(project: RecordedProject, judge: Any) -> None:
    """The pointer at the commit is stale, the model's absent; both are as the run's tags say for the rerun."""
    project.commit_training()
    project.record()
    before = fingerprint(project.folder)
    subprocess.run(["mount", "--bind", str(project.folder), str(project.folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(project.folder)], check=True)
        done = judge.with_evidence()
    finally:
        subprocess.run(["umount", str(project.folder)], check=True)
    reproduction = done.reproduction
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert fingerprint(project.folder) == before
    assert reproduction.comparison is not None
    assert {(metric.name, metric.outcome) for metric in reproduction.comparison.metrics} == {
        ("loss", Outcome.EQUAL),
        ("total", Outcome.EQUAL),
    }
    assert [output.outcome for output in reproduction.comparison.outputs] == [Outcome.EQUAL]
    document = json.loads((done.evidence / "reproduction.json").read_text())
    assert Reproduction.model_validate_json((done.evidence / "reproduction.json").read_text()) == reproduction
    assert document["run"]["id"] == RUN_ID
    assert document["lineage"]["files"][0].keys() >= {"path", "digest", "role", "source"}
    assert (done.evidence / "report.md").read_text().startswith("#")
    assert (done.evidence / "logs" / "train.log").exists()
    assert (done.evidence / "outputs" / "runs" / "model.bin").read_bytes() == project.model


def test_a_version_that_only_the_logged_model_recorded_is_the_one_that_runs(
    project: RecordedProject, judge: Judge
) -> None:
    """The list at the commit leaves it open; as of the run's date another is the newest."""
    logs = 'import idna; mlflow.log_metric("idna", float(idna.__version__))'
    project.commit_training(script(inside=logs), files={"requirements.txt": f"{REQUIREMENTS}idna\n"})
    total = sum(project.values)
    losses = [total / 2**step for step in range(4)]
    project.record(metrics={"loss": losses, "total": [total], "idna": [3.4]})
    model = project.tracker / EXPERIMENT_ID / RUN_ID / "artifacts" / "model"
    model.mkdir(parents=True)
    (model / "requirements.txt").write_text("idna==3.4\npywin32==306\n")
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert reproduction.rerun.environment.packages["idna"] == "3.4"
    assert any("not pinned but for 1 version as recorded" in line for line in reproduction.not_verified)
    assert not any("exact" in line for line in reproduction.verified)
    assert any("left out: pywin32==306" in line for line in reproduction.not_verified)
    assert reproduction.comparison is not None
    environment = reproduction.comparison.environment
    assert {item.name: (item.outcome, item.recorded_by) for item in environment.packages if item.recorded_by} == {
        "idna": ("same", "run"),
        "mlflow-skinny": ("same", "commit"),
        "pywin32": ("removed", "run"),
    }
    assert environment.counts["unknown"] == len(reproduction.rerun.environment.packages) - 2
    assert environment.reading.startswith("pywin32 306 recorded, none ran cannot by itself; ")
    assert environment.python is not None
    assert (environment.python.original, environment.python.outcome) == ("3.11", "same")


def test_another_recorded_number_diverges_and_says_which(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record(metrics={"loss": [7.75, 3.875, 1.9375, 0.96875], "total": [7.750001]})
    reproduction = judge(rtol="1e-9")
    assert reproduction.verdict is Verdict.DIVERGED
    assert reproduction.comparison is not None
    outside = [metric.name for metric in reproduction.comparison.metrics if metric.outcome is Outcome.OUTSIDE]
    assert outside == ["total"]


def test_within_the_tolerance_is_reproduced(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record(metrics={"loss": [7.75, 3.875, 1.9375, 0.96875], "total": [7.750000001]})
    assert judge().verdict is Verdict.REPRODUCED


def test_data_without_tags_comes_from_the_pointer_at_the_commit(project: RecordedProject, judge: Judge) -> None:
    project.commit_training(files={"data/train.csv.dvc": pointer_text("train.csv", project.stored_data)})
    project.record(tags={"dvc_data_md5": None, "dvc_model_md5": None})
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert reproduction.lineage is not None
    assert "pointer" in reproduction.lineage.files[0].source


def test_an_older_model_of_which_nobody_knows_the_role_can_be_overwritten(
    project: RecordedProject, judge: Judge
) -> None:
    """Without tags the stale pointer of the model is a file like the data; a read-only link would stop the training."""
    older = project.store.put(b"an older model")
    pointers = {
        "data/train.csv.dvc": pointer_text("train.csv", project.stored_data),
        "runs/model.bin.dvc": pointer_text("model.bin", older),
    }
    project.commit_training(files=pointers)
    project.record(tags={"dvc_data_md5": None, "dvc_model_md5": None})
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_data_that_the_remote_does_not_hold_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """Rule 20: some scripts quietly build other data when their own is missing."""
    project.commit_training()
    project.record()
    project.store.remove(project.stored_data.digest)
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "data"
    assert "--remote" in reproduction.missing.remedy or "--allow cached" in reproduction.missing.remedy
    assert reproduction.rerun is None


def test_a_digest_with_two_candidate_pointers_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    same = pointer_text("train.csv", project.stored_data)
    project.commit_training(files={"data/train.csv.dvc": same, "copy/train.csv.dvc": same})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.missing is not None
    assert "--pointer" in reproduction.missing.remedy
    assert judge(pointer=(f"{project.stored_data.digest.dvc}=data/train.csv",)).verdict is not Verdict.DIVERGED


def test_a_malformed_pointer_is_unverifiable_and_named(project: RecordedProject, judge: Judge) -> None:
    project.commit_training(files={"data/train.csv.dvc": "outs:\n- md5: [broken\n"})
    project.record(tags={"dvc_model_md5": None})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "data/train.csv.dvc" in reproduction.reason


def test_a_run_without_commit_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record(tags={"git_commit": None})
    reproduction = judge()
    assert (reproduction.verdict, reproduction.missing and reproduction.missing.fact) == (
        Verdict.UNVERIFIABLE,
        "commit",
    )
    assert reproduction.missing is not None
    assert "--commit" in reproduction.missing.remedy


def test_a_commit_that_is_not_in_the_repository_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record(tags={"git_commit": "0123456789abcdef0123456789abcdef01234567"})
    reproduction = judge(repo=str(project.repository.path))
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "0123456" in reproduction.reason


def test_a_script_that_the_commit_lacks_names_the_commit_that_first_has_it(
    project: RecordedProject, judge: Judge
) -> None:
    before = project.repository.commit({"README.md": "nothing yet\n"})
    later = project.commit_training()
    project.commit = before
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.missing is not None
    told = " ".join((reproduction.missing.cause, reproduction.missing.remedy, *reproduction.missing.nearest))
    assert "train.py" in told
    assert later[:7] in told


@pytest.mark.parametrize(
    ("requirements", "named"),
    [
        ("no-such-package-of-ours==1.0\n", "no-such-package-of-ours"),
        ("idna==3.7\nidna==3.6\n", "idna"),
    ],
    ids=["never-existed", "conflicting-pins"],
)
def test_requirements_that_do_not_resolve_are_unverifiable(
    project: RecordedProject, judge: Judge, requirements: str, named: str
) -> None:
    project.commit_training(files={"requirements.txt": requirements})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "environment"
    assert named in reproduction.missing.cause


FAILURES = {
    "exits-1": (script(after="raise SystemExit('the learning rate is wrong')"), {}, "the learning rate is wrong"),
    "killed-by-tee": (
        script(inside="import os, signal; os.kill(os.getpid(), signal.SIGTERM)"),
        {"command": "python train.py 2>&1 | tee log.txt"},
        "",
    ),
    "out-of-memory": (script(inside="x = bytearray(400_000_000)"), {"memory": "200m"}, "memory"),
    "hangs": (script(inside="import time; time.sleep(600)"), {"timeout": "6s"}, "6 s"),
    "logs-no-run": ("import mlflow\nprint('all is well')\n", {}, "no run"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_training_that_does_not_finish_well_failed(project: RecordedProject, judge: Judge, kind: str) -> None:
    """Rule 24, whatever it logged before."""
    text, flags, said = FAILURES[kind]
    project.commit_training(text)
    project.record()
    reproduction = judge(**flags)
    assert reproduction.verdict is Verdict.FAILED, reproduction.reason
    assert reproduction.rerun is not None
    assert said in " ".join((reproduction.reason, *reproduction.rerun.log_tail))


def test_a_script_that_writes_no_model_is_never_identical(project: RecordedProject, judge: Judge) -> None:
    """Rule 17."""
    text = script().replace('model.write_text("model of " + repr(values))', "pass")
    project.commit_training(text)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is not Verdict.IDENTICAL
    assert any("runs/model.bin" in line for line in (*reproduction.not_verified, reproduction.reason))


def test_a_script_that_loads_what_the_commit_holds_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """Rule 18."""
    before = "import json; held = json.loads(Path('results/metrics.json').read_text())"
    project.commit_training(script(before=before), files={"results/metrics.json": '{"loss": 7.75}'})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "results/metrics.json" in reproduction.reason


def test_a_search_for_the_best_run_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """Rule 15: in the scratch store nothing is found that the original's store holds."""
    project.commit_training(script(before="mlflow.search_runs(experiment_names=['sums'], output_format='list')"))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "search" in reproduction.reason


def test_another_param_than_recorded_is_never_reproduced(project: RecordedProject, judge: Judge) -> None:
    """Rule 10: the command was given, so it diverged."""
    project.commit_training()
    project.record(params={"scale": "1.0", "depth": "8"})
    reproduction = judge(command="python train.py --scale 1.0")
    assert reproduction.verdict is Verdict.DIVERGED
    assert "depth" in reproduction.reason


def test_the_training_reaches_no_network_and_holds_no_credentials(
    project: RecordedProject, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-tell")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "do-not-tell")
    walls = (
        "import os, socket\n"
        "assert 'do-not-tell' not in repr(os.environ)\n"
        "assert os.getuid() != 0 and 'CapEff:\\t0000000000000000' in open('/proc/self/status').read()\n"
        "assert not os.path.exists('/cache/objects') and not os.path.exists('/cache/work')\n"
        "assert len(os.listdir('/cache/environments')) == 1\n"
        "for address in (('1.1.1.1', 53), ('172.17.0.1', 22), ('169.254.169.254', 80)):\n"
        "    try:\n"
        "        socket.create_connection(address, timeout=2)\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise SystemExit(f'reached {address}')\n"
    )
    project.commit_training(script(before=walls))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert "do-not-tell" not in reproduction.to_json()


def test_a_store_in_the_workspace_that_holds_the_original_is_not_read(project: RecordedProject, judge: Judge) -> None:
    """The commit holds the recorded run; only what this training logged counts."""
    project.commit_training(script().replace("arguments.scale * sum(values) / 2 ** step", "0.0"))
    project.record()
    project.commit = project.repository.commit({".gitignore": "runs/model.bin\n", "mlruns/x": "x"})
    project.repository.git("add", "-A", "-f", "mlruns")
    project.commit = project.repository.commit({"note": "the store is committed"})
    (project.tracker / "417" / RUN_ID / "tags" / "git_commit").write_text(project.commit)
    assert judge().verdict is Verdict.DIVERGED


def test_two_reruns_of_one_run_at_once_both_finish(project: RecordedProject, judge: Judge) -> None:
    from concurrent.futures import ThreadPoolExecutor

    project.commit_training()
    project.record()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(judge).result for _ in range(2)]
        assert [one().verdict for one in both] == [Verdict.IDENTICAL, Verdict.IDENTICAL]


def test_no_engine_is_infrastructure(project: RecordedProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.commit_training()
    project.record()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    settings = load_settings(Flags(tracker=str(project.tracker)), {}, tmp_path)
    with pytest.raises(EngineUnavailable) as caught:
        reproduce(RUN_ID, settings, progress=NoProgress())
    assert caught.value.exit_code == 5
    assert not (tmp_path / "reproductions").exists()


def test_dvc_repro_trains_although_nothing_changed(project: RecordedProject, judge: Judge) -> None:
    """Rule 19: without force DVC would skip the stage, since its lock is as it left it, and nothing would be logged."""
    stage = "stages:\n  train:\n    cmd: python train.py\n    deps: [data/train.csv]\n    outs: [runs/model.bin]\n"
    project.commit_training(files={"dvc.yaml": stage})
    project.record()
    reproduction = judge(command="dvc repro train")
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    assert "--force --no-run-cache" in reproduction.plan.command


def test_a_training_that_versions_its_model_by_dvc_itself_can_do_so(project: RecordedProject, judge: Judge) -> None:
    """DVC and git are on its PATH, with a private cache that it may write."""
    versions = (
        "import subprocess; subprocess.run(['dvc', 'add', 'runs/model.bin'], check=True); "
        "subprocess.run(['git', 'status'], check=True)"
    )
    project.commit_training(script(after=versions))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_a_run_of_a_sqlite_store_is_identical_by_its_name(
    project: RecordedProject, judge: Judge, tmp_path: Path
) -> None:
    project.commit_training()
    project.commit_pointers()
    database = write_sqlite_store(tmp_path / "mlflow.db", [project.stored_run()])
    before = database.read_bytes()
    reproduction = judge("sums/first", tracker=f"sqlite:///{database}", repo=str(project.repository.path))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert database.read_bytes() == before
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_a_recorded_model_that_is_given_to_the_training_is_evaluated_and_not_trained(
    project: RecordedProject, judge: Judge
) -> None:
    """Rule 16: with `--warm-start` the recorded output lies at its own path, which the verdict says."""
    project.commit_training()
    project.record()
    reproduction = judge(warm_start=("runs/model.bin",))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "evaluated, not trained" in reproduction.reason


def test_a_script_that_repeats_the_tag_and_writes_another_model_is_not_identical(
    project: RecordedProject, judge: Judge
) -> None:
    """Rule 22: the pointer in the workspace holds the recorded digest, and the script logs what it reads there."""
    inside = (
        "digest = Path('runs/model.bin.dvc').read_text().split('md5: ')[1].split()[0]; "
        "mlflow.set_tag('dvc_model_md5', digest)"
    )
    project.commit_training(script(inside=inside).replace('"model of "', '"another model of "'))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.REPRODUCED, why(reproduction)
    assert reproduction.comparison is not None
    assert [output.outcome for output in reproduction.comparison.outputs] == [Outcome.OUTSIDE]
