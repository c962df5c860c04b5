"""Which file a recorded digest is of: never a guess."""

from __future__ import annotations

import json

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.files import NO_POINTERS
from runner.schema.digest import DigestValue
from runner.schema.snapshot import PointerOut, PointerProblem
from tests.support.facts import TRAIN, file_of, lineage, pointed, run, seen, settings, snapshot
from tests.support.values import md5

DATA, MODEL = "data/train.csv", "models/model.joblib"
DATA_TAG = {"dvc_data_md5": md5("data").hexdigest}
MODEL_TAG = {"dvc_model_md5": md5("model").hexdigest}
SHORT = "9f3c2e1d0b4a"


def test_the_pointer_at_the_commit_that_has_the_digest_is_the_one() -> None:
    found = file_of(lineage(run(tags=DATA_TAG), snapshot(dict([pointed(DATA, "data")]))), DATA)
    assert (found.pointer, found.pointer_state, found.role) == (f"{DATA}.dvc", "matches", "input")
    assert found.source == f"tag dvc_data_md5, pointer at commit {SHORT}"


def test_the_commit_comes_before_history() -> None:
    repository = snapshot(dict([pointed(DATA, "data")]), history=(seen("old/name.csv", "data"),))
    found = file_of(lineage(run(tags=DATA_TAG), repository), DATA)
    assert [item.value for item in found.considered] == ["old/name.csv"]


def test_a_stale_pointer_is_rewritten_where_history_carried_the_digest_at_its_path() -> None:
    repository = snapshot(dict([pointed(DATA, "older")]), history=(seen(DATA, "data", ancestor=True),))
    found = file_of(lineage(run(tags=DATA_TAG), repository), DATA)
    assert (found.pointer_state, found.pointer_digest) == ("rewritten", md5("older"))
    assert found.considered[0].source == f"{DATA}.dvc at commit {SHORT}"
    assert found.source == "tag dvc_data_md5, pointer in the repository's history"


def test_a_model_pointer_that_was_committed_later_is_created() -> None:
    repository = snapshot(dict([pointed(DATA, "data")]), history=(seen(MODEL, "model"),))
    found = file_of(lineage(run(tags=DATA_TAG | MODEL_TAG), repository), MODEL)
    assert (found.pointer, found.pointer_state, found.role) == (f"{MODEL}.dvc", "created", "output")
    assert not found.maybe_previous


@pytest.mark.parametrize(
    ("pointer", "ancestor", "expected"), [("model", False, True), ("older", True, True), ("older", False, False)]
)
def test_a_model_digest_of_the_commit_or_before_may_be_the_previous_models(
    pointer: str, ancestor: bool, expected: bool
) -> None:
    repository = snapshot(dict([pointed(MODEL, pointer)]), history=(seen(MODEL, "model", ancestor=ancestor),))
    assert file_of(lineage(run(tags=MODEL_TAG), repository), MODEL).maybe_previous is expected


def test_configuration_names_the_file_of_a_digest_that_no_pointer_ever_had() -> None:
    digest = md5("data").hexdigest
    repository = snapshot(dict([pointed(DATA, "older")]))
    chosen = settings(pointer=(f"{digest}={DATA}",))
    found = file_of(lineage(run(tags=DATA_TAG), repository, chosen), DATA)
    assert (found.pointer_state, found.source) == ("rewritten", "tag dvc_data_md5, --pointer")
    chosen = settings(yaml=f"pointers: {{{digest}: {DATA}}}")
    assert "pointers in runner.yaml" in file_of(lineage(run(tags=DATA_TAG), repository, chosen), DATA).source


def test_the_commits_own_configuration_names_it_where_the_auditor_does_not() -> None:
    text = f"pointers: {{{md5('data').hexdigest}: {DATA}}}"
    repository = snapshot({**dict([pointed(DATA, "older")]), "runner.yaml": text})
    assert "runner.yaml at the commit" in file_of(lineage(run(tags=DATA_TAG), repository), DATA).source


def test_a_digest_of_two_pointers_at_the_commit_is_refused_with_a_flag_for_each() -> None:
    repository = snapshot(dict([pointed(DATA, "data"), pointed("data/copy.csv", "data")]))
    record = run(tags=DATA_TAG)
    with pytest.raises(AmbiguousFact) as caught:
        lineage(record, repository)
    digest = md5("data").hexdigest
    assert caught.value.fact == "pointer"
    assert caught.value.nearest == (f"--pointer {digest}=data/copy.csv", f"--pointer {digest}={DATA}")
    assert caught.value.remedy == f"runner reproduce {record.run_id} --pointer {digest}=data/copy.csv"


def test_a_digest_of_two_paths_in_history_is_refused() -> None:
    repository = snapshot(dict([pointed(DATA, "older")]), history=(seen(DATA, "data"), seen("data/copy.csv", "data")))
    with pytest.raises(AmbiguousFact):
        lineage(run(tags=DATA_TAG), repository)


def test_a_flag_ends_the_ambiguity() -> None:
    repository = snapshot(dict([pointed(DATA, "data"), pointed("data/copy.csv", "data")]))
    chosen = settings(pointer=(f"{md5('data').hexdigest}={DATA}",))
    assert file_of(lineage(run(tags=DATA_TAG), repository, chosen), DATA).role == "input"


def test_facts_of_the_commit_end_the_ambiguity_too() -> None:
    texts = dict([pointed(DATA, "data"), pointed("data/copy.csv", "data")])
    texts["runner.yaml"] = f"pointers: {{{md5('data').hexdigest}: {DATA}}}"
    assert file_of(lineage(run(tags=DATA_TAG), snapshot(texts)), DATA).role == "input"


def test_a_digest_that_no_pointer_ever_had_is_missing_with_the_candidates_listed() -> None:
    repository = snapshot(dict([pointed(DATA, "older"), pointed("data/other.csv", "other")]))
    with pytest.raises(MissingFact) as caught:
        lineage(run(tags=DATA_TAG), repository)
    assert not isinstance(caught.value, AmbiguousFact)
    assert caught.value.fact == "pointer"
    assert len(caught.value.nearest) == 2
    assert "--pointer" in caught.value.remedy


def test_a_lone_candidate_is_proposed_and_not_taken() -> None:
    with pytest.raises(MissingFact) as caught:
        lineage(run(tags=DATA_TAG), snapshot(dict([pointed(DATA, "older")])))
    assert caught.value.remedy.endswith(f"={DATA}")


def test_a_hash_that_need_not_be_dvcs_is_passed_over_with_a_note() -> None:
    repository = snapshot(dict([pointed(DATA, "data")]))
    found = lineage(run(tags={"data_hash": md5("frame").hexdigest}), repository)
    assert [file.path for file in found.files] == [DATA]
    assert "tag data_hash" in found.notes[0]


def test_nothing_is_inferred_from_a_cut_history() -> None:
    with pytest.raises(MissingFact) as caught:
        lineage(run(tags=DATA_TAG), snapshot(dict([pointed(DATA, "older")]), shallow=True))
    assert caught.value.fact == "history"
    assert "unshallow" in caught.value.remedy


def test_a_map_of_paths_in_a_tag_names_the_files() -> None:
    tags = {"dvc_data_md5": json.dumps({DATA: md5("data").hexdigest, "data/b.csv": md5("b").hexdigest})}
    found = lineage(run(tags=tags), snapshot(dict([pointed(DATA, "older")])))
    assert [(file.path, file.pointer_state) for file in found.files] == [
        ("data/b.csv", "created"),
        (DATA, "rewritten"),
    ]
    assert file_of(found, DATA).source == "tag dvc_data_md5"


def test_directories_several_outs_and_old_digests_count_alike() -> None:
    directory, old = DigestValue("md5", md5("dir").hexdigest, directory=True), md5("old").hexdigest
    text = f"outs:\n- md5: {directory.dvc}\n  hash: md5\n  path: images\n- md5: {old}\n  path: labels.csv\n"
    tags = {"dvc_data_md5": f"{directory.hexdigest},{old}"}
    found = lineage(run(tags=tags), snapshot({"all.dvc": text}))
    assert [(file.path, str(file.digest), file.pointer_index) for file in found.files] == [
        ("images", str(directory), 0),
        ("labels.csv", f"md5-dos2unix:{old}", 1),
    ]


def test_a_configured_digest_takes_the_kind_of_md5_that_the_pointer_has() -> None:
    text = f"outs:\n- md5: {md5('older').hexdigest}\n  path: train.csv\n"
    digest = md5("data").hexdigest
    found = lineage(run(tags=DATA_TAG), snapshot({f"{DATA}.dvc": text}), settings(pointer=(f"{digest}={DATA}",)))
    assert found.files[0].digest.algorithm == "md5-dos2unix"


def test_a_lock_counts_as_a_pointer() -> None:
    lock = f"schema: '2.0'\nstages:\n  prepare:\n    cmd: x\n    outs:\n    - path: {DATA}\n      hash: md5\n"
    lock += f"      md5: {md5('data').hexdigest}\n"
    found = lineage(run(tags=DATA_TAG), snapshot({"dvc.lock": lock}))
    assert (found.files[0].pointer, found.files[0].pointer_state) == ("dvc.lock", "matches")


def test_two_tags_that_say_the_same_are_one_file() -> None:
    tags = {**DATA_TAG, "data_md5": md5("data").hexdigest}
    found = lineage(run(tags=tags), snapshot(dict([pointed(DATA, "data")])))
    assert len(found.files) == 1
    assert found.files[0].considered[0].reason == "says the same as tag dvc_data_md5"


def test_a_variant_that_names_another_version_is_considered_only() -> None:
    tags = {**DATA_TAG, "data_dvc_md5": md5("older").hexdigest}
    repository = snapshot(dict([pointed(DATA, "data")]), history=(seen(DATA, "older"),))
    found = file_of(lineage(run(tags=tags), repository), DATA)
    assert found.digest == md5("data")
    assert found.considered[0].reason == "tag dvc_data_md5 comes first"


def test_two_equally_good_tags_for_one_file_are_refused() -> None:
    repository = snapshot(dict([pointed(DATA, "data")]), history=(seen(DATA, "older"),))
    with pytest.raises(AmbiguousFact) as caught:
        lineage(run(tags=DATA_TAG, params={"dvc_data_md5": md5("older").hexdigest}), repository)
    assert "tags:" in caught.value.remedy


def test_without_tags_the_pointers_at_the_commit_tell() -> None:
    found = lineage(run(), snapshot(dict([pointed(DATA, "data"), pointed(MODEL, "older")])))
    assert {file.path: (file.role, file.digest) for file in found.files} == {
        DATA: ("unknown", md5("data")),
        MODEL: ("unknown", md5("older")),
    }
    assert found.files[0].source == f"pointer at commit {SHORT}"


def test_a_stage_of_the_runs_script_tells_inputs_from_outputs() -> None:
    stages = f"stages:\n  train:\n    cmd: python train.py\n    deps: [data]\n    outs: [{MODEL}]\n"
    texts = {"dvc.yaml": stages, "train.py": TRAIN, **dict([pointed(DATA, "data"), pointed("extra.bin", "extra")])}
    lock = f"schema: '2.0'\nstages:\n  train:\n    outs:\n    - path: {MODEL}\n      hash: md5\n"
    texts["dvc.lock"] = lock + f"      md5: {md5('older').hexdigest}\n"
    found = lineage(run(), snapshot(texts))
    assert {file.path: file.role for file in found.files} == {DATA: "input", MODEL: "output", "extra.bin": "unknown"}
    assert file_of(found, MODEL).maybe_previous


def test_a_hash_of_dvc_that_is_of_the_stages_own_out_is_an_output() -> None:
    stages = f"stages:\n  train:\n    cmd: python train.py\n    outs: [{MODEL}]\n"
    repository = snapshot({"dvc.yaml": stages, "train.py": TRAIN}, history=(seen(MODEL, "model"),))
    assert file_of(lineage(run(tags={"dvc_hash": md5("model").hexdigest}), repository), MODEL).role == "output"


def test_without_dvc_the_data_is_what_git_holds() -> None:
    found = lineage(run(), snapshot())
    assert found.files == ()
    assert found.notes == (NO_POINTERS,)


def test_a_file_that_git_holds_is_not_restored_over() -> None:
    found = lineage(run(), snapshot(dict([pointed(DATA, "data")]), files=(DATA,)))
    assert found.files == ()
    assert f"{DATA} is in git" in found.notes[0]


def test_an_out_without_digest_is_noted() -> None:
    found = lineage(run(), snapshot({"a.dvc": "outs:\n- path: a\n"}))
    assert "no digest" in found.notes[0]


def test_an_import_with_another_digest_is_noted() -> None:
    text = f"deps:\n- path: x\nouts:\n- md5: {md5('older').hexdigest}\n  hash: md5\n  path: train.csv\n"
    found = lineage(run(tags=DATA_TAG), snapshot({f"{DATA}.dvc": text}, history=(seen(DATA, "data"),)))
    assert "import" in found.notes[0]


def problem(path: str) -> tuple[PointerProblem, ...]:
    return (PointerProblem(pointer=path, problem="line 2: is not YAML."),)


@pytest.mark.parametrize("tags", [DATA_TAG, {}])
def test_a_malformed_pointer_that_the_run_needs_is_named_with_its_line(tags: dict[str, str]) -> None:
    for history in ((), (seen(DATA, "data"),)):
        with pytest.raises(MissingFact) as caught:
            lineage(run(tags=tags), snapshot(problems=problem(f"{DATA}.dvc"), history=history))
        assert caught.value.fact == "pointer"
        assert f"{DATA}.dvc" in caught.value.cause
        assert "line 2" in caught.value.cause


@pytest.mark.parametrize("path", [f"{MODEL}.dvc", "tests/broken.dvc"])
def test_a_malformed_pointer_that_the_run_does_not_need_is_noted(path: str) -> None:
    repository = snapshot(dict([pointed(DATA, "data")]), problems=problem(path), history=(seen(MODEL, "model"),))
    found = lineage(run(tags=DATA_TAG | MODEL_TAG), repository)
    assert path in found.notes[0]


@pytest.mark.parametrize("path", ["../outside.csv", "/etc/passwd"])
def test_a_pointer_to_a_place_outside_the_repository_is_refused(path: str) -> None:
    out = PointerOut(pointer="x.dvc", index=0, path=path, digest=md5("data"))
    with pytest.raises(MissingFact, match="outside"):
        lineage(run(), snapshot(pointers=(out,)))


def test_a_pointer_that_would_overlap_another_is_refused() -> None:
    with pytest.raises(MissingFact, match="already restores data"):
        lineage(run(tags=DATA_TAG), snapshot(dict([pointed("data", "dir")]), history=(seen(DATA, "data"),)))


def test_the_lineage_has_a_provenance_for_each_fact_and_the_full_commit() -> None:
    record = run(tags={**DATA_TAG, "git_commit": SHORT, "git_repo_url": "https://ann:pw@git.example/x"})
    found = lineage(record, snapshot({**dict([pointed(DATA, "data")]), "runner.yaml": "some: other tool"}))
    assert [(item.fact, item.source) for item in found.provenance] == [
        ("repository", "tag git_repo_url"),
        ("commit", "tag git_commit"),
        (f"digest of {DATA}", f"tag dvc_data_md5, pointer at commit {SHORT}"),
    ]
    assert found.commit == snapshot().commit
    assert "pw@" not in found.to_json()
    assert "runner.yaml at the commit was not used" in found.notes[-1]


def test_a_typed_pointer_of_a_digest_that_the_run_does_not_record_is_an_input_and_that_is_said() -> None:
    typed = settings(pointer=(f"{md5('extra')}=data/extra.csv",))
    found = lineage(run(tags=DATA_TAG), snapshot(dict([pointed(DATA, "data")])), typed)
    extra = file_of(found, "data/extra.csv")
    assert (extra.digest, extra.role, extra.pointer_state) == (md5("extra"), "input", "created")
    assert [note for note in found.notes if "data/extra.csv" in note and "the run does not record it" in note]


def test_a_pointer_of_a_file_for_many_runs_adds_nothing_to_a_run_that_does_not_record_it() -> None:
    yaml = f"pointers: {{'{md5('extra')}': data/extra.csv}}"
    found = lineage(run(tags=DATA_TAG), snapshot(dict([pointed(DATA, "data")])), settings(yaml=yaml))
    assert [file.path for file in found.files] == [DATA]
