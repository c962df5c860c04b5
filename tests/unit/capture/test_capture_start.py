"""How the capture begins in a Python, and what it sees there. Real interpreters, no MLflow."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reproducibility_runner import install, places
from runner.inside import layout
from runner.inside.capture.reader import read_capture
from tests.unit.capture.test_capture_events import ROOT, events, run_python

BEGIN = "import reproducibility_runner.session, reproducibility_runner.start as s; s.begin('test')\n"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "capture").mkdir()
    (tmp_path / "workspace").mkdir()
    return tmp_path / "capture"


def watch(capture: Path, code: str, **more: str) -> dict[str, Any]:
    """Run code with the capture in a workspace beside it; return the report."""
    workspace = capture.parent / "workspace"
    environment = {"REPRO_CAPTURE_DIR": str(capture), "REPRO_WORKSPACE": str(workspace), **more}
    run_python(BEGIN + code, env=environment, cwd=workspace)
    return read_capture(str(capture))


class TestFiles:
    def test_files_of_the_workspace_are_listed_once_and_others_not(self, capture: Path) -> None:
        workspace = capture.parent / "workspace"
        (workspace / "data").mkdir()
        (workspace / "data" / "train.csv").write_text("1")
        (capture.parent / "outside.txt").write_text("1")
        report = watch(
            capture,
            "import os, pathlib\n"
            "for _ in range(3): open('data/train.csv').read(); pathlib.Path('data/train.csv').read_text()\n"
            "open('../outside.txt').read(); open(b'data/../data/train.csv').read()\n"
            "open(os.path.abspath('data/train.csv')).read()\n",
        )
        assert report["files_opened"] == ["data/train.csv"]
        assert [event["event"] for event in events(capture)].count("open") == 1

    def test_a_path_is_the_same_from_another_working_directory(self, capture: Path) -> None:
        workspace = capture.parent / "workspace"
        for folder in ("a", "b"):
            (workspace / folder).mkdir()
            (workspace / folder / "x.txt").write_text("1")
        report = watch(
            capture, "import os\nos.chdir('a'); open('x.txt').read(); os.chdir('../b'); open('x.txt').read()\n"
        )
        assert report["files_opened"] == ["a/x.txt", "b/x.txt"]

    def test_a_file_that_is_not_there_was_not_opened_and_is_when_it_comes(self, capture: Path) -> None:
        code = (
            "def look():\n"
            "    try: return open('late.txt').read()\n"
            "    except OSError: return None\n"
            "assert look() is None\n"
            "import subprocess; subprocess.run(['sh', '-c', 'echo 1 > late.txt'])\n"
            "assert look()\n"
        )
        report = watch(capture, code)
        assert report["files_opened"] == ["late.txt"]
        assert report["files_opened_before_output"] == []  # another program of this training made it

    def test_writing_is_told_from_reading(self, capture: Path) -> None:
        workspace = capture.parent / "workspace"
        (workspace / "old.txt").write_text("1")
        watch(
            capture,
            "import os\nopen('new.txt', 'w').close(); open('old.txt', 'r+').close(); open('old.txt', 'w+').close()\n"
            "open('tmp', 'w').close(); os.replace('tmp', 'moved.txt')\n",
        )
        found = [(event["path"], event["mode"]) for event in events(capture) if event["event"] == "open"]
        moved = [("tmp", "w"), ("tmp", "r"), ("moved.txt", "w")]
        assert found == [("new.txt", "w"), ("old.txt", "r"), ("old.txt", "w"), *moved]

    @pytest.mark.parametrize(
        "code",
        [
            "os.replace('old/results.json', 'mine.json'); open('mine.json').read()",
            "shutil.move('old', 'mine'); open('mine/results.json').read()",
            "os.link('old/results.json', 'mine.json'); open('mine.json').read()",
            "os.symlink('workspace/old/results.json', '../seen.json'); open('../seen.json').read()",
            "os.symlink('old', 'mine'); open('mine/results.json').read()",
            "open('latest/results.json').read()",
            "open('latest.json').read()",
        ],
        ids=[
            "rename",
            "rename folder",
            "link",
            "link elsewhere",
            "link folder",
            "committed link",
            "committed link file",
        ],
    )
    def test_what_the_commit_holds_is_read_also_by_another_name(self, capture: Path, code: str) -> None:
        workspace = capture.parent / "workspace"
        (workspace / "old").mkdir()
        (workspace / "old" / "results.json").write_text("1")
        (workspace / "latest").symlink_to("old")
        (workspace / "latest.json").symlink_to("latest/results.json")
        report = watch(capture, f"import os, shutil\n{code}\n")
        assert "old/results.json" in report["files_opened_before_output"]

    def test_what_the_training_wrote_and_renamed_is_its_own(self, capture: Path) -> None:
        report = watch(
            capture,
            "import os\nopen('tmp', 'w').close(); os.replace('tmp', 'made.json'); open('made.json').read()\n",
        )
        assert report["files_opened_before_output"] == []

    @pytest.mark.parametrize("name", ["'data.db'", "'file:data.db?mode=ro', uri=True", "pathlib.Path('data.db')"])
    def test_a_database_of_sqlite_is_a_file_that_was_opened(self, capture: Path, name: str) -> None:
        import sqlite3

        sqlite3.connect(capture.parent / "workspace" / "data.db").execute("create table t (x)")
        report = watch(capture, f"import pathlib, sqlite3\nsqlite3.connect({name}); sqlite3.connect(':memory:')\n")
        assert report["files_opened"] == ["data.db"]

    def test_folders_pipes_and_descriptors_are_no_files(self, capture: Path) -> None:
        report = watch(
            capture,
            "import os\nos.close(os.open('.', os.O_RDONLY)); r, w = os.pipe(); open(w, 'w').close()\n"
            "os.mkfifo('pipe'); os.close(os.open('pipe', os.O_RDONLY | os.O_NONBLOCK))\n",
        )
        assert report["files_opened"] == []

    def test_odd_arguments_never_reach_the_training_as_errors_of_ours(self, capture: Path) -> None:
        report = watch(
            capture,
            "import os\n"
            "for odd in ('nul\\0byte', object(), None, '', -1, '\\udcff', b'\\xff', bytearray(b'x')):\n"
            "    for f in (open, lambda path: os.open(path, os.O_RDONLY)):\n"
            "        try: f(odd)\n"
            "        except (TypeError, ValueError, OSError): pass\n",
        )
        assert report["problems"] == []

    def test_too_many_paths_are_cut_once_and_said(self, capture: Path) -> None:
        run_python(
            "import reproducibility_runner.observe as o; o.LIMIT = 10\n"
            + BEGIN
            + "for i in range(30): open('f%d' % i, 'w').close()\n",
            env={"REPRO_CAPTURE_DIR": str(capture)},
            cwd=capture.parent / "workspace",
        )
        kinds = [event["event"] for event in events(capture)]
        assert (kinds.count("open"), kinds.count("cut")) == (10, 1)


class TestHosts:
    def test_names_and_addresses_are_listed_and_this_machines_are_not(self, capture: Path) -> None:
        report = watch(
            capture,
            "import socket\n"
            "for host in ('data.invalid', 'data.invalid', 'localhost', '127.0.0.1', '::1', None):\n"
            "    try: socket.getaddrinfo(host, 80)\n"
            "    except OSError: pass\n"
            "s = socket.socket(); s.settimeout(0.01)\n"
            "try: s.connect(('192.0.2.1', 80))\n"
            "except OSError: pass\n"
            "try: socket.socket(socket.AF_UNIX).connect('/nowhere')\n"
            "except OSError: pass\n",
        )
        assert report["hosts_tried"] == ["192.0.2.1", "data.invalid"]


class TestProcesses:
    def test_each_process_leaves_a_start_record_without_its_arguments(self, capture: Path) -> None:
        workspace = capture.parent / "workspace"
        (workspace / "train.py").write_text(BEGIN)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "REPRO_CAPTURE_DIR": str(capture)}
        for arguments in (
            ["train.py", "--password=hunter2"],
            ["-B", "-m", "train"],
            ["-Bc", BEGIN],
            ["-X", "utf8", "-"],
        ):
            subprocess.run(
                [sys.executable, *arguments], env=environment, cwd=workspace, input=BEGIN, text=True, check=True
            )
        found = [(event["kind"], event["name"]) for event in events(capture) if event["event"] == "start"]
        assert found == [("script", "train.py"), ("module", "train"), ("command", ""), ("stdin", "")]
        assert "hunter2" not in (capture / "events.jsonl").read_text()
        assert read_capture(str(capture))["processes"] == 4

    def test_a_child_with_an_environment_of_its_own_is_captured_too(self, capture: Path) -> None:
        code = (
            "import subprocess, sys\n"
            f"subprocess.run([sys.executable, '-c', {BEGIN!r}], env={{'PYTHONPATH': {str(ROOT)!r}}}, check=True)\n"
        )
        assert watch(capture, code)["processes"] == 2

    def test_nothing_happens_without_the_variable(self, capture: Path) -> None:
        out = run_python(
            BEGIN + "import sys; print(s.session.writer, len(sys.meta_path))", env={"REPRO_CAPTURE_DIR": ""}
        )
        assert out.startswith("None ")
        assert list(capture.iterdir()) == []

    def test_nothing_happens_where_the_folder_is_missing(self, capture: Path) -> None:
        out = run_python(BEGIN + "print(s.session.writer)", env={"REPRO_CAPTURE_DIR": str(capture / "gone")})
        assert out == "None\n"

    def test_it_begins_once(self, capture: Path) -> None:
        report = watch(capture, "s.begin('again')\nimport reproducibility_runner.entry\n")
        assert [event["event"] for event in events(capture)] == ["start"]
        assert report["processes"] == 1


class TestInstall:
    def test_what_is_laid_out_is_found_as_a_distribution_with_entry_points(self, tmp_path: Path) -> None:
        install.lay_out(tmp_path)
        install.lay_out(tmp_path)  # what is there of an earlier version is replaced
        code = (
            "import importlib.metadata as m, sys\n"
            "points = m.distribution('reproducibility-runner-capture').entry_points\n"
            "print(sorted((p.group, p.name) for p in points))"
        )
        out = subprocess.run(
            [sys.executable, "-S", "-c", code],
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found = ast.literal_eval(out)
        for scheme in ("file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks"):
            assert ("mlflow.tracking_store", scheme) in found
            assert ("mlflow.model_registry_store", scheme) in found
        assert ("mlflow.artifact_repository", "file") in found

    def test_it_creates_no_other_top_level_name(self, tmp_path: Path) -> None:
        install.lay_out(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["reproducibility_runner", install.DISTRIBUTION]

    def test_its_places_are_those_of_our_containers(self) -> None:
        assert (places.PACKAGE, places.CAPTURE) == (layout.CAPTURE_PACKAGE, layout.CAPTURE_TARGET)
        assert places.WORKSPACE == layout.WORKSPACE_TARGET

    @pytest.mark.parametrize(
        "code",
        [
            "pass",
            "import os, subprocess, sys; os.environ.clear(); subprocess.run([sys.executable, sys.argv[1]], check=True)",
            "import os, sys; os.execve(sys.executable, [sys.executable, sys.argv[1]], {})",
            "import os, sys; os.waitpid(os.posix_spawn(sys.executable, [sys.executable, sys.argv[1]], {}), 0)",
        ],
        ids=["command", "cleared", "exec", "spawn"],
    )
    def test_a_python_whose_environment_was_made_anew_writes_to_the_containers_capture(
        self, tmp_path: Path, code: str
    ) -> None:
        """As `env -i python train.py` has it; the place is the container's, here under another name."""
        install.lay_out(tmp_path / "lib")
        module = tmp_path / "lib" / "reproducibility_runner" / "places.py"
        capture, workspace = tmp_path / "capture", tmp_path / "workspace"
        for folder in (capture, workspace):
            folder.mkdir()
        module.write_text(
            module.read_text().replace(places.CAPTURE, str(capture)).replace(places.WORKSPACE, str(workspace))
        )
        line = install.pth_line(str(tmp_path / "lib")).replace(places.CAPTURE, str(capture))
        script = workspace / "train.py"
        script.write_text(f"exec({line!r})\nopen({str(script)!r}).read()\n")
        first = "exec(sys.argv[2])\n" if code != "pass" else f"open({str(script)!r}).read()\n"
        command = [sys.executable, "-c", f"import sys\nexec({line!r})\n{first}{code}", str(script), line]
        subprocess.run(command, env={}, cwd=tmp_path, check=True)
        report = read_capture(str(capture))
        assert report["problems"] == []
        assert [event["event"] for event in events(capture)].count("start") == (1 if code == "pass" else 2)
        assert report["files_opened"] == ["train.py"]

    @pytest.mark.parametrize("missing", ["folder", "variable"])
    def test_the_pth_line_is_harmless_where_something_is_missing(self, tmp_path: Path, missing: str) -> None:
        install.lay_out(tmp_path / "lib")
        line = install.pth_line(str(tmp_path / ("gone" if missing == "folder" else "lib")))
        (tmp_path / "capture").mkdir()
        variable = {} if missing == "variable" else {"REPRO_CAPTURE_DIR": str(tmp_path / "capture")}
        code = f"import sys\nbefore = list(sys.path)\nexec({line!r})\nassert sys.path == before\nprint('fine')"
        out = subprocess.run([sys.executable, "-c", code], env=variable, capture_output=True, text=True, check=True)
        assert (out.stdout, out.stderr) == ("fine\n", "")
        assert list((tmp_path / "capture").iterdir()) == []

    def test_the_pth_line_begins_with_our_package_although_another_comes_first(self, tmp_path: Path) -> None:
        install.lay_out(tmp_path / "lib")
        (tmp_path / "other" / "reproducibility_runner").mkdir(parents=True)
        (tmp_path / "other" / "reproducibility_runner" / "__init__.py").write_text("raise SystemExit('wrong one')")
        (tmp_path / "capture").mkdir()
        line = install.pth_line(str(tmp_path / "lib"))
        assert line.count("\n") == 1
        code = f"import sys\nexec({line!r})\nassert sys.path[-1] == {str(tmp_path / 'lib')!r}"
        environment = {"PYTHONPATH": str(tmp_path / "other"), "REPRO_CAPTURE_DIR": str(tmp_path / "capture")}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        assert [event["event"] for event in events(tmp_path / "capture")] == ["start"]

    def test_write_pth_writes_that_line(self, tmp_path: Path) -> None:
        path = install.write_pth(tmp_path)
        assert Path(path).read_text() == install.pth_line(layout.CAPTURE_PACKAGE)
        assert path.endswith(".pth")


def test_it_needs_the_standard_library_alone_and_syntax_of_python_3_7() -> None:
    allowed = {"mlflow", "wandb", "reproducibility_runner", *sys.stdlib_module_names}
    for path in (ROOT / "reproducibility_runner").glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 7))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] in allowed, (path.name, name)


def test_what_every_start_pays_for_imports_little(capture: Path) -> None:
    bare = set(
        json.loads(run_python("import sys; before = sorted(sys.modules); import json; print(json.dumps(before))"))
    )
    with_capture = set(
        json.loads(
            run_python(
                "import reproducibility_runner.start as s; s.begin('test'); import sys; names = sorted(sys.modules)\n"
                "import json; print(json.dumps(names))",
                env={"REPRO_CAPTURE_DIR": str(capture)},
            )
        )
    )
    own = {name for name in with_capture - bare if not name.startswith("reproducibility_runner")}
    assert own <= {"_json", "atexit", "fcntl", "time", "__future__"}
