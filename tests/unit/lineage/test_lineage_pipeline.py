"""Stages of dvc.yaml, as far as they can be read."""

from __future__ import annotations

import pytest

from runner.lineage.pipeline import interpolate, load_mapping, stage_of, stages_of
from tests.support.facts import snapshot


def test_a_stage_has_its_paths_from_the_repositorys_root() -> None:
    text = """
stages:
  train:
    wdir: ../work
    cmd: python ../src/train.py --depth 3
    deps: [data.csv, ../src/train.py]
    outs:
    - model.pkl
    - logs: {persist: true}
    metrics: [{m.json: {cache: false}}]
    plots: [p.csv]
"""
    (stage,) = stages_of(snapshot({"pipes/dvc.yaml": text}))
    assert stage.working_directory == "work"
    assert stage.deps == ("work/data.csv", "src/train.py")
    assert stage.outs == ("work/model.pkl", "work/logs", "work/m.json", "work/p.csv")
    assert stage.runs("src/train.py")
    assert not stage.runs("train.py")


def test_commands_of_a_list_run_one_after_another() -> None:
    (stage,) = stages_of(snapshot({"dvc.yaml": "stages: {a: {cmd: [python a.py, python b.py]}}"}))
    assert stage.command == "python a.py && python b.py"
    assert stage.runs("b.py")


def test_a_module_counts_as_its_script() -> None:
    repository = snapshot({"dvc.yaml": "stages: {a: {cmd: python -m src.train -d 3}}"})
    assert [stage.name for stage in stage_of(repository, "src/train.py")] == ["a"]


def test_templates_are_filled_in_from_params_and_vars() -> None:
    texts = {
        "dvc.yaml": "vars: [more.yaml, {x: 5}]\nstages: {a: {cmd: 't.py ${m.d} ${l[1]} ${f} ${x} ${y}'}}",
        "params.yaml": "m: {d: 3}\nl: [a, b]\nf: true\n",
        "more.yaml": "y: z",
    }
    assert stages_of(snapshot(texts))[0].command == "t.py 3 b true 5 z"


@pytest.mark.parametrize("text", ["${item}", "${a.b.c}", "${l[7]}", "${odd{}}"])
def test_a_template_that_stays_open_gives_no_command(text: str) -> None:
    assert interpolate(text, {"l": [1], "a": {"b": 1}}) is None


def test_a_stage_of_a_loop_has_outs_only_where_they_are_certain() -> None:
    text = "stages: {a: {foreach: [1], do: {cmd: 'python a.py ${item}', outs: ['m${item}', all.csv]}}}"
    (stage,) = stages_of(snapshot({"dvc.yaml": text}))
    assert (stage.command, stage.outs) == (None, ("all.csv",))
    assert not stage.runs("a.py")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "stages: [a]",
        "stages: {a: b}",
        "a: [",
        "x: !!python/name:os.system",
        "stages: " + "[" * 99,
        "a: &a {b: 1}\nstages: {<<: *a}",
        "? {a: 1}\n: b",
        "- 1",
    ],
)
def test_what_is_no_pipeline_has_no_stages(text: str) -> None:
    assert stages_of(snapshot({"dvc.yaml": text})) == ()


def test_a_command_with_open_quotes_runs_nothing_that_we_know() -> None:
    (stage,) = stages_of(snapshot({"dvc.yaml": "stages: {a: {cmd: python a.py 'x}}"}))
    assert not stage.runs("a.py")


def test_an_oversized_document_is_not_read() -> None:
    assert load_mapping("a: 1\n" + " " * (1 << 20)) == {}


def test_commands_and_paths_that_are_no_text_are_passed_over() -> None:
    text = "stages: {a: {cmd: [python a.py, [b]], outs: [{1: x}, 2], deps: [[c]]}}\nvars: [3]"
    (stage,) = stages_of(snapshot({"dvc.yaml": text}))
    assert (stage.command, stage.outs, stage.deps) == ("python a.py", (), ())
