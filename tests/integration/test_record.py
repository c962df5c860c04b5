"""`runner record` in a real training: what it says, what the runs then carry, and what an audit makes of that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reproducibility_runner.recording import layout
from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Verdict
from runner.settings import Flags, load_settings
from tests.support.capture_environments import (
    DVC,
    EACH_PYTHON,
    MLFLOW_1_30,
    MLFLOW_2_2,
    MLFLOW_2_22,
    MLFLOW_TODAY,
    WANDB,
    Specification,
    kept_python,
)
from tests.support.judging import why
from tests.support.recording import SCRIPT, Author
from tests.support.repositories import md5


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """A project that is committed and pushed, its data on the remote."""
    return Author(tmp_path / "author")


@pytest.fixture(scope="session")
def dvc_path() -> str:
    """The search path of somebody who has DVC."""
    return f"{kept_python(DVC).parent}:{os.environ['PATH']}"


def pinned(specification: Specification) -> str:
    """Return what an environment has, as a list of requirements."""
    frozen = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "freeze", "--python", str(kept_python(specification))],
        capture_output=True,
        text=True,
        check=True,
    )
    return frozen.stdout


@pytest.mark.parametrize(
    "specification",
    [
        MLFLOW_2_22,
        MLFLOW_TODAY,
        pytest.param(MLFLOW_2_2, marks=pytest.mark.full),
        pytest.param(MLFLOW_1_30, marks=pytest.mark.full),
    ],
    ids=lambda item: item.name,
)
def test_what_was_recorded_reproduces_with_no_flag_but_where_tracker_and_repository_lie(
    specification: Specification,
    tmp_path: Path,
    dvc_path: str,
    shared_engine: DockerEngine,
    shared_images: Prepared,
) -> None:
    """The author's Python has none of our packages; the project owns `runner.py`, `runner/` and `runner.yaml`."""
    # Called in the script it does nothing where the whole command is recorded, and nothing in the rerun.
    script = "import reproducibility_runner\n\nreproducibility_runner.record(strict=True)\n" + SCRIPT
    author = Author(tmp_path / "author", script=script, files={"requirements.txt": pinned(specification)})
    command = (str(kept_python(specification)), "train.py", "--scale", "2")
    said = author.record("--strict", "--model", "model.bin", "--", *command, PATH=dvc_path)
    assert said.code == 0, said.err
    run, tags = author.run()
    assert tags["git_commit"] == author.commit
    model = (author.folder / "src" / "model.bin").read_bytes()
    assert tags["dvc_model_md5"] == md5(model).dvc
    author.store.put(model)  # as `dvc push` does
    author.repository.commit(
        {"src/.gitignore": (author.folder / "src" / ".gitignore").read_text()}, "Version the model"
    )
    author.push()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flags = Flags(tracker=str(author.tracker), repo=str(author.origin.path))
    reproduction = reproduce(
        run, load_settings(flags, {}, elsewhere), progress=NoProgress(), engine=shared_engine
    ).reproduction
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    sources = {fact.fact: (fact.value, fact.source) for fact in reproduction.plan.provenance}
    assert sources["command"] == ("python train.py --scale 2", "tag runner.command")
    assert sources["working directory"] == ("src", "tag runner.working_directory")
    assert sources["python"][1].startswith("tag runner.python")
    facts = {fact.fact: fact for fact in reproduction.lineage.provenance}
    assert facts["commit"].source == "tag git_commit"
    data, model_file = sorted(reproduction.lineage.files, key=lambda file: file.path)
    assert (data.path, data.role) == ("data/train.csv", "input")
    assert data.source.startswith("tag dvc_data_md5")
    assert (model_file.path, model_file.role) == ("src/model.bin", "output")
    assert reproduction.comparison is not None
    packages = {package.name: package.rerun for package in reproduction.comparison.environment.packages}
    assert any("tag runner.environment" in line for line in reproduction.verified), packages


def test_a_command_with_a_secret_is_not_recorded_and_its_audit_asks_for_it(
    author: Author, tmp_path: Path, shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    said = author.record("--", str(kept_python(MLFLOW_2_22)), "train.py", "--api-key", "hunter2hunter2")
    assert said.code == 0
    assert "looks like a secret" in said.err
    run, _ = author.run()
    everything = b"".join(path.read_bytes() for path in author.tracker.rglob("*") if path.is_file())
    assert b"hunter2" not in everything
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flags = Flags(tracker=str(author.tracker), repo=str(author.origin.path))
    reproduction = reproduce(
        run, load_settings(flags, {}, elsewhere), progress=NoProgress(), engine=shared_engine
    ).reproduction
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert "lacks what looked like a secret" in reproduction.reason
    assert "--command 'python train.py --api-key" in reproduction.model_dump_json()


def test_strict_refuses_what_is_not_committed_not_pushed_or_not_on_the_remote_and_runs_nothing(author: Author) -> None:
    python = str(kept_python(MLFLOW_2_22))
    (author.folder / "src" / "train.py").write_text(SCRIPT + "# changed\n")
    said = author.record("--strict", "--", python, "train.py")
    assert said.code == 3
    assert "changes that no commit holds: src/train.py" in said.err
    author.repository.commit({"src/train.py": SCRIPT + "# changed\n"}, "Change")
    said = author.record("--strict", "--", python, "train.py")
    assert said.code == 3
    assert "is on no remote" in said.err
    assert "try: git push" in said.err
    author.push()
    author.store.remove(author.data.digest)
    said = author.record("--strict", "--", python, "train.py")
    assert said.code == 3
    assert "data that the remote lacks: data/train.csv (remote storage)" in said.err
    assert "try: dvc push" in said.err
    assert author.runs() == {}


def test_without_strict_it_warns_and_the_record_says_what_is_amiss(author: Author) -> None:
    (author.folder / "src" / "train.py").write_text(SCRIPT + "# changed\n")
    author.store.remove(author.data.digest)
    said = author.record("--", str(kept_python(MLFLOW_2_22)), "train.py")
    assert said.code == 0
    assert "changes that no commit holds" in said.err
    assert "data that the remote lacks" in said.err
    _, tags = author.run()
    assert tags["git_dirty"] == "true"


def test_an_installed_package_tags_every_run_by_itself(author: Author, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    layout.lay_out(str(installed))
    prompt = author.prompt(PYTHONPATH=str(installed))
    python = str(kept_python(MLFLOW_2_22))
    subprocess.run([python, "train.py", "--scale", "2"], cwd=prompt.folder, env=prompt.variables, check=True)
    _, tags = author.run()
    assert tags["git_commit"] == author.commit
    assert tags["git_repo_url"] == str(author.origin.path)
    assert tags["git_dirty"] == "false"
    assert tags["git_unpushed"] == "false"
    assert tags["dvc_data_md5"] == author.data.digest.dvc
    assert tags["runner.command"] == "python train.py --scale 2"
    assert tags["runner.working_directory"] == "src"
    assert tags["runner.python"].startswith("3.")
    assert tags["runner.environment"].startswith("sha256:")


@pytest.mark.full
@pytest.mark.parametrize("specification", EACH_PYTHON, ids=lambda item: item.name)
def test_the_plugin_runs_in_each_python_and_mlflow(
    specification: Specification, author: Author, tmp_path: Path
) -> None:
    installed = tmp_path / "site"
    layout.lay_out(str(installed))
    prompt = author.prompt(PYTHONPATH=str(installed))
    subprocess.run([str(kept_python(specification)), "train.py"], cwd=prompt.folder, env=prompt.variables, check=True)
    _, tags = author.run()
    assert tags["git_commit"] == author.commit
    assert tags["dvc_data_md5"] == author.data.digest.dvc
    assert tags["runner.command"] == "python train.py"


@pytest.mark.parametrize("breakage", ["import subprocess; subprocess.run = None", "import os; os.environ['PATH'] = ''"])
def test_a_plugin_that_fails_breaks_no_training(breakage: str, author: Author, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    layout.lay_out(str(installed))
    prompt = author.prompt(PYTHONPATH=str(installed))
    (author.folder / "src" / "train.py").write_text(breakage + "\n" + SCRIPT)
    python = str(kept_python(MLFLOW_2_22))
    subprocess.run([python, "train.py"], cwd=prompt.folder, env=prompt.variables, check=True)
    author.run()


def test_in_a_rerun_the_plugin_and_record_do_nothing(author: Author, tmp_path: Path) -> None:
    """A script that calls `record(strict=True)` has no git in its rerun's container, and must train all the same."""
    installed, capture = tmp_path / "site", tmp_path / "capture"
    layout.lay_out(str(installed))
    capture.mkdir()
    prompt = author.prompt(PYTHONPATH=str(installed), REPRO_CAPTURE_DIR=str(capture), PATH="")
    call = "import reproducibility_runner; reproducibility_runner.record(strict=True, model='model.bin')\n"
    (author.folder / "src" / "train.py").write_text(call + SCRIPT)
    python = str(kept_python(MLFLOW_2_22))
    subprocess.run([python, "train.py"], cwd=prompt.folder, env=prompt.variables, check=True)
    _, tags = author.run()
    assert [name for name in tags if not name.startswith("mlflow.")] == []


def test_called_in_a_script_it_checks_tags_and_logs_the_model(author: Author, tmp_path: Path, dvc_path: str) -> None:
    installed = tmp_path / "site"
    layout.lay_out(str(installed))
    prompt = author.prompt(PYTHONPATH=str(installed), PATH=dvc_path)
    call = "import reproducibility_runner; reproducibility_runner.record(strict=True, model='model.bin')\n"
    (author.folder / "src" / "train.py").write_text(call + SCRIPT)

    def train() -> subprocess.CompletedProcess[str]:
        command = [str(kept_python(MLFLOW_2_22)), "train.py"]
        return subprocess.run(
            command, cwd=prompt.folder, env=prompt.variables, check=False, capture_output=True, text=True
        )

    refused = train()
    assert refused.returncode == 1
    assert "NotAuditable" in refused.stderr
    assert author.runs() == {}
    commit = author.repository.commit({"src/train.py": call + SCRIPT}, "Record")
    author.push()
    done = train()
    assert done.returncode == 0, done.stderr
    _, tags = author.run()
    assert tags["git_commit"] == commit
    model = (author.folder / "src" / "model.bin").read_bytes()
    assert tags["dvc_model_md5"] == md5(model).dvc
    assert (author.folder / "src" / "model.bin.dvc").exists()
    assert [name for name in prompt.files() if name.startswith("TMP/reproducibility")] == []


def test_a_model_of_one_of_several_runs_is_logged_to_none(author: Author, dvc_path: str) -> None:
    twice = SCRIPT + '    mlflow.set_tag("part", "one")\nwith mlflow.start_run():\n    pass\n'
    (author.folder / "src" / "train.py").write_text(twice)
    said = author.record("--model", "model.bin", "--", str(kept_python(MLFLOW_2_22)), "train.py", PATH=dvc_path)
    assert said.code == 3
    assert "the command logged 2 runs: the model's digest was not logged" in said.err
    assert [tags.get("dvc_model_md5") for tags in author.runs().values()] == [None, None]


def test_a_model_that_the_command_did_not_write_is_not_logged(author: Author, dvc_path: str) -> None:
    (author.folder / "src" / "old.bin").write_text("of yesterday")
    said = author.record("--model", "old.bin", "--", str(kept_python(MLFLOW_2_22)), "train.py", PATH=dvc_path)
    assert said.code == 3
    assert "the model old.bin was not written by the command" in said.err
    assert "dvc_model_md5" not in author.run()[1]


def test_what_the_training_wrote_over_is_not_its_data(author: Author) -> None:
    """A file that a pointer named when the training began, and that looked like data, was its result."""
    script = SCRIPT + '    Path("../data/scored.csv").write_text("new")\n'
    old = author.store.put(b"old")
    pointer = f"outs:\n- md5: {old.digest.dvc}\n  size: 3\n  hash: md5\n  path: scored.csv\n"
    author.repository.commit({"src/train.py": script, "data/scored.csv.dvc": pointer}, "Score")
    (author.folder / "data" / "scored.csv").write_bytes(b"old")
    (author.folder / "data" / ".gitignore").write_text("/train.csv\n/scored.csv\n")
    said = author.record("--", str(kept_python(MLFLOW_2_22)), "train.py")
    assert "written by the command, and so not recorded as its data: data/scored.csv" in said.err
    _, tags = author.run()
    assert tags["dvc_data_md5"] == author.data.digest.dvc
    assert json.loads(tags["runner.data_md5"]) == {"data/train.csv": author.data.digest.dvc}


def test_a_run_that_is_made_by_the_client_is_tagged_too(author: Author) -> None:
    script = "import mlflow\nclient = mlflow.tracking.MlflowClient('file:../mlruns')\nclient.create_run('0')\n"
    script = script.replace("client.create_run", "client.create_experiment('one'); client.create_run")
    (author.folder / "src" / "train.py").write_text(
        script.replace("create_run('0')", "create_run('0', tags={'a': 'b'})")
    )
    assert author.record("--", str(kept_python(MLFLOW_2_22)), "train.py").code == 0
    _, tags = author.run()
    assert tags["a"] == "b"
    assert tags["git_commit"] == author.commit


def test_the_exit_status_is_the_commands_own(author: Author) -> None:
    (author.folder / "src" / "notes.txt").write_text("no program\n")
    (author.folder / "src" / "notes.txt").chmod(0o755)
    assert author.record("--", "sh", "-c", "exit 7").code == 7
    assert author.record("--", "sh", "-c", "kill -KILL $$").code == 137
    assert author.record("--", "no-such-program-anywhere").code == 127
    assert author.record("--", "./notes.txt").code == 126
    assert author.record("--").code == 2
    assert author.record("python", "train.py").code == 2


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda one: one.name
)
def test_a_signal_reaches_the_command_which_decides_what_becomes_of_it(number: signal.Signals, author: Author) -> None:
    prompt = author.prompt()
    waits = f"trap 'echo stopping >&2; exit 9' {number.name[3:]}; echo ready >&2; while :; do sleep 0.05; done"
    started = prompt.start("record", "--", "bash", "-c", waits)
    started.wait_for("ready")
    started.process.send_signal(number)
    said = started.end()
    assert said.code == 9
    assert "stopping" in said.err
    assert [name for name in prompt.files() if name.startswith("TMP/")] == []


def test_a_command_that_a_signal_ended_ends_us_with_its_number(author: Author) -> None:
    started = author.prompt().start("record", "--", "sh", "-c", "echo ready >&2; exec sleep 60")
    started.wait_for("ready")
    started.process.send_signal(signal.SIGTERM)
    assert started.end().code == 143


@pytest.mark.parametrize("ending", ["run.finish()", ""], ids=["finished", "by itself"])
def test_a_run_of_weights_and_biases_has_the_tags_in_its_config_and_the_models_digest(
    ending: str, author: Author, tmp_path: Path, dvc_path: str
) -> None:
    script = (
        "import json, wandb\n"
        "run = wandb.init(project='p', config={'depth': 8})\n"
        "run.log({'loss': 0.5})\n"
        "open('model.bin', 'w').write('of W&B')\n"
        f"print('CONFIG' + json.dumps(dict(run.config)))\n{ending}\n"
    )
    author.repository.commit({"src/train.py": script}, "Track with W&B")
    author.push()
    said = author.record(
        *("--strict", "--model", "model.bin", "--", str(kept_python(WANDB)), "train.py"),
        WANDB_MODE="offline",
        WANDB_SILENT="true",
        HOME=str(tmp_path),
        PATH=dvc_path,
    )
    assert said.code == 0, said.err
    config = json.loads(said.out.partition("CONFIG")[2].splitlines()[0])
    assert config["depth"] == 8
    assert config["git_commit"] == author.repository.head
    assert config["dvc_data_md5"] == author.data.digest.dvc
    assert config["runner.command"] == "python train.py"
    (written,) = author.folder.glob("src/wandb/offline-run-*/*.wandb")
    assert author.data.digest.dvc.encode() in written.read_bytes()
    assert md5(b"of W&B").dvc.encode() in written.read_bytes()


def test_the_environments_own_sitecustomize_has_its_turn(author: Author, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs ran')\n")
    said = author.record("--", sys.executable, "-c", "", PYTHONPATH=str(tmp_path))
    assert (said.code, said.out) == (0, "theirs ran\n")
