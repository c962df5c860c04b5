"""Stages of dvc.yaml, as far as they can be read."""

from __future__ import annotations

import pytest

from runner.lineage.pipeline import (
    chain_to,
    lacking_vars,
    load_mapping,
    pipeline_problems,
    stage_of,
    stages_of,
    stages_of_line,
)
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


@pytest.mark.parametrize("text", ["${item}", "${a.b.c}", "${l[7]}", "${l}", "${odd{}}"])
def test_a_template_that_stays_open_gives_no_command_and_is_named_with_its_line(text: str) -> None:
    texts = {"dvc.yaml": f"stages:\n  a:\n    cmd: 't.py {text}'\n", "params.yaml": "l: [1]\na: {b: 1}\n"}
    (stage,) = stages_of(snapshot(texts))
    assert stage.command is None
    (problem,) = pipeline_problems(snapshot(texts))
    assert problem.pointer == "dvc.yaml"
    assert problem.problem.startswith("line 2: stage 'a': ${")


def test_a_loop_makes_a_stage_for_each_of_its_members() -> None:
    text = "stages: {a: {foreach: [1, x], do: {cmd: 'python a.py ${item}', outs: ['m${item}', all.csv]}}}"
    one, other = stages_of(snapshot({"dvc.yaml": text}))
    assert (one.name, one.command, one.outs) == ("a@1", "python a.py 1", ("m1", "all.csv"))
    assert (other.name, other.command, other.outs) == ("a@x", "python a.py x", ("mx", "all.csv"))


def test_a_loop_over_what_is_not_there_is_one_stage_without_a_command() -> None:
    text = "stages: {a: {foreach: '${l}', do: {cmd: 'python a.py ${item}', outs: ['m${item}', all.csv]}}}"
    (stage,) = stages_of(snapshot({"dvc.yaml": text}))
    assert (stage.command, stage.outs) == (None, ("all.csv",))
    assert not stage.runs("a.py")


def test_a_matrix_makes_a_stage_for_each_combination() -> None:
    text = "stages: {a: {matrix: {m: [cnn, {d: 3}], lr: '${lrs}'}, cmd: 'a.py ${item.m} ${item.lr} ${key}'}}"
    found = stages_of(snapshot({"dvc.yaml": text, "params.yaml": "lrs: [1e-3, 0.5]"}))
    assert [(stage.name, stage.command) for stage in found] == [
        ("a@cnn-0.001", "a.py cnn 0.001 cnn-0.001"),
        ("a@cnn-0.5", "a.py cnn 0.5 cnn-0.5"),
        ("a@m1-0.001", "a.py --d 3 0.001 m1-0.001"),
        ("a@m1-0.5", "a.py --d 3 0.5 m1-0.5"),
    ]


def test_a_mapping_in_a_command_becomes_options_as_the_configuration_has_it() -> None:
    texts = {
        "dvc.yaml": "stages: {a: {cmd: 'a.py ${o}'}}",
        "params.yaml": "o: {d: 3, x: {y: 'a b'}, yes: true, off: false, l: [1, 2]}",
    }
    assert stages_of(snapshot(texts))[0].command == "a.py --d 3 --x.y 'a b' --yes --l 1 2"
    texts[".dvc/config"] = "[parsing]\n    bool = boolean_optional\n    list = append\n"
    assert stages_of(snapshot(texts))[0].command == "a.py --d 3 --x.y 'a b' --yes --no-off --l 1 --l 2"


def test_vars_of_a_stage_come_from_its_working_directory_and_files_of_every_kind_are_read() -> None:
    texts = {
        "p/dvc.yaml": "vars: [a.json, 'b.toml:k', c.py]\nstages: {a: {wdir: w, vars: [d.yaml], cmd: 'a.py "
        "${j} ${k.x} ${P} ${d} ${C.y}'}}",
        "p/a.json": '{"j": 1}',
        "p/b.toml": "j = 2\n[k]\nx = 'q'\n",
        "p/c.py": "P = 5\nclass C:\n    y = 'z'\nimport os\n",
        "p/w/d.yaml": "d: on\n",
    }
    assert stages_of(snapshot(texts))[0].command == "a.py 1 q 5 on z"
    (problem,) = pipeline_problems(snapshot({"p/dvc.yaml": texts["p/dvc.yaml"]}))
    assert problem.problem == "line 1: vars: p/a.json is not at the commit, or too long to be read"
    assert lacking_vars(snapshot({"p/dvc.yaml": texts["p/dvc.yaml"]})) == (
        "p/a.json",
        "p/b.toml",
        "p/c.py",
        "p/w/d.yaml",
    )


def test_numbers_and_words_are_those_of_yaml_1_2() -> None:
    texts = {"dvc.yaml": "stages: {a: {cmd: 'a ${e} ${o} ${n} ${q} ${i}'}}",
             "params.yaml": "e: 1e-3\no: on\nn: 010\nq: '1e-3'\ni: 1_000\n"}  # fmt: skip
    assert stages_of(snapshot(texts))[0].command == "a 0.001 on 10 1e-3 1000"


def test_a_stage_of_dvc_before_1_is_a_pointer_with_a_command() -> None:
    text = (
        f"cmd: python train.py\nwdir: ..\ndeps:\n- {{md5: {'0' * 32}, path: train.py}}\n"
        f"outs:\n- {{md5: {'1' * 32}, path: m.pkl}}\n- {{path: m.json, metric: true, persist: true}}\nlocked: true\n"
    )
    (stage,) = stages_of(snapshot({"pipe/train.dvc": text}))
    assert (stage.name, stage.command, stage.working_directory) == ("train.dvc", "python train.py", ".")
    assert (stage.deps, stage.outs) == (("train.py",), ("m.pkl", "m.json"))
    assert (stage.metrics, stage.persistent, stage.frozen) == (("m.json",), ("m.json",), True)


def test_what_lies_outside_is_told_apart() -> None:
    text = "stages: {a: {cmd: a, deps: [s3://b/x, ../up.csv, /abs, in.csv], outs: [o, ../../p]}}"
    (stage,) = stages_of(snapshot({"dvc.yaml": text}))
    assert (stage.deps, stage.outs) == (("in.csv",), ("o",))
    assert stage.external == ("s3://b/x", "../up.csv", "/abs", "../../p")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stage: {}", "line 1: has the key 'stage', which no dvc.yaml has"),
        ("stages:\n  a:\n    deps: [x]\n", "line 2: stage 'a' has no cmd"),
        ("stages:\n  a:\n    cmd: x\n    dep: [x]\n", "line 4: stage 'a' has the key 'dep', which no stage has"),
        ("stages:\n  a:\n    cmd: x\n    deps: x\n", "line 4: deps of stage 'a' must be a list"),
        ("stages:\n  a:\n    cmd: x\n    deps: [{x: 1}]\n", "line 4: an entry of deps of stage 'a' must be a path"),
        ("stages:\n  a:\n    cmd: {x: 1}\n", "line 3: cmd of stage 'a' must be text, or a list of it"),
        ("stages:\n  a:\n    foreach: [1]\n", "line 2: stage 'a' lacks do"),
        ("stages:\n  a:\n    foreach: [1]\n    do: {cmd: x}\n    cmd: y\n",
         "line 5: stage 'a' has the key 'cmd' beside foreach"),
        ("stages:\n  a:\n    cmd: x\n    outs:\n    - m: {cache: never}\n",
         "line 5: cache in outs of stage 'a' must be true or false"),
        ("stages:\n  a: [\n", "line 3: is not YAML"),
        ("stages: [a]", "line 1: stages must be a mapping"),
        ("vars: x", "line 1: vars must be a list"),
    ],
)  # fmt: skip
def test_a_pipeline_that_dvc_would_refuse_has_no_stages_and_says_why_with_its_line(text: str, sentence: str) -> None:
    assert stages_of(snapshot({"dvc.yaml": text})) == ()
    (problem,) = pipeline_problems(snapshot({"dvc.yaml": text}))
    assert problem.problem.startswith(sentence)


def test_anchors_are_followed_and_bombs_are_not() -> None:
    text = "stages:\n  a: &a {cmd: python a.py, deps: [x]}\n  b:\n    <<: *a\n    cmd: python b.py\n"
    assert [(stage.command, stage.deps) for stage in stages_of(snapshot({"dvc.yaml": text}))] == [
        ("python a.py", ("x",)),
        ("python b.py", ("x",)),
    ]
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    bomb = {"dvc.yaml": "stages: {a: {cmd: 'a.py ${x}'}}", "params.yaml": "\n".join([*lines, "x: 1"])}
    assert stages_of(snapshot(bomb)) == ()
    (problem,) = pipeline_problems(snapshot(bomb))
    assert "grows too large" in problem.problem
    nested = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 9000))])
    assert stages_of(snapshot({"dvc.yaml": bomb["dvc.yaml"], "params.yaml": nested})) == ()


@pytest.mark.parametrize("text", ["matrix: {a: ${l}, b: ${l}}, cmd: x", "foreach: ${l}, do: {cmd: x}"])
def test_a_loop_without_bound_is_not_unrolled(text: str) -> None:
    texts = {
        "dvc.yaml": "stages: {a: {" + text.replace("${l}", "'${l}'") + "}}",
        "params.yaml": f"l: {list(range(3000))}",
    }
    (stage,) = stages_of(snapshot(texts))
    assert stage.command is None
    assert stage.problem is not None
    assert "more than 2000 stages" in stage.problem


PIPELINE = """
stages:
  prepare: {cmd: python prepare.py, deps: [raw.csv], outs: [clean.csv]}
  featurize: {cmd: python featurize.py, deps: [clean.csv], outs: [features]}
  train: {cmd: python train.py, deps: [features/train.csv], outs: [model.pkl]}
  other: {cmd: python other.py, deps: [clean.csv], outs: [o]}
  round: {cmd: python round.py, deps: [about], outs: [round]}
  about: {cmd: python about.py, deps: [round], outs: [about]}
"""


def test_the_stages_that_make_an_input_come_in_their_order() -> None:
    stages = stages_of(snapshot({"dvc.yaml": PIPELINE}))
    train = stages[2]
    assert [stage.name for stage in chain_to(train.deps, stages, but=[train])] == ["prepare", "featurize"]
    assert chain_to(["raw.csv"], stages) == ()
    assert {stage.name for stage in chain_to(["about"], stages)} == {"about", "round"}


@pytest.mark.parametrize(
    ("line", "directory", "names"),
    [
        ("python  train.py", ".", ["train"]),
        ("python train.py", "sub", []),
        ("dvc repro train", ".", ["train"]),
        ("dvc repro -s train other --force", ".", ["train", "other"]),
        ("dvc repro -n x dvc.yaml:train", ".", ["train"]),
        ("dvc repro ../dvc.yaml:train", "sub", ["train"]),
        ("dvc repro nothing", ".", []),
        ("dvc exp run -S a=1", ".", ["prepare", "featurize", "train", "other", "round", "about"]),
        ("python 'x", ".", []),
    ],
)
def test_the_stages_of_a_command_are_known(line: str, directory: str, names: list[str]) -> None:
    stages = stages_of(snapshot({"dvc.yaml": PIPELINE}))
    assert [stage.name for stage in stages_of_line(line, directory, stages)] == names


def test_a_target_may_be_a_group_of_a_loop() -> None:
    stages = stages_of(snapshot({"dvc.yaml": "stages: {a: {foreach: [1, 2], do: {cmd: 'x ${item}'}}}"}))
    assert [stage.name for stage in stages_of_line("dvc repro a", ".", stages)] == ["a@1", "a@2"]
    assert [stage.name for stage in stages_of_line("dvc repro a@2", ".", stages)] == ["a@2"]


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
