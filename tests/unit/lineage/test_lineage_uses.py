"""What each file that DVC names is pulled for, and which numbers of the commit count (VERDICTS rules 19, 20, 23)."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.agreement import lacking_of_lock, stale
from runner.lineage.pipeline import stages_of
from runner.plan.command import resolve_command
from runner.plan.stages import earlier_stages, needs_of, own_stages, stages_run
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import CommitFacts
from tests.support.facts import TRAIN, file_of, lineage, pointed, run, settings, snapshot
from tests.support.values import md5

YAML = """
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py, raw.csv, outside.bin]
    params: [split]
    outs: [clean.csv]
  train:
    cmd: python train.py
    deps: [train.py, clean.csv, handmade.csv]
    outs: [model.pkl]
    metrics:
    - metrics.json: {cache: false}
"""
METRICS = '{"auc": 0.9}'


def entry(path: str, content: str) -> str:
    return f"    - {{path: {path}, hash: md5, md5: {md5(content).hexdigest}, size: 3}}\n"


def lock(*, train: str = TRAIN, metrics: str = METRICS, split: str = "0.2", prepare: str = "python prepare.py") -> str:
    return (
        "schema: '2.0'\nstages:\n  prepare:\n"
        f"    cmd: {prepare}\n    deps:\n{entry('prepare.py', 'p')}{entry('raw.csv', 'raw')}{entry('outside.bin', 'o')}"
        f"    params: {{params.yaml: {{split: {split}}}}}\n    outs:\n{entry('clean.csv', 'clean')}"
        f"  train:\n    cmd: python train.py\n    deps:\n{entry('clean.csv', 'clean')}{entry('handmade.csv', 'hand')}"
        f"{entry('train.py', train)}    outs:\n{entry('metrics.json', metrics)}{entry('model.pkl', 'model')}"
    )


def repository(text: str | None = None, **texts: str) -> RepositorySnapshot:
    names = {name.replace("__", "."): content for name, content in texts.items()}
    return snapshot(
        {
            "dvc.yaml": YAML,
            "dvc.lock": lock() if text is None else text,
            "train.py": TRAIN,
            "prepare.py": "p",
            "metrics.json": METRICS,
            "params.yaml": "split: 0.2\n",
            **dict([pointed("raw.csv", "raw"), pointed("other.csv", "other")]),
            **names,
        }
    )


def test_each_file_is_pulled_for_what_reads_it() -> None:
    found = {file.path: (file.role, file.use) for file in lineage(run(), repository()).files}
    assert found == {
        "clean.csv": ("input", "training"),
        "handmade.csv": ("input", "training"),
        "metrics.json": ("output", "nothing"),
        "model.pkl": ("output", "training"),
        "other.csv": ("unknown", "nothing"),
        "outside.bin": ("input", "earlier stages"),
        "raw.csv": ("unknown", "earlier stages"),
    }


def test_all_is_pulled_where_all_is_asked_for() -> None:
    assert file_of(lineage(run(), repository(), settings(pull="all")), "other.csv").use == "asked for"
    assert file_of(lineage(run(), repository(), settings(yaml="pull: all")), "other.csv").use == "asked for"


@pytest.mark.parametrize(
    ("texts", "use"),
    [
        ({"train__py": TRAIN + "open('other.csv')"}, "training"),
        ({"params__yaml": "split: 0.2\nx: other.csv"}, "training"),
    ],
)
def test_what_script_or_params_name_is_pulled_though_no_stage_declares_it(texts: dict[str, str], use: str) -> None:
    assert file_of(lineage(run(), repository(**texts)), "other.csv").use == use


def test_without_a_stage_all_that_pointers_name_may_be_read() -> None:
    found = lineage(run(script="other.py"), repository(other__py="x"))
    assert {file.use for file in found.files} == {"training"}


def test_metrics_of_the_commit_are_of_an_earlier_run_and_count_where_the_lock_is_the_commits() -> None:
    found = file_of(lineage(run(), repository()), "metrics.json")
    assert (found.digest, found.maybe_previous) == (md5(METRICS), True)
    assert found.source.endswith("which agrees with the commit")


@pytest.mark.parametrize(
    "text",
    [
        lock(train="other code"),
        lock(metrics="{}"),
        lock().replace("cmd: python train.py", "cmd: python train.py -x"),
        "",
    ],
)
def test_metrics_of_a_lock_that_is_not_the_commits_are_no_baseline(text: str) -> None:
    found = lineage(run(), repository(text))
    assert [file for file in found.files if file.path == "metrics.json" and "agrees" in file.source] == []


def test_what_must_be_read_to_tell_is_asked_for() -> None:
    train = stages_of(repository())[1]
    assert lacking_of_lock(train, repository()) == ["clean.csv", "handmade.csv"]
    assert lacking_of_lock(stages_of(repository())[0], repository()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (lock(split="0.3"), "had split = 0.3 of params.yaml"),
        (lock(prepare="python prepare.py --old"), "had the command `python prepare.py --old`"),
        (lock().replace(md5("raw").hexdigest, md5("older").hexdigest), "had other bytes of raw.csv"),
    ],
)
def test_a_lock_that_is_not_the_commits_says_in_what(text: str, sentence: str) -> None:
    (said,) = stale(stages_of(repository())[0], repository(text))
    assert said == f"dvc.lock at the commit is not of its code: stage prepare {sentence}"
    assert list(stale(stages_of(repository())[0], repository())) == []


def test_the_stages_before_are_planned_with_what_their_lock_names() -> None:
    found = repository(lock(split="0.3"))
    command = resolve_command(run(), found, settings(), CommitFacts())
    own = stages_run(command, found)
    chosen = lineage(run(), found)
    needs = needs_of(own, chosen, found, "train.py")
    assert needs == ("clean.csv", "handmade.csv", "train.py")
    (prepare,) = earlier_stages(own, needs, chosen, found)
    assert (prepare.name, prepare.command) == ("prepare", "python prepare.py")
    assert prepare.locked["prepare.py"] == md5("p")
    assert len(prepare.stale) == 1
    tagged = lineage(run(tags={"dvc_data_md5": md5("clean").hexdigest}), found)
    (prepare,) = earlier_stages(own, needs, tagged, found)
    assert (prepare.locked, prepare.stale) == ({}, ()), "what the run itself records needs no lock"


def test_a_frozen_stage_is_never_run() -> None:
    found = repository(dvc__yaml=YAML.replace("cmd: python prepare.py", "cmd: python prepare.py\n    frozen: true"))
    assert earlier_stages((), ("clean.csv",), lineage(run(), found), found) == ()


def test_a_repro_of_a_pipeline_that_dvc_refuses_is_stopped_with_its_line() -> None:
    record = run(tags={"runner.command": "dvc repro train"})
    found = repository(dvc__yaml=YAML.replace("    outs: [model.pkl]", "    out: [model.pkl]"))
    with pytest.raises(MissingFact, match="line 11: stage 'train' has the key 'out'") as caught:
        own_stages(record, found, settings(), CommitFacts())
    assert caught.value.fact == "command"
    notes = lineage(run(), found).notes
    assert any(note.startswith("dvc.yaml at the commit is not used whole, DVC refuses it: line 11") for note in notes)


def test_a_repro_without_targets_is_all_of_its_stages() -> None:
    found = repository()
    command = resolve_command(run(tags={"runner.command": "dvc repro"}), found, settings(), CommitFacts())
    assert [stage.name for stage in stages_run(command, found)] == ["prepare", "train"]


def test_a_script_of_several_stages_makes_no_output_of_what_another_of_them_needs() -> None:
    text = (
        "stages:\n  a: {cmd: python train.py a, deps: [raw.csv], outs: [clean.csv]}\n"
        "  b: {cmd: python train.py b, deps: [clean.csv], outs: [model.pkl]}\n"
    )
    found = lineage(run(), repository(dvc__yaml=text))
    assert file_of(found, "clean.csv").role == "input"
    assert file_of(found, "model.pkl").role == "output"


@pytest.mark.parametrize(("kind", "digest"), [("etag", "'\"abc\"'"), ("checksum", "00f1"), ("sha256", "0" * 64)])
def test_a_kind_of_hash_that_no_remote_keeps_bytes_by_is_named_where_the_run_needs_the_file(
    kind: str, digest: str
) -> None:
    text = f"deps: [{{path: 's3://b/x', {kind}: {digest}}}]\nouts:\n- path: clean.csv\n  {kind}: {digest}\n"
    with pytest.raises(MissingFact, match=f"names clean.csv by its {kind}, a kind of hash") as caught:
        lineage(run(), repository("", clean__csv__dvc=text))
    assert caught.value.nearest == ("dvc import-url of s3://b/x",)
    aside = text.replace("clean.csv", "aside.csv")
    notes = lineage(run(), repository(aside__csv__dvc=aside)).notes
    assert any(f"aside.csv by its {kind}" in note for note in notes)


def test_a_pointer_in_no_dvc_project_is_named() -> None:
    bare = repository().model_copy(update={"remotes": ()})
    with pytest.raises(MissingFact, match="lies in no DVC project") as caught:
        lineage(run(), bare)
    assert caught.value.fact == "remote"
    assert lineage(run(), bare, settings(remote="/srv/store")).files
