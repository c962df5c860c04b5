"""Submodules: cloned as the repository is where they can be had, named where the run needs one that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.schema.reproduction import Verdict
from tests.support.judging import Judge, why
from tests.support.projects import RecordedProject, script
from tests.support.repositories import Repository, fingerprint

IMPORTS = """\
import sys
sys.path.insert(0, "libs/sums")
from adding import adjusted
arguments.scale = adjusted(arguments.scale)
"""


@pytest.fixture
def library(tmp_path: Path) -> Repository:
    """A library, which has a library of its own."""
    inner = Repository(tmp_path / "server" / "inner")
    inner.commit({"constant.txt": "1.0\n"})
    outer = Repository(tmp_path / "server" / "sums")
    outer.commit({"adding.py": ADDING})
    outer.git("submodule", "add", "-q", str(inner.path), "deep/inner")
    outer.commit({}, "the constant is another repository's")
    return outer


ADDING = """\
from pathlib import Path

def adjusted(scale):
    return scale * float((Path(__file__).parent / "deep/inner/constant.txt").read_text())
"""


def with_submodule(project: RecordedProject, library: Repository, url: str | None = None) -> None:
    project.repository.git("submodule", "add", "-q", str(library.path), "libs/sums")
    project.repository.git("submodule", "update", "-q", "--init", "--recursive")
    if url is not None:
        project.repository.git("config", "-f", ".gitmodules", "submodule.libs/sums.url", url)
        project.repository.git("add", ".gitmodules")
    project.commit_training(script(before=IMPORTS))
    project.record()


def test_a_clone_brings_its_submodules_and_those_in_them_and_is_only_read(
    project: RecordedProject, judge: Judge, library: Repository
) -> None:
    """Their urls are paths of the author's machine: the clone's own copies are what counts."""
    with_submodule(project, library)
    library.path.rename(library.path.with_name("gone"))
    before = fingerprint(project.repository.path / ".git" / "modules")
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert fingerprint(project.repository.path / ".git" / "modules") == before
    assert reproduction.plan is not None
    assert [each.path for each in reproduction.plan.submodules] == ["libs/sums", "libs/sums/deep/inner"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ext::sh -c 'touch CANARY'", "is no address that git may be given"),
        ("--upload-pack=touch CANARY", "is no address that git may be given"),
        ("SECRET", "is a path of the machine that recorded it"),
        ("https://169.254.169.254/latest", "private network"),
    ],
)
def test_what_gitmodules_names_is_followed_nowhere_but_by_https(
    project: RecordedProject, judge: Judge, library: Repository, tmp_path: Path, url: str, said: str
) -> None:
    canary = tmp_path / "canary"
    url = url.replace("CANARY", str(canary)).replace("SECRET", str(library.path))
    with_submodule(project, library, url)
    plain = project.repository.clone(tmp_path / "plain")
    reproduction = judge(repo=str(plain.path), remote=str(project.store.path))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "libs/sums" in reproduction.reason
    assert said in reproduction.reason
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "submodule"
    assert "git submodule update --init --recursive" in reproduction.missing.remedy
    assert not canary.exists()


@pytest.mark.full
def test_a_submodule_that_nothing_needs_is_said_and_stops_nothing(
    project: RecordedProject, judge: Judge, library: Repository, tmp_path: Path
) -> None:
    project.repository.git("submodule", "add", "-q", str(library.path), "docs/theme")
    project.commit_training()
    project.record()
    plain = project.repository.clone(tmp_path / "plain")
    reproduction = judge(repo=str(plain.path), remote=str(project.store.path))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert any(line.startswith("submodule: docs/theme (commit ") for line in reproduction.not_verified)
