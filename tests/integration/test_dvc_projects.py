"""Projects as each DVC makes them, from the run's id alone: layouts of other years, folders, remotes, imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.planning import plan_run
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.schema.reproduction import Verdict
from runner.settings import Flags, load_settings
from tests.support.capture_environments import DVC_1, DVC_2, DVC_TODAY, Specification, program_of
from tests.support.dvc_projects import FEATURES, RUN_ID, TRAIN, DvcProject
from tests.support.git_server import NAME, serving_git
from tests.support.judging import Judge, judging, why
from tests.support.repositories import Repository

DATA = "".join(f"{value}\n" for value in FEATURES).encode()
READS = TRAIN.replace("data/features/all.csv", "data/train.csv")


@pytest.fixture
def judged(
    shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[DvcProject, Judge]]]:
    """Returns a project of some DVC, and a judge of its run."""
    entered = []

    def make(specification: Specification = DVC_TODAY) -> tuple[DvcProject, Judge]:
        folder = tmp_path / "author"
        folder.mkdir()
        project = DvcProject(folder, program_of(specification, "dvc"))
        context = judging(project, shared_engine, tmp_path, monkeypatch)
        entered.append(context)
        return project, context.__enter__()

    yield make
    for context in entered:
        context.__exit__(None, None, None)


def identical(judge: Judge) -> list[str]:
    """Reproduce; return the inputs that were laid out, each as it was restored."""
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    return sorted(f"{file.path} {file.digest}" for file in reproduction.rerun.inputs if file.place == "workspace")


@pytest.mark.parametrize(
    "specification", [pytest.param(DVC_1, marks=pytest.mark.full, id="1"), pytest.param(DVC_2, id="2")]
)
def test_what_dvc_of_other_years_added_is_found_where_it_was_pushed(
    judged: Callable[..., tuple[DvcProject, Judge]], specification: Specification
) -> None:
    project, judge = judged(specification)
    project.start()
    project.write({"train.py": READS, "data/train.csv": DATA.replace(b"\n", b"\r\n"), "data/more/a.txt": b"a\r\n"})
    project.dvc("add", "-q", "data/train.csv", "data/more")
    project.save("Add data")
    project.push()
    assert not (project.store.path / "files").exists(), "what DVC 3 would have pushed"
    project.forget()
    project.record()
    laid = identical(judge)
    assert [line.split(":")[0] for line in laid] == ["data/more md5-dos2unix", "data/train.csv md5-dos2unix"]


@pytest.mark.full
def test_two_projects_in_folders_of_one_repository_have_each_its_own_remote(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    for root, store in (("a", "remote"), ("b", "other")):
        project.write({f"{root}/data/x.csv": DATA if root == "a" else b"7\n"})
        project.dvc("init", "-q", "--subdir", root=root)
        project.dvc("remote", "add", "-q", "-d", "main", str(project.folder / store), root=root)
        project.dvc("add", "-q", "data/x.csv", root=root)
        project.dvc("push", "-q", root=root)
    project.write({"train.py": TRAIN.replace("data/features/all.csv", "a/data/x.csv")})
    project.save("Two projects")
    project.forget()
    project.record()
    assert [line.split()[0] for line in identical(judge)] == ["a/data/x.csv", "b/data/x.csv"]


@pytest.mark.full
def test_each_out_is_found_in_the_remote_that_its_pointer_names(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    project.start()
    project.dvc("remote", "add", "-q", "second", str(project.folder / "second"))
    project.write({"train.py": READS, "data/train.csv": DATA})
    project.dvc("add", "-q", "data/train.csv")
    pointer = project.repository.path / "data" / "train.csv.dvc"
    pointer.write_text(pointer.read_text().rstrip("\n") + "\n  remote: second\n")
    project.save("Add data to the second remote")
    project.push()
    assert list((project.folder / "second").rglob("files/md5/*/*"))
    project.forget()
    project.record()
    assert len(identical(judge)) == 1


def test_a_remote_within_the_repository_counts_as_it_is_at_the_commit(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    project.dvc("init", "-q")
    project.dvc("remote", "add", "-q", "-d", "main", "store")
    project.write({"train.py": READS, "data/train.csv": DATA})
    project.dvc("add", "-q", "data/train.csv")
    project.push()
    project.save("Data and the remote that holds them")
    commit = project.commit
    project.repository.git("rm", "-rq", "store")
    project.save("The remote goes")
    project.commit = commit
    project.forget()
    project.record()
    assert len(identical(judge)) == 1


def test_what_is_not_cached_is_gits_and_metrics_of_it_are_written_anew(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    project.start()
    training = READS + 'Path("metrics.json").write_text(\'{"total": %r}\' % sum(values))\n'
    pipeline = (
        "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py, data/train.csv]\n    outs: [model.bin]\n"
        "    metrics:\n    - metrics.json: {cache: false}\nartifacts:\n  model: {path: model.bin, type: model}\n"
    )
    project.write({"train.py": training, "data/train.csv": DATA, "dvc.yaml": pipeline})
    project.dvc("add", "-q", "data/train.csv")
    project.dvc("repro", "-q")
    project.save("Train")
    project.push()
    project.forget()
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.comparison is not None
    outputs = {output.path: output for output in reproduction.comparison.outputs}
    assert outputs["metrics.json"].written
    assert outputs["metrics.json"].outcome.value == "equal"


def test_only_all_pulls_what_no_stage_declares_and_the_script_does_not_name(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    project.start()
    pipeline = (
        "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py, data/train.csv]\n    outs: [model.bin]\n"
    )
    project.write({"train.py": READS, "data/train.csv": DATA, "dvc.yaml": pipeline, "huge/unused.bin": b"x" * 999})
    project.dvc("add", "-q", "data/train.csv", "huge/unused.bin")
    project.dvc("repro", "-q")
    project.save("Train")
    project.push()
    project.forget()
    project.record()
    assert [line.split()[0] for line in identical(judge)] == ["data/train.csv"]
    everything = judge(pull="all")
    assert everything.verdict is Verdict.IDENTICAL, why(everything)
    assert everything.rerun is not None
    assert [file.path for file in everything.rerun.inputs if file.place == "workspace"] == [
        "data/train.csv",
        "huge/unused.bin",
    ]


def test_a_training_that_looks_for_what_its_stage_does_not_declare_is_unverifiable(
    judged: Callable[..., tuple[DvcProject, Judge]],
) -> None:
    project, judge = judged()
    project.start()
    hidden = 'import base64\ntry:\n    open(base64.b64decode("aGlkZGVuL2IudHh0").decode())\nexcept OSError:\n    pass\n'
    pipeline = (
        "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py, data/train.csv]\n    outs: [model.bin]\n"
    )
    project.write({"train.py": hidden + READS, "data/train.csv": DATA, "dvc.yaml": pipeline, "hidden/b.txt": "1"})
    project.dvc("add", "-q", "data/train.csv", "hidden/b.txt")
    project.dvc("repro", "-q")
    project.save("Train")
    project.push()
    project.forget()
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "looked for hidden/b.txt, which its stage does not declare" in reproduction.reason
    assert reproduction.missing is not None
    assert "--pull all" in reproduction.missing.remedy


@pytest.mark.parametrize("path", ["tables", pytest.param("tables/train.csv", marks=pytest.mark.full)])
def test_what_was_imported_from_another_repository_is_fetched_from_there(
    judged: Callable[..., tuple[DvcProject, Judge]], tmp_path: Path, path: str
) -> None:
    library = Repository(tmp_path / "library")
    commit = library.commit({"tables/train.csv": DATA, "tables/more/x.csv": b"1\n"}, "Tables")
    project, judge = judged()
    project.start()
    project.write({"train.py": TRAIN.replace("data/features/all.csv", f"data/{Path(path).name}"), "data/.keep": ""})
    if path == "tables":
        project.write({"train.py": TRAIN.replace("data/features/all.csv", "data/tables/train.csv")})
    project.dvc("import", "-q", str(library.path), path, "-o", f"data/{Path(path).name}")
    library.commit({"tables/train.csv": b"9\n"}, "Other tables")
    pointer = project.repository.path / "data" / f"{Path(path).name}.dvc"
    pointer.write_text(pointer.read_text().replace(str(library.path), f"https://{NAME}/library.git"))
    project.save("Import data")
    project.push()
    project.forget()
    project.record()
    # its proxy leads nowhere else: what plans fetches the source, and what reruns has it then
    with pytest.MonkeyPatch.context() as patch, serving_git(library, tmp_path, patch) as server:
        plan = plan_run(
            RUN_ID, load_settings(Flags(tracker=str(project.tracker)), {}, judge.folder), progress=NoProgress()
        )
        assert server.shown == []
    assert [remote.source for remote in plan.remotes if remote.name.startswith("import-")] == [
        f"dvc import: git repository https://{NAME}/library.git at {commit[:12]}"
    ]
    assert [line.split()[0] for line in identical(judge)] == [f"data/{Path(path).name}"]


@pytest.mark.full
def test_an_import_of_a_folder_of_the_author_is_read_by_nobody_and_its_source_is_named(
    judged: Callable[..., tuple[DvcProject, Judge]], tmp_path: Path
) -> None:
    library = Repository(tmp_path / "library")
    library.commit({"train.csv": DATA}, "Tables")
    project, judge = judged()
    project.start()
    project.write({"train.py": READS, "data/.keep": ""})
    project.dvc("import", "-q", str(library.path), "train.csv", "-o", "data/train.csv")
    project.save("Import data")
    project.forget()
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "data/train.csv" in reproduction.reason
    assert f"it came by dvc import of train.csv of {library.path} at {library.head[:12]}" in reproduction.reason
    assert any("a folder of the author's machine" in line for line in reproduction.not_verified)


@pytest.mark.full
def test_import_url_is_found_in_the_remote_that_dvc_pushed_it_to(
    judged: Callable[..., tuple[DvcProject, Judge]], tmp_path: Path
) -> None:
    (tmp_path / "export.csv").write_bytes(DATA)
    project, judge = judged()
    project.start()
    project.write({"train.py": READS, "data/.keep": ""})
    project.dvc("import-url", "-q", str(tmp_path / "export.csv"), "data/train.csv")
    project.save("Import data")
    project.push()
    project.forget()
    (tmp_path / "export.csv").write_bytes(b"9\n")
    project.record()
    assert len(identical(judge)) == 1
