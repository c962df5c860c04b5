"""A reproduction's folder is at its place whole, or nothing of it is anywhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from runner.errors import DiskFull, InvalidConfiguration
from runner.evidence.folder import EvidenceFolder, evidence_folder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
RUN = "ab12cd34"
TEXTS = {"reproduction.json": "{}\n", "report.md": "# identical\n"}


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def make(root: Path, out: str | None = None, run: str = RUN, texts: dict[str, str] = TEXTS) -> Path:
    with evidence_folder(out, run, NOW, root) as evidence:
        (evidence.logs / "train.log").write_text("epoch 1\n")
        return evidence.finish(texts)


def test_a_finished_reproduction_has_its_texts_and_logs_at_its_place(tmp_path: Path) -> None:
    place = make(tmp_path)
    assert place == tmp_path / "reproductions" / RUN / "20260102T030405Z"
    assert everything(place) == ["logs", "logs/train.log", "report.md", "reproduction.json"]
    assert (place / "report.md").read_text() == "# identical\n"
    assert place.stat().st_mode & 0o777 == 0o755


def test_folders_that_stayed_empty_are_not_in_the_evidence(tmp_path: Path) -> None:
    with evidence_folder(None, RUN, NOW, tmp_path) as evidence:
        place = evidence.finish(TEXTS)
    assert everything(place) == ["report.md", "reproduction.json"]


def test_nothing_is_at_the_final_place_before_it_is_finished(tmp_path: Path) -> None:
    with evidence_folder(None, RUN, NOW, tmp_path) as evidence:
        assert not evidence.final.exists()
        assert not (evidence.final.parent / "latest").exists()
        assert evidence.making.name.startswith(".")
        evidence.finish(TEXTS)


@pytest.mark.parametrize("out", [None, "evidence", "a/b/evidence"])
def test_nothing_half_made_is_left_when_a_rerun_breaks_off(tmp_path: Path, out: str | None) -> None:
    def stopped(evidence: EvidenceFolder) -> None:
        (evidence.outputs / "model.joblib").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), evidence_folder(out, RUN, NOW, tmp_path) as evidence:
        stopped(evidence)
    assert everything(tmp_path) == []


def test_what_others_have_made_stays_when_a_rerun_breaks_off(tmp_path: Path) -> None:
    place = make(tmp_path)
    (tmp_path / "mine").mkdir()
    before = everything(tmp_path)
    for out in (None, "mine/evidence", "mine"):
        with pytest.raises(ValueError, match="broken"), evidence_folder(out, RUN, NOW, tmp_path):
            raise ValueError("broken")
    assert everything(tmp_path) == before
    assert (place / "report.md").exists()


def test_latest_is_the_newest_of_its_run(tmp_path: Path) -> None:
    first, second, other = make(tmp_path), make(tmp_path), make(tmp_path, run="ffff")
    assert (first.parent / "latest").resolve() == second
    assert (other.parent / "latest").resolve() == other
    assert os.readlink(first.parent / "latest") == second.name, "relative, so that the folder can be moved"


def test_a_clock_that_was_set_back_overwrites_nothing_and_latest_is_what_was_made_last(tmp_path: Path) -> None:
    made = []
    for now in (NOW, NOW - timedelta(hours=1), NOW, NOW - timedelta(hours=1)):
        with evidence_folder(None, "run", now, tmp_path) as evidence:
            made.append(evidence.finish({"reproduction.json": f"number {len(made)}"}))
        assert (tmp_path / "reproductions" / "run" / "latest").resolve() == made[-1].resolve()
    assert len(set(made)) == 4
    assert [(each / "reproduction.json").read_text() for each in made] == [f"number {number}" for number in range(4)]


def test_reproductions_are_not_in_the_git_of_the_project(tmp_path: Path) -> None:
    make(tmp_path)
    assert (tmp_path / "reproductions" / ".gitignore").read_text() == "*\n"


def test_a_gitignore_of_the_users_own_stays(tmp_path: Path) -> None:
    (tmp_path / "reproductions").mkdir()
    (tmp_path / "reproductions" / ".gitignore").write_text("logs\n")
    make(tmp_path)
    assert (tmp_path / "reproductions" / ".gitignore").read_text() == "logs\n"


def test_two_in_the_same_second_are_two(tmp_path: Path) -> None:
    first, second = make(tmp_path, texts={"a": "1"}), make(tmp_path, texts={"a": "2"})
    assert (first.name, second.name) == ("20260102T030405Z", "20260102T030405Z-2")
    assert [(first / "a").read_text(), (second / "a").read_text()] == ["1", "2"]


def test_two_that_run_beside_each_other_from_the_same_second_are_two(tmp_path: Path) -> None:
    with evidence_folder(None, RUN, NOW, tmp_path) as one, evidence_folder(None, RUN, NOW, tmp_path) as other:
        first, second = one.finish({"a": "1"}), other.finish({"a": "2"})
    assert first != second
    assert [(first / "a").read_text(), (second / "a").read_text()] == ["1", "2"]
    assert (first.parent / "latest").resolve() == second == other.final


@pytest.mark.parametrize("run", ["../../etc", "a/b", ".", "..", "", "é*?"])
def test_the_id_of_a_run_never_leads_out_of_reproductions(tmp_path: Path, run: str) -> None:
    place = make(tmp_path, run=run)
    assert place.resolve().parent.parent == (tmp_path / "reproductions").resolve()
    assert not place.parent.name.startswith(".")


def test_out_names_the_folder_exactly(tmp_path: Path) -> None:
    place = make(tmp_path, out="a/evidence")
    assert place == tmp_path / "a" / "evidence"
    assert everything(tmp_path) == [
        "a",
        "a/evidence",
        *(f"a/evidence/{name}" for name in ("logs", "logs/train.log", "report.md", "reproduction.json")),
    ]


def test_a_folder_that_exists_is_filled_and_keeps_what_is_its_owners(tmp_path: Path) -> None:
    there = tmp_path / "evidence"
    (there / "logs").mkdir(parents=True)
    (there / "logs" / "old.log").write_text("of the last time")
    (there / "report.md").write_text("of the last time")
    (there / "notes.txt").write_text("the owner's")
    assert make(tmp_path, out="evidence") == there
    assert everything(there) == ["logs", "logs/train.log", "notes.txt", "report.md", "reproduction.json"]
    assert (there / "report.md").read_text() == "# identical\n"
    assert everything(tmp_path)[0] == "evidence"


def test_out_may_be_the_current_folder(tmp_path: Path) -> None:
    assert make(tmp_path, out=".") == tmp_path
    assert everything(tmp_path) == ["logs", "logs/train.log", "report.md", "reproduction.json"]


def test_out_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert make(tmp_path, out="link") == tmp_path / "there"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_the_way_is_refused_before_anything_is_rerun(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(InvalidConfiguration, match="cannot be written") as caught,
        evidence_folder(out, RUN, NOW, tmp_path),
    ):
        pytest.fail("it was not refused")
    assert "--out" in caught.value.remedy
    assert everything(tmp_path) == ["file"]


@contextmanager
def a_folder_that_cannot_be_written() -> Iterator[Path]:
    """A read-only folder, and nobody who may write it all the same."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "evidence").mkdir()
        (root / "evidence").chmod(0o555)
        root.chmod(0o555)
        am_root = os.geteuid() == 0
        if am_root:
            os.seteuid(65534)
        try:
            yield root
        finally:
            if am_root:
                os.seteuid(0)
            root.chmod(0o755)
            (root / "evidence").chmod(0o755)


@pytest.mark.parametrize("out", [None, "evidence", "new", "evidence/new"])
def test_a_read_only_folder_is_refused_before_anything_is_rerun(out: str | None) -> None:
    with a_folder_that_cannot_be_written() as root:
        refused = pytest.raises(InvalidConfiguration, match="Permission denied")
        with refused as caught, evidence_folder(out, RUN, NOW, root):
            pytest.fail("it was not refused")
        assert str(root) in caught.value.cause
        assert "--out" in caught.value.remedy


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(number, os.strerror(number), "x")

    with pytest.raises(DiskFull), evidence_folder(None, RUN, NOW, tmp_path):
        full()
    assert everything(tmp_path) == []
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(DiskFull), evidence_folder(None, RUN, NOW, tmp_path):
        pytest.fail("it was not refused")
    assert everything(tmp_path) == []


def test_other_errors_of_a_rerun_are_not_said_to_be_the_evidences(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), evidence_folder(None, RUN, NOW, tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file", "elsewhere")


def test_a_text_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration), evidence_folder(None, RUN, NOW, tmp_path) as evidence:
        evidence.finish({"there/is/no/such/folder": "x"})
    assert everything(tmp_path) == []


KILLED = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
from runner.evidence.folder import evidence_folder
out = sys.argv[2] or None
with evidence_folder(out, "ab12cd34", datetime(2026, 1, 2, tzinfo=timezone.utc), Path(sys.argv[1])) as evidence:
    (evidence.logs / "train.log").write_text("epoch 1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("out", [None, "evidence", "."])
def test_what_a_killed_process_was_making_goes_at_the_next_start(tmp_path: Path, out: str | None) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), out or ""], check=False)
    left = [path for path in everything(tmp_path) if path.endswith("logs/train.log")]
    assert len(left) == 1
    with evidence_folder(out, "ffff" if out is None else RUN, NOW, tmp_path):
        assert left[0] not in everything(tmp_path)
    assert all(path in ("reproductions", "reproductions/.gitignore") for path in everything(tmp_path))


def test_what_a_living_process_is_making_stays_and_so_does_what_is_not_ours(tmp_path: Path) -> None:
    parent = tmp_path / "reproductions" / RUN
    theirs = parent / ".20260101T000000Z-abcdefgh"
    (theirs / "logs").mkdir(parents=True)
    with evidence_folder(None, RUN, NOW, tmp_path) as one:
        with evidence_folder(None, RUN, NOW, tmp_path) as other:
            assert one.making.exists()
            other.finish(TEXTS)
        one.finish(TEXTS)
    assert theirs.exists()
    assert not [path for path in parent.rglob("*") if path.name == ".making"]
