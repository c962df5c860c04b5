"""Options of the libraries that people use, in the shapes in which they use them: source in, interface out."""

from __future__ import annotations

import pytest

from runner.plan.options import ScriptInterface, read_interface
from runner.plan.options.around import surroundings, unread_around
from tests.support.facts import snapshot


def beside(files: dict[str, str], script: str = "train.py") -> ScriptInterface:
    """Return the interface of one of these files of a commit."""
    return read_interface(files[script], surroundings(snapshot(files), script))


def flags(interface: ScriptInterface) -> list[str]:
    return [option.shown for option in interface.options]


def test_a_parser_in_an_imported_module_is_read_with_what_its_functions_call() -> None:
    found = beside(
        {
            "train.py": "from config.cli import get_args\nargs = get_args()\n",
            "config/__init__.py": "",
            "config/cli.py": (
                "import argparse\nLR = 0.1\n"
                "def add(p): p.add_argument('--lr', default=LR)\n"
                "def get_args():\n    p = argparse.ArgumentParser()\n    add(p)\n    return p.parse_args()\n"
                "def unused():\n    p = argparse.ArgumentParser()\n    p.add_argument('--other', required=True)\n"
                "if __name__ == '__main__':\n    q = argparse.ArgumentParser()\n    q.add_argument('--mine')\n"
            ),
        }
    )
    assert flags(found) == ["--lr"]
    assert found.options[0].default == 0.1
    assert found.unreadable == ()


def test_a_module_that_only_is_imported_declares_nothing_for_the_script() -> None:
    found = beside(
        {
            "train.py": (
                "import argparse\nfrom data import load\np = argparse.ArgumentParser()\np.add_argument('--x')\n"
            ),
            "data.py": (
                "import argparse\ndef load(): pass\n"
                "def main():\n    p = argparse.ArgumentParser()\n    p.add_argument('--raw', required=True)\n"
                "if __name__ == '__main__': main()\n"
            ),
        }
    )
    assert flags(found) == ["--x"]


def test_defaults_come_from_constants_and_files_of_the_commit() -> None:
    found = beside(
        {
            "train.py": (
                "import argparse, yaml, settings\nfrom settings import LR\n"
                "with open('params.yaml') as f:\n    cfg = yaml.safe_load(f)\n"
                "p = argparse.ArgumentParser()\n"
                "p.add_argument('--lr', default=LR)\n"
                "p.add_argument('--seed', default=settings.SEED)\n"
                "p.add_argument('--depth', default=cfg['train']['depth'])\n"
                "p.add_argument('--width', default=cfg['train'].get('width', 9))\n"
                "p.add_argument('--gone', default=cfg['no'])\n"
            ),
            "settings.py": "LR = 0.3\nSEED = 7\n",
            "params.yaml": "train:\n  depth: 4\n",
        }
    )
    assert [(item.default, item.default_known) for item in found.options] == [
        (0.3, True),
        (7, True),
        (4, True),
        (9, True),
        (None, False),
    ]


def test_what_is_changed_after_it_was_read_is_no_constant() -> None:
    source = (
        "import argparse\nD = {'lr': 1}\nD['lr'] = compute()\nE = {'lr': 1}\nE.update(other())\n"
        "p = argparse.ArgumentParser()\np.add_argument('--a', default=D['lr'])\n"
        "p.add_argument('--b', default=E['lr'])\n"
    )
    assert [item.default_known for item in read_interface(source).options] == [False, False]


SUB = """
import argparse
common = argparse.ArgumentParser(add_help=False)
common.add_argument("--seed", type=int, default=0)
p = argparse.ArgumentParser()
p.add_argument("--verbose", action="store_true")
subs = p.add_subparsers(dest="command", required=True)
t = subs.add_parser("train", parents=[common])
t.add_argument("--lr", type=float)
e = subs.add_parser("evaluate", parents=[common])
e.add_argument("--model", required=True)
args = p.parse_args()
"""


def test_sub_parsers_have_their_own_options_and_those_of_their_parents() -> None:
    found = read_interface(SUB)
    assert flags(found) == ["--verbose"]
    assert [(item.words, [option.shown for option in item.options]) for item in found.commands] == [
        (("train",), ["--seed", "--lr"]),
        (("evaluate",), ["--seed", "--model"]),
    ]
    assert (found.command_dest, found.command_required) == ("command", True)


def test_functions_that_are_given_a_sub_parser_add_to_it() -> None:
    source = (
        "import argparse\ndef common(q):\n    q.add_argument('--data')\ndef training(q):\n    q.add_argument('--lr')\n"
        "p = argparse.ArgumentParser()\ncommon(p)\nsubs = p.add_subparsers()\nt = subs.add_parser('train')\n"
        "training(t)\n"
        "subs.add_parser('test').add_argument('--k')\n"
    )
    found = read_interface(source)
    assert flags(found) == ["--data"]
    assert [[option.shown for option in item.options] for item in found.commands] == [["--lr"], ["--k"]]


def test_groups_and_parents_without_sub_parsers_are_the_scripts_own() -> None:
    source = (
        "import argparse\ndef get():\n    q = argparse.ArgumentParser('x', add_help=False)\n"
        "    q.add_argument('--lr')\n    return q\n"
        "p = argparse.ArgumentParser(parents=[get()])\ng = p.add_argument_group('data')\ng.add_argument('--path')\n"
        "m = p.add_mutually_exclusive_group()\nm.add_argument('--adam', action='store_true')\n"
        "m.add_argument('--sgd', action='store_true')\n"
    )
    found = {item.shown: item for item in read_interface(source).options}
    assert set(found) == {"--lr", "--path", "--adam", "--sgd"}
    assert found["--adam"].exclusive == found["--sgd"].exclusive != None  # noqa: E711
    assert found["--path"].exclusive is None


CLICK = """
import click
from click import option
@click.group()
@click.option("--verbose", is_flag=True)
def cli(verbose): ...
@cli.command()
@option("--lr", default=0.1)
@click.option("--kind", type=click.Choice(["a", "b"]), default="a")
@click.argument("files", nargs=-1)
def train_model(lr, kind, files): ...
@cli.command("eval")
@click.option("--k", default=3)
def evaluate(k): ...
"""


def test_click_groups_have_sub_commands() -> None:
    found = read_interface(CLICK)
    assert flags(found) == ["--verbose"]
    assert [item.words for item in found.commands] == [("train-model",), ("eval",)]
    by_name = {option.dest: option for option in found.commands[0].options}
    assert by_name["lr"].default == 0.1
    assert by_name["kind"].choices == ("a", "b")
    assert (by_name["files"].kind, by_name["files"].flag) == ("list", None)


TYPER = """
import typer
from typing import Annotated, List, Optional
app = typer.Typer()
@app.command()
def train(data: Annotated[str, typer.Argument()], lr: Annotated[float, typer.Option("--rate", "-r")] = 0.1,
          tags: Annotated[List[str], typer.Option()] = [], fast: Annotated[bool, typer.Option("--fast/--slow")] = False,
          key: Annotated[str, typer.Option(envvar="KEY")] = "k", ctx: typer.Context = None): ...
"""


def test_typer_is_read_by_annotated_too() -> None:
    found = {item.dest: item for item in read_interface(TYPER).options}
    assert list(found) == ["data", "lr", "tags", "fast", "key"]
    assert (found["data"].flag, found["data"].required) == (None, True)
    assert (found["lr"].flag, found["lr"].default, found["lr"].required) == ("--rate", 0.1, False)
    assert found["tags"].kind == "append"
    assert (found["fast"].flag, found["fast"].negative_flag) == ("--fast", "--slow")
    assert not found["key"].default_known


def test_several_typer_commands_are_sub_commands() -> None:
    found = read_interface(TYPER + "@app.command('test')\ndef check(k: int = 3): ...\n")
    assert found.options == ()
    assert [item.words for item in found.commands] == [("train",), ("test",)]


@pytest.mark.parametrize(
    ("call", "shown", "commands"),
    [
        ("fire.Fire(train)", ["--lr", "--data"], []),
        ("fire.Fire({'t': train})", [], [("t",)]),
        ("fire.Fire()", [], [("train",)]),
        ("fire.Fire(Model)", ["--depth"], [("fit",)]),
    ],
)
def test_fire_is_read_from_signatures(call: str, shown: list[str], commands: list[tuple[str, ...]]) -> None:
    found = read_interface(
        "import fire\ndef train(lr=0.1, *, data): ...\n"
        f"class Model:\n    def __init__(self, depth=3): ...\n    def fit(self): ...\n    def _own(self): ...\n{call}\n"
    )
    assert flags(found) == shown
    assert [item.words for item in found.commands] == commands
    assert all(option.joined for option in found.options)


def test_what_fire_cannot_tell_is_said() -> None:
    assert read_interface("import fire\nfire.Fire(lambda x: x)").unreadable == ("what Fire calls at line 2",)


ELASTICNET = """
import sys, mlflow
if __name__ == "__main__":
    alpha = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    l1_ratio = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    with mlflow.start_run():
        mlflow.log_param("alpha", alpha)
        mlflow.log_param("l1", l1_ratio)
"""


def test_positions_of_sys_argv_are_read() -> None:
    found = read_interface(ELASTICNET)
    assert [(item.dest, item.flag, item.default, item.required) for item in found.options] == [
        ("alpha", None, 0.5, False),
        ("l1_ratio", None, 0.5, False),
    ]
    assert {item.name: item.dest for item in found.logged} == {"alpha": "alpha", "l1": "l1_ratio"}


@pytest.mark.parametrize("line", ["x = sys.argv[2]", "x = sys.argv[1:]", "print(sys.argv[1])", "x = f(sys.argv[i])"])
def test_other_uses_of_sys_argv_are_not_told(line: str) -> None:
    assert read_interface(f"import sys\n{line}\n").unreadable == ("sys.argv",)


def test_absl_flags_are_read() -> None:
    found = {
        item.dest: item
        for item in read_interface(
            "from absl import flags\nflags.DEFINE_float('lr', 0.1, 'help')\n"
            "flags.DEFINE_boolean('fast', False, 'help')\n"
            "flags.DEFINE_enum('opt', 'sgd', ['sgd', 'adam'], 'help')\nflags.DEFINE_multi_string('tag', [], 'help')\n"
        ).options
    }
    assert (found["lr"].flag, found["lr"].default) == ("--lr", 0.1)
    assert (found["fast"].kind, found["fast"].negative_flag) == ("boolean", "--nofast")
    assert found["opt"].choices == ("sgd", "adam")
    assert found["tag"].kind == "append"


DATACLASSES = """
from dataclasses import dataclass, field
@dataclass
class Base:
    seed: int = 1
@dataclass
class Config(Base):
    lr: float = 0.1
    path: str = field(metadata={})
    layers: list[int] = field(default_factory=lambda: [1, 2])
"""


@pytest.mark.parametrize(
    "call",
    [
        "from transformers import HfArgumentParser\nHfArgumentParser((Config,)).parse_args_into_dataclasses()",
        "from simple_parsing import ArgumentParser\np = ArgumentParser()\np.add_arguments(Config, dest='c')",
        "import simple_parsing\nsimple_parsing.parse(Config)",
        "from simple_parsing import parse\nparse(Config)",
        "import tyro\ntyro.cli(Config)",
    ],
)
def test_dataclasses_are_read(call: str) -> None:
    found = {item.dest: item for item in read_interface(f"{DATACLASSES}\n{call}\n").options}
    assert set(found) == {"seed", "lr", "path", "layers"}
    assert (found["lr"].flag, found["lr"].default, found["path"].required) == ("--lr", 0.1, True)
    assert (found["layers"].kind, found["layers"].default) == ("list", [1, 2])


def test_a_librarys_own_class_of_options_is_named() -> None:
    found = read_interface(
        "from transformers import TrainingArguments, HfArgumentParser\nHfArgumentParser(TrainingArguments)"
    )
    assert found.unreadable == ("the options of TrainingArguments",)


def test_tap_is_read() -> None:
    found = read_interface(
        "from tap import Tap\nclass Arguments(Tap):\n    lr: float = 0.1\n    fast: bool = False\n"
        "    slow: bool = True\n"
        "args = Arguments().parse_args()\n"
    )
    assert [(item.flag, item.kind) for item in found.options] == [
        ("--lr", "value"),
        ("--fast", "flag"),
        ("--slow", "inverse"),
    ]


def test_jsonargparse_and_tyro_are_read_from_functions() -> None:
    source = "def main(data: str, learning_rate: float = 0.1, fast: bool = False): ...\n"
    tyro = read_interface(f"import tyro\n{source}tyro.cli(main)\n")
    assert flags(tyro) == ["--data", "--learning-rate", "--fast"]
    assert tyro.options[2].negative_flag == "--no-fast"
    assert flags(read_interface(f"from jsonargparse import CLI\n{source}CLI(main)\n")) == [
        "data",
        "--learning_rate",
        "--fast",
    ]


@pytest.mark.parametrize("name", ["docopt", "getopt"])
def test_libraries_that_are_not_read_are_named(name: str) -> None:
    assert read_interface(f"from {name} import {name}\n{name}(x)\n").unreadable == (f"its options, which {name} reads",)


@pytest.mark.parametrize(
    ("line", "dest", "constant"),
    [
        ("mlflow.log_param('rate', args.lr)", "lr", None),
        ("mlflow.log_param('rate', str(args.lr))", "lr", None),
        ("mlflow.log_params({'rate': args.lr})", "lr", None),
        ("mlflow.log_params({'rate': vars(args)['lr']})", "lr", None),
        ("d = {'rate': args.lr}\nmlflow.log_params(d)", "lr", None),
        ("mlflow.log_params(dict(rate=args.lr))", "lr", None),
        ("lr = args.lr\nmlflow.log_param('rate', lr)", "lr", None),
        ("def f(lr):\n    mlflow.log_param('rate', lr)", "lr", None),
        ("mlflow.log_param('rate', 0.5)", None, "0.5"),
        ("mlflow.log_param('rate', model.lr)", None, None),
        ("mlflow.log_param('rate', args.lr * 2)", None, None),
        ("mlflow.log_param('rate', args.lr)\nmlflow.log_param('rate', 3)", None, None),
    ],
)
def test_what_a_param_is_logged_from_is_read(line: str, dest: str | None, constant: str | None) -> None:
    head = "import argparse, mlflow\np = argparse.ArgumentParser()\np.add_argument('--lr')\nargs = p.parse_args()\n"
    source = f"{head}{line}\n"
    (logged,) = read_interface(source).logged
    assert (logged.name, logged.dest, logged.constant) == ("rate", dest, constant)


def test_texts_that_tell_of_options_are_asked_for_until_all_are_there() -> None:
    files = {
        "train.py": (
            "from pkg.cli import get\nimport hydra\nopen('conf/x.yaml')\n@hydra.main(config_path='hy')\ndef m(c): ..."
        ),
        "pkg/__init__.py": "",
        "pkg/cli.py": "from .deep import more",
        "pkg/deep.py": "",
        "conf/x.yaml": "a: 1",
        "hy/config.yaml": "",
        "hy/model/a.yaml": "",
        "other.py": "",
    }
    whole = snapshot(files)
    have = whole.model_copy(update={"texts": {"train.py": files["train.py"]}})
    asked: set[str] = set()
    for _ in range(3):
        more = unread_around(have, "train.py")
        asked |= set(more)
        have = have.with_texts({path: files[path] for path in more})
    assert asked == set(files) - {"train.py", "other.py", "pkg/__init__.py"}


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("import argparse\np = argparse.ArgumentParser()\np.set_defaults(**load(x))\n", "the defaults at line 3"),
        ("import configargparse\n", "files and variables"),
        (
            "import click\n@click.command(context_settings={'auto_envvar_prefix': 'A'})\ndef f(): ...",
            "auto_envvar_prefix",
        ),
        ("import click\nmain(auto_envvar_prefix='A')", "auto_envvar_prefix"),
        ("from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    lr: float = 1", "the variables of S"),
    ],
)
def test_what_the_environment_may_give_without_a_name_is_said(source: str, word: str) -> None:
    """rule 11"""
    (found,) = read_interface(source).unreadable
    assert word in found


def test_defaults_that_a_known_mapping_brings_are_known_and_one_that_was_handed_on_is_not() -> None:
    head = "import argparse\nD = {'lr': [1]}\np = argparse.ArgumentParser()\np.add_argument('--lr', default=3)\n"
    (known,) = read_interface(f"{head}p.set_defaults(**D)\n").options
    assert (known.default, known.default_known) == ([1], True)
    (shown,) = read_interface(f"{head}print(D)\np.set_defaults(**D)\n").options
    assert shown.default == [1]
    assert read_interface(f"{head}override(D)\np.set_defaults(**D)\n").unreadable == ("the defaults at line 6",)
