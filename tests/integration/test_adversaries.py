"""Trainings that would be called reproduced although they show nothing, or diverged although they are not to blame.

Each is committed and recorded as its author would have, and rerun on the real engine. The numbers of `PRECISE` have as
many digits as real losses do; what the scripts do beside the usual is all in the line that a test gives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.schema.comparison import Outcome
from runner.schema.reproduction import Reproduction, Verdict
from tests.support.judging import Judge, why
from tests.support.projects import RUN_ID, START_MS, RecordedProject, script
from tests.support.repositories import pointer_text

PRECISE = (1.500000001, 2.25, 4.012345678)
TOTAL = sum(PRECISE)

LAZY = """\
import json, os, re, shutil, sqlite3, subprocess, sys
from pathlib import Path

import mlflow

mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("sums")
data = open("data/train.csv").read()
{total}
with mlflow.start_run(run_name="first"):
    mlflow.log_param("scale", 1.0)
    for step in range(4):
        mlflow.log_metric("loss", total / 2**step, step=step)
    mlflow.log_metric("total", total)
    {model}
"""
WRITES = f'Path("runs/model.bin").write_text("model of {list(PRECISE)!r}")'


def lazy(total: str = f"total = {TOTAL!r}", model: str = WRITES) -> str:
    """A script that trains nothing: it has its total from somewhere, and its model too."""
    return LAZY.format(total=total, model=model)


def commit_with_data(project: RecordedProject, text: str) -> None:
    """Commit a training beside the pointer of its data as it is; there is no model."""
    project.commit_training(text, files={"data/train.csv.dvc": pointer_text("train.csv", project.stored_data)})


@pytest.fixture
def project(tmp_path: Path) -> RecordedProject:
    folder = tmp_path / "author"
    folder.mkdir()
    return RecordedProject(folder, values=PRECISE)


def database(folder: Path) -> bytes:
    """An SQLite file with the recorded total."""
    import sqlite3

    with sqlite3.connect(folder / "results") as connection:
        connection.execute("CREATE TABLE runs (total REAL)")
        connection.execute("INSERT INTO runs VALUES (?)", (TOTAL,))
    connection.close()
    return (folder / "results").read_bytes()


Files = Callable[[RecordedProject], Mapping[str, str | bytes]]

RESULTS: dict[str, tuple[str, Files]] = {
    "a number in the README": (
        'total = float(re.search(r"total: ([\\d.]+)", Path("README.md").read_text())[1])',
        lambda project: {"README.md": f"# Sums\n\ntotal: {TOTAL!r}\n"},
    ),
    "a store of runs in git": (
        'total = float(Path("mlruns/1/abc/metrics/total").read_text().split()[1])',
        lambda project: {"mlruns/1/abc/metrics/total": f"1 {TOTAL:.3g} 0\n", ".gitignore": "runs/model.bin\n"},
    ),
    "results that a shell reads": (
        'total = json.loads(subprocess.check_output(["cat", "results/metrics.json"]))["total"]',
        lambda project: {"results/metrics.json": f'{{"total": {TOTAL!r}}}'},
    ),
    "a database that C reads": (
        'total = sqlite3.connect("notes").execute("SELECT total FROM runs").fetchone()[0]',
        lambda project: {"notes": database(project.folder)},
    ),
    "the summary of another tracker": (
        'total = json.loads(Path("wandb/run-1/files/wandb-summary.json").read_text())["total"]',
        lambda project: {"wandb/run-1/files/wandb-summary.json": f'{{"total": {TOTAL!r}}}'},
    ),
    "a notebook with its outputs": (
        'total = float(re.search(r"total=([\\d.]+)", Path("explore.ipynb").read_text())[1])',
        lambda project: {"explore.ipynb": f'{{"cells": [{{"outputs": ["total={TOTAL!r}"]}}]}}'},
    ),
}
OLD = "old/final.dat"
MODELS = {
    "renamed": f'os.rename("{OLD}", "runs/model.bin")',
    "copied after everything was logged": f'shutil.copy2("{OLD}", "runs/model.bin")',
    "linked": f'os.link("{OLD}", "runs/model.bin")',
    "copied by a shell": f'subprocess.run(["cp", "-p", "{OLD}", "runs/model.bin"], check=True)',
}
IN_DEFAULT_TIER = {"a number in the README", "a store of runs in git", "results that a shell reads", "renamed"}
IN_DEFAULT_TIER |= {"a database that C reads", "copied after everything was logged"}


def tiers(names: Any) -> list[Any]:
    """Some cases in every run of the tests, all before a release."""
    return [name if name in IN_DEFAULT_TIER else pytest.param(name, marks=pytest.mark.full) for name in names]


@pytest.mark.parametrize("kind", tiers(RESULTS))
def test_a_total_that_was_read_and_not_computed_is_unverifiable(
    project: RecordedProject, judge: Judge, kind: str
) -> None:
    """rule 18: whatever the file is called that the commit holds, and whatever reads it."""
    total, files = RESULTS[kind]
    project.commit_training(lazy(total), files=files(project))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "pre-existing result" in reproduction.reason
    assert reproduction.missing is not None
    assert "--allow existing:" in reproduction.missing.remedy


@pytest.mark.parametrize("kind", tiers(MODELS))
def test_a_model_that_lay_there_and_was_not_trained_is_unverifiable(
    project: RecordedProject, judge: Judge, kind: str
) -> None:
    """rules 17 and 18: its bytes are the recorded ones, and nobody wrote them."""
    project.commit_training(lazy(model=MODELS[kind]), files={OLD: project.model})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert OLD in reproduction.reason


def test_a_training_that_asks_git_for_its_state_uses_no_result_of_the_commit(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 18: git reads a file only if it looks changed, and then the training would seem to have read it."""
    asks = "import subprocess; assert not subprocess.check_output(['git', 'status', '--porcelain', '-uno'])"
    project.commit_training(script(before=asks), files={"results/metrics.json": "{}", "weights/old.pt": "x" * 5000})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_a_recorded_model_is_nowhere_for_a_training_to_load(project: RecordedProject, judge: Judge) -> None:
    """rule 16: not at its path, in no cache and no remote that the training can reach."""
    looks = (
        "import subprocess\n"
        "assert not Path('runs/model.bin').exists()\n"
        "assert subprocess.run(['dvc', 'pull', 'runs/model.bin.dvc'], capture_output=True).returncode\n"
        "assert not Path('runs/model.bin').exists()\n"
        "print('trains')"
    )
    project.commit_training(script(before=looks))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert "trains" in reproduction.rerun.log_tail


def test_a_training_that_finds_its_older_self_in_a_persistent_output_starts_without_it(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 17: DVC itself keeps an output of `persist: true` between runs."""
    stage = (
        "stages:\n  train:\n    cmd: python train.py\n    deps: [data/train.csv]\n"
        "    outs:\n    - runs/model.bin:\n        persist: true\n    - runs/state.txt:\n        persist: true\n"
        "        cache: false\n"
    )
    resumes = "assert not Path('runs/state.txt').exists(), 'it resumes'\n    Path('runs/state.txt').write_text('4')"
    project.commit_training(script(inside=resumes), files={"dvc.yaml": stage, "runs/state.txt": "3"})
    project.record()
    reproduction = judge(command="dvc repro train")
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_a_link_to_what_was_trained_is_the_output(project: RecordedProject, judge: Judge) -> None:
    """rule 17: a training that keeps versions has written what its link leads to."""
    links = "Path('runs/v1.bin').write_text('model of ' + repr(values)); Path('runs/model.bin').symlink_to('v1.bin')"
    text = script(inside=links).replace('model.write_text("model of " + repr(values))', "pass")
    project.commit_training(text)
    project.record()
    reproduction = judge(command="python train.py")
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


# --- the capture


def test_values_that_went_past_the_capture_are_no_fault_of_the_author(project: RecordedProject, judge: Judge) -> None:
    """rule 24: what a process logged that the capture did not see would be missing, and look diverged."""
    inside = (
        "import os, subprocess, sys\n"
        "    PATH = f'import sys; sys.path.append({str(Path(mlflow.__file__).parents[1])!r})\\n'\n"
        '    CODE = \'import mlflow; mlflow.set_tracking_uri("file:mlruns"); mlflow.set_experiment("sums"); '
        'mlflow.start_run(); mlflow.log_metric("extra", 1)\'\n'
        "    subprocess.run([sys.executable, '-S', '-I', '-E', '-c', PATH + CODE], check=True)"
    )
    project.commit_training(script(inside=inside))
    project.record(metrics={"loss": [TOTAL / 2**step for step in range(4)], "total": [TOTAL], "extra": [1.0]})
    reproduction = judge(command="python train.py")
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "not captured whole" in reproduction.reason


def test_a_store_of_the_trainings_own_making_is_not_believed(project: RecordedProject, judge: Judge) -> None:
    """rule 24"""
    own = (
        "from mlflow.store.tracking.file_store import FileStore\n"
        "from mlflow.tracking._tracking_service import utils\n"
        "utils._tracking_store_registry.register('file', lambda store_uri, artifact_uri=None: FileStore('own'))\n"
        "mlflow.set_tracking_uri('file:elsewhere')\n"
        "mlflow.set_experiment('sums')\n"
    )
    project.commit_training(script(before=own))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "not captured" in reproduction.reason


SPOILT = {
    "removed": "events.unlink(); (capture / 'events.counter').unlink()",
    "a link to a file of the system": "events.unlink(); events.symlink_to('/etc/passwd')",
    "a pipe": "events.unlink(); os.mkfifo(events)",
    "a folder": "events.unlink(); events.mkdir()",
    "unreadable": "events.chmod(0); capture.chmod(0)",
    "no JSON": "events.open('ab').write(b'\\xff\\xfe\\n')",
    "deep JSON": "events.open('a').write('[' * 100_000 + '\\n')",
    "a gigabyte of nothing": "os.truncate(events, 1 << 30)",
    "ten million lines": "f = events.open('ab'); [f.write(b'{}\\n' * 100_000) for _ in range(100)]; f.close()",
    "a value taken out": "lines = events.read_text().splitlines(True); "
    "events.write_text(''.join(line for line in lines if '\"total\"' not in line))",
    "the counter lost": "(capture / 'events.counter').unlink()",
}
ALWAYS = ("a link to a file of the system", "a pipe", "a value taken out")


@pytest.mark.parametrize(
    "kind", [kind if kind in ALWAYS else pytest.param(kind, marks=pytest.mark.full) for kind in SPOILT]
)
def test_a_capture_that_the_training_spoilt_is_no_ground_for_a_verdict(
    project: RecordedProject, judge: Judge, kind: str
) -> None:
    """rule 24: it is read as hostile input, and nothing of the system shows in the evidence."""
    spoils = (
        "import os, shutil\n"
        "capture = Path(os.environ['REPRO_CAPTURE_DIR']); events = capture / 'events.jsonl'\n"
        f"{SPOILT[kind]}\n"
        "os._exit(0)"
    )
    project.commit_training(script(after=spoils))
    project.record()
    reproduction = judge()
    if kind == "unreadable":  # for root it is not
        assert reproduction.verdict is Verdict.IDENTICAL
        return
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "not captured whole" in reproduction.reason
    assert "root:" not in reproduction.to_json()


def test_a_run_that_was_never_ended_failed(project: RecordedProject, judge: Judge) -> None:
    """rule 24"""
    project.commit_training(script(inside="import os; os._exit(0)"))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.FAILED
    assert "never ended" in reproduction.reason


def test_a_child_that_was_killed_for_memory_failed_though_the_training_went_on(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 24: a worker that dies leaves a training with less than it had."""
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(400_000_000)'])"
    project.commit_training(script(inside=child))
    project.record()
    reproduction = judge(memory="200m")
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "memory" in reproduction.reason


def test_results_that_are_sent_to_a_server_by_hand_are_no_run(project: RecordedProject, judge: Judge) -> None:
    """rules 24 and 28: a run that only a server got is none; whether one would have been logged, that server knows."""
    text = (
        "import json, urllib.request\nopen('data/train.csv').read()\n"
        "request = urllib.request.Request('http://tracker.example:5000/api/2.0/mlflow/runs/create', b'{}')\n"
        "try:\n    urllib.request.urlopen(request, timeout=2)\nexcept OSError as error:\n    print(error)\n"
    )
    project.commit_training(text)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "asked for tracker.example: the network is closed" in reproduction.reason


# --- nothing to compare


NOTHING: dict[str, tuple[str, dict[str, list[float]], str]] = {
    "NaN": ("mlflow.log_metric('loss', float('nan'))", {"loss": [float("nan")]}, "NaN"),
    "constants": (
        "mlflow.log_metric('train/epoch', 3); mlflow.log_metric('scale', 1)",
        {"train/epoch": [3.0], "scale": [1.0]},
        "any such run logs",
    ),
}
LOGS = ('mlflow.log_metric("loss", loss, step=step)', 'mlflow.log_metric("total", arguments.scale * sum(values))')


@pytest.mark.parametrize("kind", NOTHING)
def test_a_run_that_logs_nothing_that_can_differ_is_unverifiable(
    project: RecordedProject, judge: Judge, kind: str
) -> None:
    """rules 01 and 06"""
    logs, metrics, said = NOTHING[kind]
    text = script(inside=logs)
    for line in (*LOGS, 'model.write_text("model of " + repr(values))'):
        text = text.replace(line, "pass")
    commit_with_data(project, text)
    project.record(metrics=metrics, tags={"dvc_model_md5": None}, pointers=False)
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert said in reproduction.reason


# --- divergences that are not the author's


def test_other_numbers_after_a_host_that_could_not_be_reached_are_unverifiable(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 28: many go on with other data where the network is closed."""
    fetches = (
        "import urllib.request\n"
        "try:\n    total = float(urllib.request.urlopen('http://data.example:8000/total', timeout=2).read())\n"
        "except OSError:\n    total = 1.0"
    )
    project.commit_training(lazy(fetches))
    project.record()
    reproduction = judge(command="python train.py")
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "data.example" in reproduction.reason
    assert reproduction.missing is not None
    assert "--allow network" in reproduction.missing.remedy


def test_a_run_that_failed_quietly_for_a_host_that_could_not_be_reached_is_unverifiable(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 28: the exit status is 0, and the log says nothing of a network."""
    fetches = (
        "import urllib.request\n"
        "    try:\n        urllib.request.urlopen('https://data.example/train.csv', timeout=2)\n"
        "    except OSError:\n        print('no data')\n        raise SystemExit(0)"
    )
    project.commit_training(script(inside=fetches))
    project.record()
    reproduction = judge(command="python train.py")
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "asked for data.example: the network is closed" in reproduction.reason


def test_other_numbers_of_a_script_that_was_committed_right_after_the_start_are_unverifiable(
    project: RecordedProject, judge: Judge
) -> None:
    """The recorded commit is not what ran, and MLflow does not record that the work tree had changes."""
    project.commit_training(script().replace("2 ** step", "3 ** step"))
    later = project.repository.commit({"train.py": script()}, "Halve the loss", date=START_MS // 1000 + 13)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert f"commit {later[:12]} changed train.py 13 s after the run started" in reproduction.reason
    reproduction = judge(commit=later)
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert f"--commit {later[:12]}: the run recorded {project.commit[:12]}" in reproduction.reason
    assert not [line for line in reproduction.verified if line.startswith("code")]


def test_other_numbers_where_an_environment_variable_decides_are_unverifiable(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 11: the record does not say what the variable was."""
    project.commit_training(lazy('total = float(os.environ.get("TOTAL", "1.0"))'))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "environment variable TOTAL" in reproduction.reason


@pytest.mark.parametrize("equal", [True, False])
def test_data_that_the_training_never_opened_is_verified_by_nothing(
    project: RecordedProject, judge: Judge, equal: bool
) -> None:
    """rule 21"""
    total = f"total = {TOTAL if equal else 1.0!r}"
    project.commit_training(lazy(total).replace('data = open("data/train.csv").read()\n', ""))
    project.record()
    reproduction = judge(command="python train.py")
    assert reproduction.verdict is (Verdict.IDENTICAL if equal else Verdict.UNVERIFIABLE), why(reproduction)
    assert not [line for line in reproduction.verified if line.startswith("data:")]
    assert [line for line in reproduction.not_verified if "never opened" in line]


def test_data_that_another_program_reads_is_opened(project: RecordedProject, judge: Judge) -> None:
    """rule 21: by its access time, which Python's audit hook does not see."""
    text = lazy().replace('open("data/train.csv").read()', 'subprocess.check_output(["cat", "data/train.csv"])')
    project.commit_training(text)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert [line for line in reproduction.verified if line.startswith("data: data/train.csv")]


def test_data_that_the_training_replaced_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """rule 20: it is checked again after training."""
    replaces = "Path('data/train.csv').unlink(); Path('data/train.csv').write_text('1.0\\n')"
    project.commit_training(script(after=replaces))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "the training changed data/train.csv" in reproduction.reason


def test_an_older_models_digest_is_said_to_be_stale_and_not_compared(project: RecordedProject, judge: Judge) -> None:
    """rule 22: PATTERN versions the model after the run, whose tag may hold the one before."""
    older = project.store.put(b"an older model")
    files = {"runs/model.bin.dvc": pointer_text("model.bin", older)}
    project.commit_training(files=files)
    project.record(tags={"dvc_model_md5": older.digest.dvc})
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.comparison is not None
    assert [output.outcome for output in reproduction.comparison.outputs] == [Outcome.NOT_COMPARED]
    assert "model" not in reproduction.reason
    assert [line for line in reproduction.not_verified if "stale" in line]


# --- which run is which


def test_a_run_of_another_experiment_with_the_recorded_numbers_is_not_the_recorded_one(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 12: the script at the commit logs to another experiment, about another dataset."""
    other = "mlflow.set_tag('dataset', 'wine')"
    project.commit_training(script(inside=other).replace('set_experiment("sums")', 'set_experiment("products")'))
    project.record(tags={"dataset": "iris"})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert 'experiment: "sums" recorded, "products" logged' in reproduction.reason
    assert 'tag dataset: "iris" recorded, "wine" logged' in reproduction.reason


SIBLINGS = """\
import mlflow
from pathlib import Path

mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("sums")
values = [float(line) for line in Path("data/train.csv").read_text().split()]
with mlflow.start_run(run_name="parent"):
    for fold in range(3):
        with mlflow.start_run(run_name="fold", nested=True):
            mlflow.log_metric("loss", sum(values) / (1 + fold))
"""
FOLDS = tuple(digit * 32 for digit in "abc")
PARENT = "d" * 32


def record_folds(project: RecordedProject, count: int) -> None:
    """The parent and so many of its folds, in order of start, equal in all but metrics."""
    quiet: dict[str, str | None] = {"dvc_model_md5": None}
    project.record(run_id=PARENT, name="parent", metrics={"loss": [1.0]}, tags=quiet, pointers=False)
    for fold, run_id in enumerate(FOLDS[:count]):
        tags = {**quiet, "mlflow.parentRunId": PARENT}
        project.record(run_id=run_id, name="fold", metrics={"loss": [TOTAL / (1 + fold)]}, tags=tags, pointers=False)
        meta = project.tracker / "417" / run_id / "meta.yaml"
        started = next(line for line in meta.read_text().splitlines() if line.startswith("start_time: "))
        later = f"start_time: {int(started.split()[1]) + fold}"
        meta.write_text(meta.read_text().replace(started, later))
        (project.tracker / "417" / run_id / "params" / "scale").unlink()


def test_siblings_that_are_equal_in_all_but_metrics_are_told_by_their_place(
    project: RecordedProject, judge: Judge
) -> None:
    """rule 12"""
    commit_with_data(project, SIBLINGS)
    record_folds(project, 3)
    reproduction = judge(FOLDS[1])
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_where_one_of_the_siblings_is_lost_none_is_taken_for_another(project: RecordedProject, judge: Judge) -> None:
    """rule 12: by its metrics it could be told, and that would be no comparison."""
    commit_with_data(project, SIBLINGS)
    record_folds(project, 2)
    reproduction = judge(FOLDS[1])
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "could be the recorded one" in reproduction.reason


def test_a_training_that_continues_the_recorded_run_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """rule 14"""
    project.commit_training(script().replace('run_name="first"', f'run_id="{RUN_ID}"'))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "continues an earlier one" in reproduction.reason


def test_a_model_that_is_asked_of_the_registry_is_unverifiable(project: RecordedProject, judge: Judge) -> None:
    """rule 15"""
    asks = (
        "try:\n    mlflow.MlflowClient().get_model_version('sums', '3')\n"
        "except mlflow.exceptions.MlflowException as error:\n    print(error)"
    )
    project.commit_training(script(before=asks))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "get_model_version" in reproduction.reason


def test_the_evidence_says_what_no_rerun_can_show(project: RecordedProject, judge: Judge) -> None:
    """rule 29: a script that logs constants reproduces, here with a verdict and with a sentence."""
    project.commit_training(lazy())
    project.record()
    done = judge.with_evidence()
    assert done.reproduction.verdict is Verdict.IDENTICAL
    assert "a script that logs constants reproduces" in (done.evidence / "report.md").read_text()
    assert isinstance(done.reproduction, Reproduction)
    assert os.path.exists(done.evidence / "reproduction.json")
