"""The command line as a person or a CI job meets it: what it says, how it exits, what it leaves."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.engine import labels
from runner.engine.docker import DockerEngine, remove_container, remove_volume
from runner.prepare import Prepared
from tests.support.command import CommandLine, Said, left_in_engine, work_folders
from tests.support.projects import EXPERIMENT, RUN_ID, RUN_NAME, RecordedProject, script
from tests.support.repositories import fingerprint

SIMILAR = "5f1d7a3c9b2e4f608a1b2c3d4e5f6072"
OF_SAME_NAME = "aaaa7a3c9b2e4f608a1b2c3d4e5f6071"


def recorded(folder: Path, text: str | None = None, **files: str) -> RecordedProject:
    """Return a project whose author committed this script, and one run of it."""
    project = RecordedProject(folder)
    project.commit_training(text, files)
    project.record()
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> RecordedProject:
    """One that nobody changes: three runs, of which two share a name and two their first digits."""
    project = recorded(tmp_path_factory.mktemp("author"))
    project.record(run_id=SIMILAR, name="second", pointers=False)
    project.record(run_id=OF_SAME_NAME, pointers=False)
    return project


@pytest.fixture
def typed(project: RecordedProject, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "here", tracker=project.tracker)


# ---- what cannot be meant, or not be had: exit code, cause, remedy, and nothing left ----


@pytest.fixture
def refuses(typed: CommandLine, shared_engine: DockerEngine) -> Callable[..., str]:
    """Types a command twice, with --json and without; returns what a person reads. Nothing may be left of either."""

    def refuses(code: int, kind: str, *arguments: str, **variables: str) -> str:
        typed.variables |= variables
        before = typed.files()
        started = typed.start(*arguments, "--json")
        said = started.end()
        assert said.code == code, (said.out, said.err)
        error = said.document["error"]
        assert (error["code"], error["kind"], error["retryable"]) == (code, kind, code == 5)
        assert error["cause"]
        assert error["remedy"]
        assert "Traceback" not in said.err
        again = typed.start(*arguments)
        read = again.end()
        assert (read.code, read.out) == (code, "")
        cause, remedy = read.err.splitlines()[-2:]
        assert cause == f"error: {error['cause']}"
        assert remedy == f"  try: {error['remedy']}"
        assert typed.files() == before
        for each in (started, again):
            assert left_in_engine(shared_engine, each.pid) == []
        return f"{cause}\n{remedy}"

    return refuses


def test_an_unknown_run_id_is_named_with_what_is_near(refuses: Any) -> None:
    mistyped = RUN_ID[:-1] + "9"
    said = refuses(2, "run-not-found", "reproduce", mistyped)
    assert mistyped in said
    assert RUN_ID in said or RUN_NAME in said


def test_an_unknown_run_name_is_named_with_what_is_near(refuses: Any) -> None:
    said = refuses(2, "run-not-found", "reproduce", f"{EXPERIMENT}/secnod")
    assert "secnod" in said
    assert "second" in said.replace("secnod", "")


def test_a_prefix_of_two_runs_is_ambiguous_and_lists_them(refuses: Any) -> None:
    said = refuses(2, "ambiguous-run", "reproduce", RUN_ID[:8])
    assert RUN_ID in said
    assert SIMILAR in said


def test_a_name_of_two_runs_is_ambiguous_and_lists_ids_and_dates(refuses: Any) -> None:
    said = refuses(2, "ambiguous-run", "reproduce", f"{EXPERIMENT}/{RUN_NAME}")
    assert RUN_ID in said
    assert OF_SAME_NAME in said
    assert said.count("2026-05-28") >= 2


@pytest.mark.parametrize(
    "tracker", ["{0}/nothing", "file:{0}/nothing", "{0}", "sqlite:///{0}/mlflwo.db", "ftp://host/x"]
)
def test_what_is_no_store_is_refused_and_created_nowhere(refuses: Any, tmp_path: Path, tracker: str) -> None:
    folder = tmp_path / "stores"
    folder.mkdir()
    (folder / "notes.txt").write_text("no store")
    before = fingerprint(folder)
    said = refuses(2, "not-a-store", "reproduce", RUN_ID, "--tracker", tracker.format(folder))
    assert "nothing" in said or "stores" in said or "ftp" in said
    assert fingerprint(folder) == before


def test_a_tracker_that_is_down_may_be_tried_again(refuses: Any) -> None:
    said = refuses(5, "tracker-unavailable", "reproduce", RUN_ID, "--tracker", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in said


def test_an_engine_that_is_down_may_be_tried_again(refuses: Any, tmp_path: Path) -> None:
    said = refuses(5, "engine-unavailable", "reproduce", RUN_ID, DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    assert "nobody.sock" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--tolerance", "1"), "--tolerance"),
        (("--rtol", "-1"), "--rtol"),
        (("--rtol", "nan"), "--rtol"),
        (("--atol", "much"), "--atol"),
        (("--allow", "everything"), "everything"),
        (("--require", "better"), "better"),
        (("--timeout", "soon"), "--timeout"),
        (("--memory", "lots"), "--memory"),
        (("python", "train.py"), "-- python train.py"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else None,
)
def test_a_flag_that_cannot_be_meant_is_named(refuses: Any, arguments: tuple[str, ...], named: str) -> None:
    kind = "usage" if arguments[0] in ("--tolerance", "python") else "invalid-configuration"
    assert named in refuses(2, kind, "reproduce", RUN_ID, *arguments)


def test_an_unknown_key_of_runner_yaml_is_named_with_its_line(refuses: Any, typed: CommandLine) -> None:
    (typed.folder / "runner.yaml").write_text("tracker: mlruns\npolicy:\n  rtoll: 1e-6\n")
    said = refuses(2, "invalid-configuration", "reproduce", RUN_ID)
    assert "rtoll" in said
    assert "line 3" in said


def test_out_on_a_file_is_refused_before_anything_is_rerun(refuses: Any, typed: CommandLine) -> None:
    (typed.folder / "file").write_text("mine")
    assert "file" in refuses(2, "invalid-configuration", "reproduce", RUN_ID, "--out", "file")


# ---- what comes out ----


def verdict_of(said: Said) -> str:
    assert said.out, said.err
    return str(said.document["verdict"])


@pytest.fixture
def reproduces(
    typed: CommandLine, shared_engine: DockerEngine, shared_images: Prepared
) -> Iterator[Callable[..., Said]]:
    """Types `reproduce` for the run; afterwards nothing may be left but the evidence."""
    started = []

    def reproduces(*arguments: str, tracker: Path | None = None) -> Said:
        more = () if tracker is None else ("--tracker", str(tracker))
        started.append(typed.start("reproduce", RUN_ID, *more, *arguments))
        return started[-1].end()

    yield reproduces
    assert [name for each in started for name in left_in_engine(shared_engine, each.pid)] == []
    assert work_folders(shared_engine, shared_images.tools) == []
    assert not [name for name in typed.files() if name.startswith("TMP/")]


def test_a_verdict_has_its_screen_and_its_evidence_with_the_newest_under_latest(
    reproduces: Any, typed: CommandLine
) -> None:
    said = reproduces()
    assert said.code == 0, said.err
    assert said.out.startswith("IDENTICAL")
    place = typed.folder / "reproductions" / RUN_ID
    assert sorted(path.name for path in place.iterdir())[1:] == ["latest"]
    document = json.loads((place / "latest" / "reproduction.json").read_text())
    assert document["verdict"] == "identical"
    assert "training now" not in said.err
    assert reproduces("-q", "--rtol", "0.1").code == 0
    assert len(list(place.iterdir())) == 3
    assert json.loads((place / "latest" / "reproduction.json").read_text())["plan"]["policy"]["rtol"] == 0.1


def test_with_json_one_document_is_on_stdout_and_out_names_the_folder(reproduces: Any, typed: CommandLine) -> None:
    said = reproduces("--json", "--out", "evidence/here")
    assert (said.code, verdict_of(said)) == (0, "identical")
    assert json.loads((typed.folder / "evidence" / "here" / "reproduction.json").read_text()) == said.document
    assert (typed.folder / "evidence" / "here" / "logs" / "train.log").exists()
    assert not (typed.folder / "reproductions").exists()


def test_the_log_streams_to_stderr_when_asked(reproduces: Any, tmp_path: Path) -> None:
    text = script(inside="import sys; print('to stdout'); print('to stderr', file=sys.stderr)")
    project = recorded(tmp_path / "author", text)
    said = reproduces("-v", tracker=project.tracker)
    assert said.code == 0, said.err
    assert "to stdout" in said.err
    assert "to stderr" in said.err
    assert "to stdout" not in said.out


def test_below_what_is_required_is_exit_1(reproduces: Any, tmp_path: Path) -> None:
    project = RecordedProject(tmp_path / "author")
    project.commit_training()
    project.record(metrics={"loss": [7.75, 3.875, 1.9375, 0.96875], "total": [7.750000001]})
    said = reproduces("--json", "--require", "identical", tracker=project.tracker)
    assert (said.code, verdict_of(said)) == (1, "reproduced")


def test_a_command_after_dashes_is_what_is_run(reproduces: Any) -> None:
    said = reproduces("--json", "--", "python", "train.py", "--scale", "2")
    assert said.document["plan"]["command"] == "python train.py --scale 2"
    assert (said.code, verdict_of(said)) == (1, "diverged")


def test_runner_yaml_here_supplies_command_and_tolerance(reproduces: Any, typed: CommandLine) -> None:
    (typed.folder / "runner.yaml").write_text(
        "command: python train.py --scale 1.0000001\npolicy:\n  rtol: 1e-3\n  atol: 1e-3\n"
    )
    said = reproduces("--json")
    plan = said.document["plan"]
    assert plan["command"] == "python train.py --scale 1.0000001"
    assert "runner.yaml" in plan["command_source"]
    assert (plan["policy"]["rtol"], plan["policy"]["atol"]) == (1e-3, 1e-3)
    assert {metric["outcome"] for metric in said.document["comparison"]["metrics"]} == {"within"}
    # Another value of a param than recorded: with a command that was given, another experiment (rule 10).
    assert (said.code, verdict_of(said)) == (1, "diverged")


THEIRS = {
    "runner.py": "raise SystemExit('the project has a runner of its own')\n",
    "runner/__init__.py": "raise SystemExit('the project has a runner of its own')\n",
    "runner/errors.py": "raise SystemExit('the project has a runner of its own')\n",
    "runner.yaml": "# of another tool\njobs:\n  - name: build\n    steps: [make]\n",
    "typer.py": "raise SystemExit('a module of the project')\n",
}


def test_a_project_that_owns_runner_py_a_package_and_a_yaml_of_that_name_reproduces(
    typed: CommandLine, tmp_path: Path
) -> None:
    """Thousands do. The runner is typed in the work tree itself; the yaml there is not ours, and is said to be none."""
    project = recorded(tmp_path / "author", None, **THEIRS)
    inside = CommandLine(project.repository.path)
    inside.variables |= {name: typed.variables[name] for name in ("REPRO_CACHE_DIR", "TMPDIR")}
    refused = inside.run("reproduce", RUN_ID, "--json")
    assert (refused.code, refused.document["error"]["kind"]) == (2, "invalid-configuration")
    assert "runner.yaml" in refused.document["error"]["cause"]
    (project.repository.path / "runner.yaml").unlink()
    said = inside.run("reproduce", RUN_ID, "--json", "--out", str(tmp_path / "evidence"))
    assert (said.code, verdict_of(said)) == (0, "identical")
    assert any("runner.yaml at the commit was not used" in line for line in said.document["not_verified"])


def test_a_training_in_an_isolated_sub_process_is_captured(reproduces: Any, tmp_path: Path) -> None:
    """`-I` ignores PYTHONPATH and the user's folders, and a child inherits nothing but the environment."""
    start = "import subprocess, sys\nsubprocess.run([sys.executable, '-I', 'real.py', *sys.argv[1:]], check=True)\n"
    project = RecordedProject(tmp_path / "author")
    project.commit_training(start, {"real.py": script()})
    project.record()
    said = reproduces("--json", "--", "python", "-I", "train.py", "--scale", "1.0", tracker=project.tracker)
    assert (said.code, verdict_of(said)) == (0, "identical")


def test_a_log_of_100_mb_is_cut_with_a_sentence_and_judged_all_the_same(
    reproduces: Any, typed: CommandLine, tmp_path: Path
) -> None:
    noise = "[print('x' * 999) for _ in range(100_000)]"
    project = recorded(tmp_path / "author", script(inside=noise))
    said = reproduces("--json", "--out", "evidence", tracker=project.tracker)
    assert (said.code, verdict_of(said)) == (0, "identical")
    assert said.document["rerun"]["log_cut"] is True
    log = typed.folder / "evidence" / "logs" / "train.log"
    assert log.stat().st_size < 70 << 20
    with log.open("rb") as file:
        file.seek(-200, os.SEEK_END)
        assert b"cut here" in file.read()


def test_a_closed_pipe_is_exit_141_and_leaves_nothing_half_made(
    typed: CommandLine, shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    """As `runner reproduce RUN --json | head -0` is: the reader is gone before there is a verdict."""
    for arguments in (("reproduce", RUN_ID, "--json"), ("plan", RUN_ID), ("--help",)):
        near, far = os.pipe()
        os.close(near)
        started = typed.start(*arguments, stdout=far)
        os.close(far)
        said = started.end()
        assert said.code == 141, (arguments, said.err)
        assert "error" not in said.err.lower()
        assert "Traceback" not in said.err
        assert left_in_engine(shared_engine, started.pid) == []
    assert work_folders(shared_engine, shared_images.tools) == []
    assert [name for name in typed.files() if "/." in name] == ["reproductions/.gitignore"]


def test_progress_to_a_closed_pipe_is_exit_141_and_leaves_nothing(
    typed: CommandLine, shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    near, far = os.pipe()
    os.close(near)
    started = typed.start("reproduce", RUN_ID, stderr=far)
    os.close(far)
    assert started.end().code == 141
    assert left_in_engine(shared_engine, started.pid) == []
    assert work_folders(shared_engine, shared_images.tools) == []
    assert typed.files() == []


def test_a_kept_workspace_is_there_and_the_commands_that_are_said_open_and_remove_it(
    typed: CommandLine, shared_engine: DockerEngine, shared_images: Prepared
) -> None:
    started = typed.start("reproduce", RUN_ID, "--keep")
    said = started.end()
    assert said.code == 0, said.err
    lines = said.err.splitlines()
    shell, removal = lines[-3].strip(), lines[-1].strip()
    assert lines[-4].startswith("kept: ")
    assert lines[-2].startswith("to remove it")
    assert left_in_engine(shared_engine, started.pid) == []
    assert len(work_folders(shared_engine, shared_images.tools)) == 1

    def type_in(line: str) -> str:
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    look = shell.replace(" -it ", " ")
    assert type_in(f"{look} -c true") == ""
    assert "train.py" in type_in(f"{look} -c 'ls; python -c \"import mlflow\"; python train.py >/dev/null 2>&1'")
    type_in(removal)
    assert work_folders(shared_engine, shared_images.tools) == []


# ---- a disk that is full ----

VOLUME_BYTES = 260 << 20


@pytest.fixture
def small_volume(shared_engine: DockerEngine, shared_images: Prepared) -> Iterator[str]:
    """A cache volume that is soon full: it lies in memory, as long as a container holds it."""
    name = f"{labels.cache_volume()}-small"
    client = shared_engine.client
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={VOLUME_BYTES}"}
    client.create_volume(name, driver="local", driver_opts=options, labels={labels.LABEL: labels.CACHE})
    holder = client.create_container(
        shared_images.tools,
        ["sleep", "900"],
        labels=labels.session_labels(shared_engine.session_id, "hold"),
        host_config=client.create_host_config(binds=[f"{name}:/held"], init=True),
    )
    client.start(holder)
    yield name
    remove_container(client, holder["Id"])
    remove_volume(client, name)


def test_a_disk_that_the_training_fills_is_infrastructure_and_no_failure_of_the_author(
    typed: CommandLine, small_volume: str, shared_engine: DockerEngine, tmp_path: Path
) -> None:
    fills = "with open('runs/big.bin', 'wb') as file:\n        while True: file.write(bytes(1 << 20))"
    project = recorded(tmp_path / "author", script(inside=fills))
    typed.variables["REPRO_CACHE_VOLUME"] = small_volume
    started = typed.start("reproduce", RUN_ID, "--json", "--tracker", str(project.tracker))
    said = started.end()
    assert said.code == 5, said.err + said.out[:2000]
    error = said.document["error"]
    assert error["kind"] == "disk-full"
    assert "training" in error["cause"]
    assert small_volume in error["cause"]
    assert "prune" in error["remedy"]
    assert typed.files() == []
    assert left_in_engine(shared_engine, started.pid) == []


# ---- help is fast ----


def test_help_imports_no_heavy_library() -> None:
    heavy = {"docker", "git", "mlflow", "pydantic", "yaml", "ruamel", "requests"}
    code = (
        "import sys\n"
        "from runner.cli.app import run\n"
        "code = run(sys.argv[1:])\n"
        f"print(sorted({heavy!r} & set(sys.modules)), code, file=sys.stderr)\n"
    )
    for arguments in (["--help"], ["reproduce", "--help"], ["--version"]):
        allowed = "['pydantic'] 0" if arguments[0] == "reproduce" else "[] 0"  # Typer's own, for commands with options
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stderr.strip() in ("[] 0", allowed), (arguments, done.stderr)
        assert done.stdout
