"""Recorded params as arguments of a script."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan.arguments import Arguments, effective, map_params, quoted
from runner.plan.options import ScriptInterface, read_interface
from runner.plan.options.around import surroundings
from runner.plan.values import same_value
from tests.support.facts import run, snapshot

HEAD = "import argparse, os\np = argparse.ArgumentParser()\n"


def mapped(call: str, params: dict[str, str], inside: dict[str, str] | None = None, **fields: Any) -> Arguments:
    calls = "".join(f"p.add_argument({line})\n" for line in call.split(" | "))
    return map_params(run(params=params, **fields), read_interface(HEAD + calls), (inside or {}).get)


@pytest.mark.parametrize(
    ("call", "value", "words"),
    [
        ("'--x'", "3", ("--x", "3")),
        ("'--x', type=float", "-1e-05", ("--x=-1e-05",)),
        ("'x'", "3", ("3",)),
        ("'--x', action='store_true'", "True", ("--x",)),
        ("'--x', action='store_true'", "False", ()),
        ("'--x', action='store_false'", "False", ("--x",)),
        ("'--x', action='store_false'", "True", ()),
        ("'--x', action=argparse.BooleanOptionalAction", "False", ("--no-x",)),
        ("'--x', action='count'", "2", ("--x", "--x")),
        ("'--x', nargs='+'", "[1, 2]", ("--x", "1", "2")),
        ("'--x', nargs='+'", "a b", ("--x", "a b")),
        ("'--x', nargs='*'", "[]", ()),
        ("'--x', action='append'", "['a', 'b']", ("--x", "a", "--x", "b")),
        ("'--x'", "None", ()),
        ("'--x', choices=['a', 'b']", "a", ("--x", "a")),
    ],
)
def test_a_recorded_value_becomes_the_words_that_give_it(call: str, value: str, words: tuple[str, ...]) -> None:
    found = mapped(call, {"x": value})
    assert (found.words, found.used, found.uncovered) == (words, ("x",), ())


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("'--x', choices=['a']", "b"),
        ("'--x', default=3", "None"),
        ("'--x', action='store_true'", "maybe"),
        ("'--x', action='count'", "many"),
        ("'--x', nargs='*', default=[1]", "[]"),
        ("'--x'", "/home/ann/elsewhere"),
        ("'--x'", "https://ann:secret@host/x"),
    ],
)
def test_a_value_that_cannot_be_given_leaves_the_option_uncovered(call: str, value: str) -> None:
    found = mapped(call, {"x": value})
    assert (found.words, found.used) == ((), ())
    assert found.uncovered[0].startswith("--x (")
    assert "secret@" not in found.uncovered[0]


def test_only_params_that_are_declared_are_passed_whatever_dashes_they_have() -> None:
    found = mapped("'--max-depth' | '--lr', dest='rate'", {"max-depth": "3", "rate": "0.1", "n_samples": "99"})
    assert found.words == ("--max-depth", "3", "--lr", "0.1")


def test_options_come_before_positional_arguments() -> None:
    assert mapped("'data' | '--x'", {"data": "d.csv", "x": "1"}).words == ("--x", "1", "d.csv")


def test_the_runs_own_names_are_passed_where_the_script_takes_them() -> None:
    found = mapped("'--run-name' | '--experiment-name'", {})
    assert found.words == ("--run-name", "rf-depth-8", "--experiment-name", "fraud")
    assert mapped("'--run-name'", {}, name=None).words == ()


def test_a_recorded_param_comes_before_the_runs_own_name() -> None:
    assert mapped("'--run-name'", {"run_name": "other"}).words == ("--run-name", "other")


def test_a_path_of_another_machine_becomes_the_path_in_the_repository() -> None:
    text = r"C:\Users\ann\fraud\data\a.csv"
    assert mapped("'--x'", {"x": text}, {text: "data/a.csv"}).words == ("--x", "data/a.csv")


def test_options_without_record_are_covered_by_known_defaults_alone() -> None:
    found = mapped("'--x', default=3 | '--y', default=os.environ['Y']", {})
    assert found.uncovered == ("--y (default os.environ['Y'])",)


def test_an_environment_variable_is_covered_by_a_param_of_its_name_alone() -> None:
    """rule 11"""
    interface = ScriptInterface(variables=("EPOCHS", "RATE"))
    found = map_params(run(params={"epochs": "5"}), interface, lambda _: None)
    assert found.uncovered == ("environment variable RATE",)


def test_required_options_without_record_are_lacking() -> None:
    assert mapped("'--x', required=True | 'data'", {}).lacking == ("--x", "data")


def test_a_value_that_the_store_cut_is_not_passed() -> None:
    found = mapped("'--x'", {"x": "long"}, params_truncated=("x",))
    assert found.uncovered == ("--x (its recorded value is cut)",)


def test_secrets_are_not_passed_and_names_that_only_look_like_one_are() -> None:
    found = mapped(
        "'--api-key' | '--max-tokens' | '--tokenizer'", {"api_key": "k", "max_tokens": "9", "tokenizer": "t"}
    )
    assert found.words == ("--max-tokens", "9", "--tokenizer", "t")
    assert found.uncovered == ("--api-key (its recorded value looks like a secret)",)


def test_words_are_quoted_for_a_shell() -> None:
    assert quoted(("--x", "a b", "$(id)")) == "--x 'a b' '$(id)'"


@pytest.mark.parametrize(
    ("call", "words", "expected"),
    [
        ("'--x', default=1", ["t.py", "--x", "3"], "3"),
        ("'--x', default=1", ["t.py", "--x=3"], "3"),
        ("'--x', default=1", ["t.py"], "1"),
        ("'--x', default=os.environ['X']", ["t.py"], None),
        ("'--x', action='store_true'", ["t.py", "--x"], "True"),
        ("'--x', action='store_true'", ["t.py"], "False"),
        ("'--x', action=argparse.BooleanOptionalAction", ["--no-x"], "False"),
        ("'x'", ["t.py", "3"], None),
        ("'--x', default=1", ["--x"], "1"),
    ],
)
def test_the_value_that_a_command_gives_can_be_told(call: str, words: list[str], expected: str | None) -> None:
    (option,) = read_interface(f"{HEAD}p.add_argument({call})").options
    assert effective(option, words) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"), [("1", "1.0", True), ("a", "a", True), ("a", "b", False), ("None", "None", True)]
)
def test_texts_of_the_same_number_are_the_same(one: str, other: str, same: bool) -> None:
    assert same_value(one, other) is same


def test_the_name_of_an_experiment_that_the_store_lost_is_no_argument() -> None:
    """What stands in its place is the experiment's id."""
    lost = {"experiment_id": "7", "experiment_name": "7"}
    named = {"experiment_id": "7", "experiment_name": "fraud"}
    assert mapped("'--experiment-name', default='x'", {}, **named).words == ("--experiment-name", "fraud")
    assert mapped("'--experiment-name', default='x'", {}, **lost).words == ()


def test_a_param_that_is_called_as_an_option_is_written_is_its_value_unless_it_is_anothers() -> None:
    assert mapped("'--learning-rate', dest='lr'", {"learning_rate": "3"}).words == ("--learning-rate", "3")
    found = mapped("'--a', dest='b' | '--c', dest='a'", {"a": "1"})
    assert found.words == ("--c", "1")


LOGGED = "args = p.parse_args()\nmlflow.log_param('rate', args.lr)\nmlflow.log_param('depth', 3)\n"


def test_what_the_script_logs_as_an_options_value_is_that_options_whatever_its_name() -> None:
    source = f"{HEAD}p.add_argument('--lr')\np.add_argument('--rate')\np.add_argument('--depth')\n{LOGGED}"
    found = map_params(run(params={"rate": "0.1", "depth": "3"}), read_interface(source), lambda _: None)
    assert found.words == ("--lr", "0.1")
    assert [(each.value, each.reason) for each in found.considered] == [
        ("depth", "the script logs them as constants, equal to the recorded")
    ]


def test_a_constant_that_is_another_than_the_recorded_is_told() -> None:
    source = f"{HEAD}p.add_argument('--lr')\n{LOGGED}"
    found = map_params(run(params={"depth": "4"}), read_interface(source), lambda _: None)
    assert [each.reason for each in found.considered] == ["the script logs the constant 3, and the run recorded 4"]


def test_a_name_with_folders_is_that_of_its_last_part_where_no_other_is() -> None:
    assert mapped("'--lr'", {"args/lr": "1"}).words == ("--lr", "1")
    assert mapped("'--lr'", {"args/lr": "1", "model.lr": "2"}).words == ()


SUB = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--seed")
s = p.add_subparsers(dest="job", required=True)
t = s.add_parser("fit")
t.add_argument("--lr")
t.add_argument("data")
e = s.add_parser("test")
e.add_argument("--k")
"""


@pytest.mark.parametrize(
    ("params", "words", "lacking"),
    [
        ({"job": "fit", "data": "d"}, ("fit", "d"), ()),
        ({"lr": "1", "data": "d", "seed": "2"}, ("--seed", "2", "fit", "--lr", "1", "d"), ()),
        ({"k": "1"}, ("test", "--k", "1"), ()),
        ({"k": "1", "lr": "1"}, (), ("{fit,test}",)),
        ({}, (), ("{fit,test}",)),
    ],
)
def test_the_sub_command_is_the_one_whose_options_were_recorded(
    params: dict[str, str], words: tuple[str, ...], lacking: tuple[str, ...]
) -> None:
    found = map_params(run(params=params), read_interface(SUB), lambda _: None)
    assert (found.words, found.lacking) == (words, lacking)
    assert found.placeholders == " ".join(lacking)


def test_a_position_behind_one_without_value_is_not_given() -> None:
    """It would become the first."""
    source = (
        "import sys\na = float(sys.argv[1]) if len(sys.argv) > 1 else 1\nb = sys.argv[2] if len(sys.argv) > 2 else 2\n"
    )
    found = map_params(run(params={"b": "3"}), read_interface(source), lambda _: None)
    assert found.words == ()
    assert found.uncovered == ("b (it stands behind a, which has no recorded value)",)


def test_of_options_that_exclude_each_other_only_what_is_no_default_is_given() -> None:
    source = (
        f"{HEAD}g = p.add_mutually_exclusive_group()\ng.add_argument('--adam', type=float, default=0.0)\n"
        "g.add_argument('--sgd', type=float, default=0.0)\n"
    )
    found = map_params(run(params={"adam": "0.0", "sgd": "0.5"}), read_interface(source), lambda _: None)
    assert (found.words, found.used) == (("--sgd", "0.5"), ("adam", "sgd"))


def test_a_file_of_the_commit_that_holds_the_recorded_values_is_told_and_one_that_does_not_too() -> None:
    files = {
        "train.py": "import yaml\ncfg = yaml.safe_load(open('params.yaml'))\n",
        "params.yaml": "train: {lr: 1, n: 2}",
    }
    interface = read_interface(files["train.py"], surroundings(snapshot(files), "train.py"))
    found = map_params(run(params={"lr": "1", "train.n": "3"}), interface, lambda _: None)
    assert [(each.source, each.value, each.reason) for each in found.considered] == [
        ("params.yaml at the commit", "lr", "holds the recorded values"),
        ("params.yaml at the commit", "train.n", "holds 2, and the run recorded 3"),
    ]
