"""Hydra: what the commit composes, and recorded params as overrides of it."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan.arguments import Arguments, map_params
from runner.plan.options import ScriptInterface, read_interface
from runner.plan.options.around import surroundings
from runner.plan.options.hydra_config import written
from runner.schema.run_record import TextFile
from tests.support.facts import run, snapshot

SCRIPT = """
import hydra, mlflow
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    mlflow.log_param("rate", cfg.optim.lr)
"""
CONF = {
    "conf/config.yaml": (
        "defaults:\n  - model: mlp\n  - optim/sgd@optim\n  - _self_\n  - optional local: default\n"
        "seed: 1\nname: ${model.kind}-${seed}\nout: ${hydra:run.dir}/x\nmodel:\n  depth: 3\nhydra:\n  job: {}\n"
    ),
    "conf/model/mlp.yaml": "kind: mlp\nwidth: 8\ndepth: 1\n",
    "conf/model/tree.yaml": "kind: tree\nleaves: 5\n",
    "conf/optim/sgd.yaml": "lr: 0.1\nbetas: [0.9, 0.99]\n",
    "conf/experiment/big.yaml": "# @package _global_\ndefaults:\n  - override /model: tree\nseed: 9\n",
}


def interface(files: dict[str, str] | None = None, script: str = SCRIPT) -> ScriptInterface:
    texts = {**CONF, "train.py": script, **(files or {})}
    return read_interface(script, surroundings(snapshot(texts), "train.py"))


def mapped(params: dict[str, str], files: dict[str, str] | None = None, **fields: Any) -> Arguments:
    return map_params(run(params=params, **fields), interface(files), {"/home/ann/d/x.csv": "d/x.csv"}.get)


def values(files: dict[str, str] | None = None) -> dict[str, Any]:
    found = interface(files).hydra
    assert found is not None
    return found.values


def test_a_configuration_is_composed_of_groups_packages_and_itself() -> None:
    assert values() == {
        "model.kind": "mlp",
        "model.width": 8,
        "model.depth": 3,
        "optim.lr": 0.1,
        "optim.betas": [0.9, 0.99],
        "seed": 1,
        "name": "${model.kind}-${seed}",
        "out": "${hydra:run.dir}/x",
    }


def test_the_place_of_self_decides_who_wins() -> None:
    first = "defaults:\n  - _self_\n  - model: mlp\nmodel:\n  depth: 3\n"
    last = "defaults:\n  - model: mlp\nmodel:\n  depth: 3\n"
    assert values({"conf/config.yaml": first})["model.depth"] == 1
    assert values({"conf/config.yaml": last})["model.depth"] == 3


def test_an_experiment_overrides_choices_and_values() -> None:
    found = values({"conf/config.yaml": "defaults:\n  - model: mlp\n  - _self_\n  - experiment: big\nseed: 1\n"})
    assert found == {"model.kind": "tree", "model.leaves": 5, "seed": 9}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"seed": "1", "model.width": "8"}, ()),
        ({"seed": "2"}, ("seed=2",)),
        ({"model.width": "16", "model.kind": "mlp", "model.depth": "3"}, ("model.width=16",)),
        ({"model_width": "16"}, ("model.width=16",)),
        ({"model/width": "16"}, ("model.width=16",)),
        ({"width": "16"}, ("model.width=16",)),
        ({"rate": "0.5"}, ("optim.lr=0.5",)),
        ({"optim": "{'lr': 0.5, 'betas': [0.9, 0.99]}"}, ("optim.lr=0.5",)),
        ({"optim.betas": "[0.8, 0.99]"}, ("optim.betas=[0.8,0.99]",)),
        ({"name": "mlp-2", "seed": "2"}, ("seed=2",)),
        ({"name": "other"}, ("name=other",)),
        ({"unknown": "3"}, ()),
        ({"out": "/runs/2/x"}, ()),
        ({"model.kind": "tree", "model.leaves": "5"}, ("model=tree",)),
        ({"model.kind": "tree", "model.leaves": "7"}, ("model=tree", "model.leaves=7")),
    ],
)
def test_what_differs_from_the_commit_becomes_an_override(params: dict[str, str], words: tuple[str, ...]) -> None:
    assert mapped(params).words == words


def test_what_hydra_recorded_itself_is_the_command() -> None:
    file = TextFile(path=".hydra/overrides.yaml", text="- seed=4\n- model=tree\n- +new=[1,2]\n")
    found = mapped({"seed": "9"}, environment_files=(file,))
    assert (found.words, found.uncovered) == (("seed=4", "model=tree", "+new=[1,2]"), ())
    empty = TextFile(path=".hydra/overrides.yaml", text="[]\n")
    assert mapped({"seed": "9"}, environment_files=(empty,)).words == ()


@pytest.mark.parametrize("text", ["- --config-dir=/x\n", "- 3\n", "a: 1\n", "- [x\n", "- '$(id)'\n"])
def test_what_is_no_override_is_not_passed(text: str) -> None:
    file = TextFile(path="overrides.yaml", text=text)
    assert mapped({"seed": "9"}, environment_files=(file,)).words == ("seed=9",)


def test_a_recorded_override_that_is_a_secret_is_not_passed() -> None:
    file = TextFile(path=".hydra/overrides.yaml", text="- api_key=abc\n")
    assert mapped({"seed": "9"}, environment_files=(file,)).words == ("seed=9",)


def test_what_the_environment_gives_is_uncovered_unless_recorded() -> None:
    """rule 11"""
    moving = {"conf/config.yaml": "data: ${oc.env:DATA}\nwhen: ${now:%Y}\nown: ${mine:3}\n"}
    assert mapped({}, moving).uncovered == ("data (${oc.env:DATA})",)
    found = mapped({"data": "d.csv"}, moving)
    assert (found.words, found.uncovered) == (("data=d.csv",), ())


def test_a_value_that_must_be_given_is_lacking_unless_recorded() -> None:
    demanded = {"conf/config.yaml": "data: ???\n"}
    assert mapped({}, demanded).lacking == ("data=VALUE",)
    assert mapped({}, demanded).placeholders == "data=VALUE"
    assert mapped({"data": "/home/ann/d/x.csv"}, demanded).words == ("data=d/x.csv",)


@pytest.mark.parametrize(
    ("params", "fields"),
    [({"optim.lr": "/elsewhere"}, {}), ({"name": "${seed}"}, {}), ({"seed": "22"}, {"params_truncated": ("seed",)})],
)
def test_what_cannot_be_passed_is_uncovered(params: dict[str, str], fields: dict[str, Any]) -> None:
    found = mapped(params, **fields)
    assert found.words == ()
    assert "cannot be passed" in found.uncovered[0]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ("defaults:\n  - model: ${kind}\n", "choice of model"),
        ("defaults:\n  - model: gone\n", "file model/gone.yaml"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_what_cannot_be_composed_is_said(config: str, word: str) -> None:
    assert any(word in text for text in interface({"conf/config.yaml": config}).unreadable)


def test_a_main_without_files_is_said() -> None:
    assert interface(script="import hydra\n@hydra.main()\ndef main(c): ...").unreadable == ("Hydra's overrides",)


@pytest.mark.parametrize(
    ("text", "like", "expected"),
    [
        ("None", None, "null"),
        ("None", "x", "'None'"),
        ("True", False, "true"),
        ("1e-05", 0.1, "1e-05"),
        ("10", "x", "'10'"),
        ("a b", "x", "'a b'"),
        ("it's", "x", "'it\\'s'"),
        ("", "x", "''"),
        ("null", "x", "'null'"),
        ("data/a.csv", "x", "data/a.csv"),
        ("['a', 'b c']", ["x"], "[a,'b c']"),
    ],
)
def test_values_are_written_as_hydra_reads_them(text: str, like: Any, expected: str) -> None:
    assert written(text, like=like) == expected
