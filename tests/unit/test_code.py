"""Code of a run with the changes that no commit held, on real git: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.code import Code, find_code
from runner.errors import MissingFact
from runner.repository.mirror import open_mirror
from runner.repository.patched import PatchRefused, commit_patched
from runner.repository.process import run_git
from runner.schema.lineage import Provenance
from runner.schema.run_record import RunRecord, TextFile
from runner.settings import Flags, Settings, load_settings
from tests.support.facts import run
from tests.support.repositories import Repository

TRAIN = "a = 1\nb = 2\nc = 3\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "project")
    repository.commit({"train.py": TRAIN, "data/x.csv": "1\n"}, "Train")
    return repository


def settings_of(folder: Path, **flags: object) -> Settings:
    return load_settings(Flags(**flags), {}, folder)  # type: ignore[arg-type]


def found(repository: Repository, record: RunRecord, **flags: object) -> Code:
    cache = repository.path.parent / "cache"

    def open_repository(commit: str) -> tuple[Provenance, object]:
        place = Provenance(fact="repository", value=str(repository.path), source="--repo")
        return place, open_mirror(str(repository.path), cache, commit=commit)

    return find_code(record, settings_of(repository.path.parent, **flags), open_repository)  # type: ignore[arg-type]


def diff(repository: Repository, *arguments: str) -> str:
    return repository.git("diff", *arguments) + "\n"


def of_wandb(commit: str, **patches: str) -> RunRecord:
    files = tuple(TextFile(path=f"{name}.patch", text=text) for name, text in patches.items())
    return run(patches=files).model_copy(update={"tags": {"wandb.git.commit": commit}})


def shown(code: Code, path: str) -> str:
    return run_git(code.mirror.path, "show", f"{code.tree}:{path}").decode()


def test_a_patch_is_on_top_of_the_commit_which_stays_the_runs(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD").strip()
    (repository.path / "train.py").write_text(TRAIN.replace("2", "20"))
    code = found(repository, of_wandb(commit, diff=diff(repository, "HEAD")))
    assert code.commit.value == commit
    assert shown(code, "train.py") == TRAIN.replace("2", "20")
    assert code.patch is not None
    assert (code.patch.source, code.patch.paths) == ("diff.patch of the run", ("train.py",))
    assert any(note.startswith("patch applied: diff.patch of the run (train.py) on") for note in code.notes)
    again = found(repository, of_wandb(commit, diff=diff(repository, "HEAD")))
    assert again.tree == code.tree  # the same wherever and whenever it is made


def test_a_commit_that_was_never_pushed_is_its_pushed_ancestor_with_the_patch_from_there(
    repository: Repository, tmp_path: Path
) -> None:
    pushed = repository.git("rev-parse", "HEAD").strip()
    (tmp_path / "elsewhere").mkdir()
    clone = Repository(tmp_path / "elsewhere" / "clone")
    clone.git("pull", "-q", str(repository.path), repository.git("rev-parse", "--abbrev-ref", "HEAD").strip())
    unpushed = clone.commit({"train.py": TRAIN + "d = 4\n"}, "Not pushed")
    (clone.path / "train.py").write_text(TRAIN + "d = 40\n")
    record = of_wandb(unpushed, **{"diff": diff(clone, "HEAD"), f"diff_{pushed}": diff(clone, pushed)})
    code = found(repository, record)
    assert code.commit.value == pushed
    assert code.commit.considered[0].value == unpushed
    assert shown(code, "train.py") == TRAIN + "d = 40\n"
    assert f"the pushed ancestor of {unpushed[:12]}" in code.notes[0]


def test_a_recorded_commit_that_is_there_needs_no_ancestor(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD").strip()
    code = found(repository, of_wandb(commit, **{f"diff_{commit}": "no patch at all"}))
    assert (code.tree, code.patch) == (commit, None)


def test_what_mlflow_records_as_a_tag_is_applied_too(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD").strip()
    (repository.path / "train.py").write_text(TRAIN.replace("3", "30"))
    tags = {"git_commit": commit, "mlflow.source.git.dirty": "true"}
    patch = diff(repository, "HEAD").rstrip("\n")
    code = found(repository, run(tags={**tags, "mlflow.source.git.diff": patch}))
    assert shown(code, "train.py") == TRAIN.replace("3", "30")
    cut = patch + "\n" + " " * (8000 - len(patch) - 1)
    with pytest.raises(MissingFact, match="it may be cut"):
        found(repository, run(tags={**tags, "mlflow.source.git.diff": cut}))


@pytest.mark.parametrize("allow", [True, False])
def test_a_patch_that_does_not_apply_whole_makes_unverifiable_unless_it_is_allowed_to_be_left_out(
    repository: Repository, *, allow: bool
) -> None:
    commit = repository.git("rev-parse", "HEAD").strip()
    (repository.path / "train.py").write_text(TRAIN.replace("2", "20"))
    broken = diff(repository, "HEAD") + "diff --git a/no b/no\n--- a/no\n+++ b/no\n@@ -1 +1 @@\n-x\n+y\n"
    record = of_wandb(commit, diff=broken)
    if allow:
        code = found(repository, record, allow=("dirty",))
        assert (code.tree, code.patch) == (commit, None)
        assert "the commit alone was rerun (--allow dirty)" in code.notes[0]
        return
    with pytest.raises(MissingFact, match="does not apply whole") as refused:
        found(repository, record)
    assert refused.value.fact == "diff"
    assert "--allow dirty" in refused.value.remedy


_NEW = "diff --git a/{0} b/{0}\nnew file mode {1}\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+{2}\n"


@pytest.mark.parametrize(
    "patch",
    [
        _NEW.format("link", "120000", "/etc/passwd"),
        _NEW.format("sub", "160000", "Subproject commit " + "0" * 40),
        _NEW.format(".git/hooks/post-checkout", "100755", "touch /tmp/x"),
        _NEW.format(".dvc/config", "100644", "[core]"),
        _NEW.format("sub/.DVC/config.local", "100644", "[core]"),
        _NEW.format(".gitattributes", "100644", "* filter=x"),
        _NEW.format(".gitmodules", "100644", "[submodule]"),
        _NEW.format("../outside", "100644", "x"),
        _NEW.format("/tmp/outside", "100644", "x"),
        "diff --git a/x.csv b/x.csv\nindex 0000001..0000002 100644\nBinary files a/x.csv and b/x.csv differ\n",
        "diff --git a/data/x.csv b/data/x.csv\nGIT binary patch\nliteral 1\nIcmZQz\n\n",
        "no patch",
        "",
    ],
)
def test_what_a_patch_of_code_has_no_need_of_is_refused(repository: Repository, tmp_path: Path, patch: str) -> None:
    commit = repository.git("rev-parse", "HEAD").strip()
    mirror = open_mirror(str(repository.path), tmp_path / "cache", commit=commit)
    before = sorted(path for path in repository.path.rglob("*"))
    with pytest.raises(PatchRefused):
        commit_patched(mirror, commit, patch.encode())
    assert sorted(path for path in repository.path.rglob("*")) == before
    assert not list((tmp_path / "cache").glob("patched-*"))
