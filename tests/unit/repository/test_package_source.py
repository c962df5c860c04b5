"""One commit of another repository, as a package's requirement names it."""

from __future__ import annotations

import tarfile
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest

from runner.errors import MissingFact, RepositoryUnavailable
from runner.repository.mirror import forget_mirror
from runner.repository.package_source import fetch_source
from tests.support.git_server import serving_git
from tests.support.repositories import FIRST_DATE, Repository

HOUR = 3600


@pytest.fixture
def library(tmp_path: Path) -> Repository:
    """Three commits, an hour apart; the first is tagged, the second is the tip of a branch, too."""
    library = Repository(tmp_path / "library")
    for number in range(3):
        library.commit({"lib.py": f"version = {number}\n"})
        library.git(*(("tag", "v0"), ("branch", "stable"), ("tag", "-a", "-m", "two", "v2"))[number])
    return library


def fetched(library: Repository, revision: str | None, tmp_path: Path, as_of: datetime | None = None) -> str:
    commit, archive = fetch_source(str(library.path), revision, tmp_path / "mirrors", as_of=as_of, offline=False)
    assert library.git("rev-parse", f"{commit}^{{commit}}") == commit
    with tarfile.open(archive) as tar:
        file = tar.extractfile("lib.py")
        assert file is not None
        return file.read().decode().strip()


def day(hours: int) -> datetime:
    return datetime.fromtimestamp(FIRST_DATE + hours * HOUR + 1, timezone.utc)


def test_a_commit_a_tag_and_a_branch_are_found(library: Repository, tmp_path: Path) -> None:
    for number, revisions in enumerate((["v0", "HEAD~2"], ["stable", "HEAD~1"], ["v2", "main", "HEAD"])):
        for name in revisions:
            revision = library.git("rev-parse", name) if name.startswith("HEAD") else name
            assert fetched(library, revision, tmp_path) == f"version = {number}"
    assert fetched(library, library.head[:8], tmp_path) == "version = 2"
    assert fetched(library, None, tmp_path) == "version = 2"


def test_a_branch_is_what_it_was_on_the_day_and_a_tag_is_not(library: Repository, tmp_path: Path) -> None:
    assert fetched(library, "main", tmp_path, day(1)) == "version = 1"
    assert fetched(library, None, tmp_path, day(0)) == "version = 0"
    assert fetched(library, "v2", tmp_path, day(0)) == "version = 2"
    assert fetched(library, library.head, tmp_path, day(0)) == "version = 2"


@pytest.mark.parametrize(
    ("revision", "when", "words"),
    [
        ("nowhere", None, "has no such branch, tag or commit"),
        ("e" * 40, None, "is not in"),
        ("main", datetime(2001, 1, 1, tzinfo=timezone.utc), "had no commit there on 2001-01-01"),
    ],
)
def test_what_is_not_there_is_a_missing_fact_of_the_environment(
    library: Repository, tmp_path: Path, revision: str, when: datetime | None, words: str
) -> None:
    with pytest.raises(MissingFact, match=words) as caught:
        fetched(library, revision, tmp_path, when)
    assert caught.value.fact == "environment"
    assert "--with NAME==VERSION" in caught.value.remedy
    assert str(library.path) in caught.value.cause


def test_a_repository_that_is_gone_is_a_missing_fact_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(MissingFact, match="there is no git repository") as caught:
        fetch_source(str(tmp_path / "gone"), None, tmp_path / "mirrors", as_of=None, offline=False)
    assert caught.value.fact == "environment"


def test_offline_asks_nobody(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnavailable, match="--offline"):
        fetch_source("https://git.invalid/a.git", "e" * 40, tmp_path / "mirrors", as_of=None, offline=True)


def test_an_archive_is_made_once_and_forgotten_with_its_mirror(library: Repository, tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors"
    _, archive = fetch_source(str(library.path), "v0", mirrors, as_of=None, offline=False)
    before = archive.stat().st_mtime_ns
    (archive.parent / "making.tar").write_bytes(b"half")
    assert fetch_source(str(library.path), "v0", mirrors, as_of=None, offline=False)[1].stat().st_mtime_ns == before
    fetched(library, "v2", tmp_path)
    assert not (archive.parent / "making.tar").exists()
    forget_mirror(str(library.path), mirrors)
    assert list(mirrors.iterdir()) == []


SSH = "ssh://git@library.example/library.git"


@pytest.mark.parametrize("address", ["https://library.example/library.git", SSH])
def test_a_repository_of_others_is_asked_by_https_and_told_nothing_of_who_asks(
    address: str, library: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the audited repository that names it: with credentials it could have others' private code built."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine library.example login ann password geheim\n")
    (home / ".gitconfig").write_text(
        '[credential]\n\thelper = "!f() { echo username=ann; echo password=geheim; }; f"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    asked = tmp_path / "asked"
    asked.write_text("#!/bin/sh\necho geheim\n")
    asked.chmod(0o755)
    monkeypatch.setenv("GIT_ASKPASS", str(asked))
    fetch = partial(fetch_source, mirrors=tmp_path / "mirrors", as_of=None, offline=False)
    with serving_git(library, tmp_path, monkeypatch) as server:
        assert fetch(address, "v0")[0] == library.git("rev-parse", "v0")
        server.asks_who = True
        with pytest.raises(MissingFact, match="private or gone") as caught:
            fetch(address, "main")
        assert server.requests
        assert server.shown == []
    assert caught.value.fact == "environment"
    assert "--with NAME==VERSION" in caught.value.remedy


@pytest.mark.parametrize("host", ["localhost", "127.1", "10.0.0.7", "169.254.169.254", "gitlab", "[::1]"])
def test_a_list_of_packages_has_nobody_look_around_on_private_networks(host: str, tmp_path: Path) -> None:
    for scheme in ("https://", "ssh://git@"):
        with pytest.raises(MissingFact, match="this host or a private network, and is not asked"):
            fetch_source(f"{scheme}{host}/a.git", None, tmp_path / "mirrors", as_of=None, offline=False)
    assert not (tmp_path / "mirrors").exists()
