"""`runner demo` on the real engine: what it makes is a real project, and its four verdicts are as they must be."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.demo.project import DemoProject, existing_project, make_project
from runner.engine.docker import DockerEngine
from runner.network import read_network_settings
from runner.prepare import Prepared
from runner.progress import NoProgress
from tests.support.readme import blocks

ROOT = Path(__file__).parents[2]
RUNNER = [sys.executable, "-c", "from runner.cli.app import main; main()"]
EXPECTED = [
    ("experiment_v1", "identical"),
    ("experiment_v2", "identical"),
    ("experiment_v1-altered", "diverged"),
    ("pilot", "unverifiable"),
]


@dataclass(frozen=True)
class Done:
    """The first `runner demo FOLDER --json`, and what it left."""

    process: subprocess.CompletedProcess[str]
    project: DemoProject


def type_in(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100"}  # the width of the README's screen
    return subprocess.run(
        [*RUNNER, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def demo(cache_volume: str, shared_images: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("demo") / "made"
    process = type_in("demo", str(folder), "--json", "--quiet")
    project = existing_project(folder)
    assert project is not None, process.stdout + process.stderr
    return Done(process, project)


def git(project: DemoProject, *arguments: str) -> str:
    command = ["git", "-C", str(project.repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def tags(project: DemoProject, run: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in project.tracker.glob(f"*/{project.runs[run]}/tags/*")}


def contents(folder: Path) -> dict[str, str]:
    """Every path below a folder, with a digest of each file; evidence of reproductions aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] != "reproductions":
            found[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def pointer_md5(project: DemoProject, commit: str, path: str) -> str:
    found = re.search(r"md5: ([0-9a-f]{32})", git(project, "show", f"{commit}:{path}.dvc"))
    assert found is not None
    return found[1]


def test_each_case_has_the_verdict_that_it_must_have(demo: Done) -> None:
    assert demo.process.returncode == 0, demo.process.stdout + demo.process.stderr
    results = json.loads(demo.process.stdout)
    assert [(one["name"], one["verdict"]) for one in results] == EXPECTED
    assert [(one["name"], one["expected"]) for one in results] == EXPECTED
    assert all(one.keys() == {"name", "expected", "verdict", "seconds"} and one["seconds"] > 0 for one in results)


def test_model_pointer_at_a_runs_own_commit_is_of_the_model_before(demo: Done) -> None:
    first, second = tags(demo.project, "experiment_v1"), tags(demo.project, "experiment_v2")
    assert first["dvc_model_md5"] != second["dvc_model_md5"]
    stale = pointer_md5(demo.project, second["git_commit"], "runs/diabetes/model.joblib")
    assert stale == first["dvc_model_md5"]
    later = git(demo.project, "log", "--reverse", "--format=%H", f"{second['git_commit']}..main").splitlines()[0]
    assert pointer_md5(demo.project, later, "runs/diabetes/model.joblib") == second["dvc_model_md5"]


def test_data_of_both_experiments_is_in_the_remote_and_the_pilots_is_gone(demo: Done) -> None:
    def held(md5: str) -> bool:
        return (demo.project.remote / "files" / "md5" / md5[:2] / md5[2:]).exists()

    digests = {name: tags(demo.project, name)["dvc_data_md5"] for name in demo.project.runs}
    assert len(set(digests.values())) == 3
    assert {name: held(md5) for name, md5 in digests.items()} == {
        "experiment_v1": True,
        "experiment_v2": True,
        "pilot": False,
    }


def test_history_has_six_commits_and_script_changed_after_the_runs(demo: Done) -> None:
    commits = git(demo.project, "log", "--format=%H").splitlines()
    assert len(commits) >= 6
    assert demo.project.log[-1].startswith(commits[0][:7])
    last_run = tags(demo.project, "experiment_v2")["git_commit"]
    changed = git(demo.project, "log", "--format=%s", f"{last_run}..main", "--", "scripts/train.py").splitlines()
    assert len(changed) >= 2


def test_second_demo_gives_the_same_and_changes_nothing_of_the_authors(demo: Done) -> None:
    before = contents(demo.project.folder)
    process = type_in("demo", str(demo.project.folder), "--quiet")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "4 of 4 as expected" in process.stdout
    verdicts = re.findall(r"^([A-Z]+) +(\S+) .* as expected$", process.stdout, re.MULTILINE)
    assert [(name, verdict.lower()) for verdict, name in verdicts] == EXPECTED
    assert contents(demo.project.folder) == before


def test_commands_to_type_next_do_what_is_said(demo: Done) -> None:
    from runner.demo.flow import describe_end

    lines = [line.strip() for line in describe_end((), str(demo.project.folder)).splitlines()]
    (change,) = [line for line in lines if line.startswith("cd ")]
    commands = [re.split(r"  +", line)[0] for line in lines if line.startswith("runner ")]
    typed = [type_in(*command.split()[1:], "--quiet", folder=Path(change[3:])) for command in commands]
    assert [process.returncode for process in typed] == [0, 0, 1, 3], [process.stderr for process in typed]
    # The screen that the README shows is the one that comes out, its ids and figures aside.
    shown = blocks((ROOT / "README.md").read_text(), "screen")["diverged"]
    assert without_figures(shown) == without_figures(typed[2].stdout)[: len(shown.splitlines())]


def test_evidence_holds_the_environment_that_trained_beside_the_recorded_one(demo: Done) -> None:
    """The demo's trainings compute with NumPy and scikit-learn, whose wheels bring OpenBLAS and OpenMP."""
    folder = demo.project.repository / "reproductions" / demo.project.runs["experiment_v1"] / "latest"
    document = json.loads((folder / "reproduction.json").read_text())
    capture, hardware, compared = (
        document["rerun"]["capture"],
        document["rerun"]["hardware"],
        document["comparison"]["environment"],
    )
    processors = document["rerun"]["hardware"]["cpus"]
    found = {library["name"].partition("/")[0].partition(".")[0]: library for library in capture["libraries"]}
    assert {"numpy", "scipy", "scikit_learn"} <= found.keys()
    assert 1 <= found["numpy"]["threads"] <= processors
    assert found["numpy"]["version"].startswith("OpenBLAS 0.3.")
    assert found["numpy"]["kernel"] in found["numpy"]["version"]
    assert 1 <= found["scikit_learn"]["threads"] <= processors
    assert capture["variables"].items() >= {"LANG": "C.UTF-8", "TZ": "UTC"}.items()
    assert len(hardware["cpu_flags"]) > 10
    assert hardware["compiler"].startswith("GCC")
    assert hardware["libc"].startswith("glibc 2.")
    packages = {package["name"]: package for package in compared["packages"]}
    assert packages["numpy"]["outcome"] == "same"
    assert packages["numpy"]["recorded_by"] == "commit"
    assert packages["numpy"]["original"] == packages["numpy"]["rerun"]
    assert compared["counts"]["changed"] == compared["counts"]["removed"] == compared["counts"]["added"] == 0
    assert compared["complete"]
    report = (folder / "report.md").read_text()
    assert compared["reading"] in report
    assert "OpenBLAS" in report


def test_made_again_elsewhere_the_project_has_the_same_commits_data_models_and_numbers(
    demo: Done, engine: DockerEngine, shared_images: Prepared, tmp_path: Path
) -> None:
    again = make_project(
        tmp_path / "again",
        engine=engine,
        image=shared_images.tools,
        network=read_network_settings(),
        progress=NoProgress(),
    )
    assert again.log == demo.project.log
    assert contents(again.remote) == contents(demo.project.remote)
    assert git(again, "rev-parse", "main") == git(demo.project, "rev-parse", "main")
    assert again.recorded == demo.project.recorded
    for name in demo.project.runs:
        assert curves(again, name) == curves(demo.project, name)


def without_figures(screen: str) -> list[str]:
    """The lines of a screen with one mark for each id, number and gap."""
    return [
        re.sub(r" +", " ", re.sub(r"\b[0-9a-f]*[0-9][0-9a-f.]*", "#", line)).strip() for line in screen.splitlines()
    ]


def curves(project: DemoProject, run: str) -> dict[str, list[list[str]]]:
    """Value and step of every point of a run, as text."""
    files = project.tracker.glob(f"*/{project.runs[run]}/metrics/*")
    return {path.name: [line.split()[1:] for line in path.read_text().splitlines()] for path in files}


def test_folder_of_somebody_else_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    process = type_in("demo", str(tmp_path), "--json", "--quiet")
    assert process.returncode == 2
    assert "not empty" in json.loads(process.stdout)["error"]["cause"]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
