"""Data that is neither in git nor behind a DVC pointer: pinned or fetched by the auditor, mended, or out of reach."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.schema.reproduction import Verdict
from tests.support.judging import Judge, why
from tests.support.projects import RecordedProject, script
from tests.support.repositories import pointer_text

NO_DVC = {"data/train.csv.dvc": None, "data/.gitignore": None, ".dvc/config": None, "runs/.gitkeep": ""}
DIGESTS = {"dvc_data_md5": None, "dvc_model_md5": None}


def without_data(project: RecordedProject, text: str | None = None) -> None:
    project.commit_training(text, files=NO_DVC)
    project.record(tags=DIGESTS, pointers=False)


def test_an_exported_file_that_the_auditor_pins_is_put_in_place_and_said(
    project: RecordedProject, judge: Judge
) -> None:
    without_data(project)
    (judge.folder / "export.csv").write_bytes(project.data)
    digest = hashlib.sha256(project.data).hexdigest()
    yaml = "inputs:\n  sales: {{path: data/train.csv, source: export.csv, sha256: {}}}\n"
    (judge.folder / "runner.yaml").write_text(yaml.format(digest))
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert any(f"data/train.csv (sha256:{digest}) is from export.csv" in line for line in reproduction.not_verified)
    assert any(line.startswith("data: data/train.csv sha256:") for line in reproduction.verified)
    (judge.folder / "runner.yaml").write_text(yaml.format("0" * 64))
    other = judge()
    assert other.verdict is Verdict.UNVERIFIABLE, why(other)
    assert "is what runner.yaml pins" in other.reason


@pytest.mark.full
def test_inputs_and_prefetch_of_the_commit_count_for_nothing(project: RecordedProject, judge: Judge) -> None:
    theirs = (
        "inputs: {sales: {path: data/train.csv, source: /etc/passwd, md5: " + "0" * 32 + "}}\nprefetch: [touch x]\n"
    )
    project.commit_training(files={"runner.yaml": theirs})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    assert (reproduction.plan.supplied, reproduction.plan.prefetch) == ((), ())


@pytest.fixture
def data_server(project: RecordedProject, engine: DockerEngine, tmp_path: Path) -> Iterator[str]:
    """A server of this host's that containers with a network reach, which has the data."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "train.csv").write_bytes(project.data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = engine.client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    yield f"http://{gateway}:{server.server_port}/train.csv"
    server.shutdown()
    server.server_close()


def test_data_that_the_training_downloads_is_out_of_reach_until_the_auditor_fetches_it(
    project: RecordedProject, judge: Judge, data_server: str
) -> None:
    download = (
        "import os, urllib.request\n"
        'if not os.path.exists("data/train.csv"):\n'
        '    os.makedirs("data", exist_ok=True)\n'
        f'    urllib.request.urlretrieve("{data_server}", "data/train.csv")\n'
    )
    without_data(project, script(before=download))
    closed = judge()
    assert closed.verdict is Verdict.UNVERIFIABLE, why(closed)
    assert "the network is closed while training" in closed.reason
    assert data_server.split("/")[2].split(":", maxsplit=1)[0] in closed.reason
    assert closed.missing is not None
    assert "--allow network" in closed.missing.remedy
    fetch = f"import urllib.request as u; u.urlretrieve('{data_server}', 'data/train.csv')"
    commands = f'prefetch:\n- mkdir -p data\n- |-\n  python -c "{fetch}"\n'
    (judge.folder / "runner.yaml").write_text(commands)
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    fetched = {file.path: file.sha256 for file in reproduction.rerun.prefetched}
    assert fetched["data/train.csv"] == hashlib.sha256(project.data).hexdigest()
    assert any(line.startswith("prefetch in runner.yaml: `mkdir") for line in reproduction.not_verified)
    (judge.folder / "runner.yaml").write_text("prefetch: ['echo no such bucket; exit 7']\n")
    broken = judge()
    assert broken.verdict is Verdict.UNVERIFIABLE, why(broken)
    assert "exit status 7: no such bucket" in broken.reason


def test_objects_whose_line_endings_git_changed_are_offered_and_used_where_that_is_allowed(
    project: RecordedProject, judge: Judge
) -> None:
    """The digest is of what Windows had; the remote, a folder of a repository, lost the carriage returns."""
    windows = project.data.replace(b"\n", b"\r\n")
    stored = project.store.put(windows)
    project.store.object_path(stored.digest).write_bytes(project.data)
    project.commit_training(files={"data/train.csv.dvc": pointer_text("train.csv", stored), "runs/.gitkeep": ""})
    project.record(tags={**DIGESTS, "dvc_data_md5": stored.digest.dvc}, pointers=False)
    refused = judge()
    assert refused.verdict is Verdict.UNVERIFIABLE, why(refused)
    assert "git or an editor changed their line endings" in refused.reason
    assert refused.missing is not None
    assert "--allow line-endings" in refused.missing.remedy
    reproduction = judge(allow=("line-endings",))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    said = [line for line in reproduction.not_verified if line.startswith("--allow line-endings: data/train.csv")]
    assert said, reproduction.not_verified
    assert judge().verdict is Verdict.UNVERIFIABLE, "what was mended is in no store"


def test_a_digest_of_what_windows_had_checked_out_is_found_in_git_and_restored_where_that_is_allowed(
    project: RecordedProject, judge: Judge
) -> None:
    """Git holds the data with LF; the script hashed CRLF, and logged that as a param."""
    hashes = 'hashlib.md5(open("data/train.csv", "rb").read()).hexdigest()'
    text = script(inside=f'import hashlib; mlflow.log_param("data_md5", {hashes})')
    project.commit_training(text, files={**NO_DVC, "data/train.csv": project.data})
    windows = hashlib.md5(project.data.replace(b"\n", b"\r\n")).hexdigest()
    project.record(tags=DIGESTS, params={"data_md5": windows}, pointers=False)
    refused = judge()
    assert refused.verdict is Verdict.UNVERIFIABLE, why(refused)
    assert "data/train.csv has the digest that param data_md5 records with LF made CRLF alone" in refused.reason
    assert refused.missing is not None
    assert "--allow line-endings" in refused.missing.remedy
    reproduction = judge(allow=("line-endings",))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert any("not as git holds it" in line for line in reproduction.not_verified), reproduction.not_verified
    assert (
        f"data: data/train.csv md5:{windows} as param data_md5 has it, opened by the training" in reproduction.verified
    )


@pytest.mark.parametrize("named", [True, pytest.param(False, marks=pytest.mark.full)], ids=["named", "found"])
def test_data_behind_a_link_out_of_the_repository_is_nobody_elses(
    project: RecordedProject, judge: Judge, named: bool
) -> None:
    text = script() if named else script().replace('"data/train.csv"', '"data" + "/" + "tra" + "in.csv"')
    project.repository.path.joinpath("data").mkdir(parents=True)
    project.repository.path.joinpath("data/train.csv").symlink_to("/home/ann/exports/train.csv")
    project.repository.git("add", "-f", "data/train.csv")
    project.commit_training(text, files=NO_DVC)
    project.record(tags=DIGESTS, pointers=False)
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "data/train.csv is a link out of the repository, to '/home/ann/exports/train.csv'" in reproduction.reason
