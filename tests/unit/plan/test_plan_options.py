"""Options of a script, read from its source without running it."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan.options import Option, read_interface

HEAD = "import argparse, os\nfrom pathlib import Path\np = argparse.ArgumentParser()\n"


def option(call: str, head: str = HEAD) -> Option:
    (found,) = read_interface(f"{head}p.add_argument({call})\n").options
    return found


@pytest.mark.parametrize(
    ("call", "dest", "flag"),
    [
        ("'--max-depth'", "max_depth", "--max-depth"),
        ("'-d', '--max-depth'", "max_depth", "--max-depth"),
        ("'-d'", "d", "-d"),
        ("'--depth', dest='max_depth'", "max_depth", "--depth"),
        ("'data'", "data", None),
    ],
)
def test_destination_and_flag_are_argparses(call: str, dest: str, flag: str | None) -> None:
    found = option(call)
    assert (found.dest, found.flag) == (dest, flag)
    assert found.shown == (flag or dest)


@pytest.mark.parametrize(
    ("call", "kind", "default"),
    [
        ("'--x', action='store_true'", "flag", False),
        ("'--x', action='store_false'", "inverse", True),
        ("'--x', action=argparse.BooleanOptionalAction", "boolean", None),
        ("'--x', action='count'", "count", None),
        ("'--x', action='append'", "append", None),
        ("'--x', action='append', nargs=2", "list", None),
        ("'--x', nargs='+'", "list", None),
        ("'--x', nargs='?'", "value", None),
        ("'--x'", "value", None),
    ],
)
def test_actions_tell_how_an_option_takes_values(call: str, kind: str, default: Any) -> None:
    found = option(call)
    assert (found.kind, found.default, found.default_known) == (kind, default, True)


@pytest.mark.parametrize(
    ("default", "value"),
    [
        ("0.1", 0.1),
        ("-1", -1),
        ("'a'", "a"),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("{'a': 1}", {"a": 1}),
        ("2 * 3 - 1", 5),
        ("10 ** 3", 1000),
        ("1 / 4", 0.25),
        ("'a' + 'b'", "ab"),
        ("Path('data') / 'x.csv'", "data/x.csv"),
        ("os.path.join('a', 'b')", "a/b"),
        ("int(3)", 3),
        ("DEPTH", 7),
    ],
)
def test_a_literal_a_constant_and_a_pure_expression_are_known_defaults(default: str, value: Any) -> None:
    found = option(f"'--x', default={default}", HEAD + "DEPTH: int = 7\n")
    assert (found.default, found.default_known) == (value, True)


@pytest.mark.parametrize(
    "default",
    [
        "os.environ['X']",
        "os.getenv('X', 3)",
        "open('x').read()",
        "Path(__file__).parent",
        "'/data/x.csv'",
        "'~/x'",
        "'C:/x'",
        "TWICE",
        "UNKNOWN",
        "1 / 0",
        "1 + 'a'",
        "'a' - 'b'",
        "9 ** 999999999",
        "7 % 2",
        "f'{x}'",
        "int(1, base=3)",
        "int(1, 2)",
        "[UNKNOWN]",
    ],
)
def test_what_a_variable_or_a_file_can_change_is_no_known_default(default: str) -> None:
    found = option(f"'--x', default={default}", HEAD + "TWICE = 1\nTWICE = 2\n")
    assert not found.default_known
    assert found.text_default


def test_required_choices_and_types_are_read() -> None:
    found = option("'--x', required=True, choices=['a', 1], type=int")
    assert (found.required, found.choices, found.type_name) == (True, ("a", "1"), "int")
    assert option("'x'").required
    assert not option("'x', nargs='?'").required
    assert not option("'x', default=3").required
    assert option("'--x', choices=range(3)").choices is None


def test_help_and_version_are_no_options_and_constants_have_no_known_default() -> None:
    assert read_interface(HEAD + "p.add_argument('--version', action='version')").options == ()
    assert not option("'--x', action='store_const', const=3").default_known


def test_set_defaults_changes_the_default() -> None:
    source = HEAD + "p.add_argument('--x', default=1)\np.add_argument('--y')\np.set_defaults(x=os.environ['X'])\n"
    found, other = read_interface(source).options
    assert not found.default_known
    assert other.default_known


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (HEAD + "p.add_argument(NAME)", "line 4"),
        (HEAD + "p.add_argument('--x', **more)", "settings"),
        (HEAD + "s = p.add_subparsers()", "sub-commands"),
        ("from cli import parser\nargs = parser.parse_args()", "another module"),
        ("import sys\nprint(sys.argv[2])", "sys.argv"),
        ("import hydra\n@hydra.main(config_path='c')\ndef main(cfg): pass", "Hydra"),
        ("import click\n@click.option(NAME)\ndef main(): pass", "line 2"),
        ("import typer\ntyper.run(elsewhere)", "typer"),
        ("def broken(", "cannot parse"),
        ("x = " + "(" * 500 + ")" * 500, "cannot parse"),
        ("x = " + "+".join(["1"] * 20000), "nested"),
    ],
)
def test_what_cannot_be_told_is_said(source: str, word: str) -> None:
    (text,) = read_interface(source).unreadable
    assert word in text or "nested" in text or "cannot parse" in text


def test_the_name_of_the_program_is_no_option() -> None:
    assert read_interface("import sys\nname = sys.argv[0]").unreadable == ()


def test_imports_are_told_for_the_way_of_starting() -> None:
    found = read_interface("import a.b\nfrom c.d import e\nfrom . import f")
    assert (found.imported, found.relative_imports) == (("a.b", "c.d"), True)


def test_click_is_read() -> None:
    source = """
import click
@click.command()
@click.option("-d", "--max-depth", default=3, type=int)
@click.option("--fast/--slow", default=True)
@click.option("--verbose", is_flag=True)
@click.option("--level", count=True)
@click.option("--tag", multiple=True)
@click.option("--name", "title", required=True)
@click.option("--key", envvar="KEY")
@click.argument("data")
def main(**options): ...
"""
    found = {item.dest: item for item in read_interface(source).options}
    assert found["max_depth"].flag == "--max-depth"
    assert (found["fast"].kind, found["fast"].negative_flag) == ("boolean", "--slow")
    assert [found[name].kind for name in ("verbose", "level", "tag")] == ["flag", "count", "append"]
    assert found["title"].required
    assert not found["key"].default_known
    assert (found["data"].flag, found["data"].required) == (None, True)


def test_typer_is_read() -> None:
    source = """
import typer
app = typer.Typer()
@app.command()
def main(data: str, depth: int = 3, fast: bool = False, rate: float = typer.Option(0.1, "--lr"),
         name: str = typer.Option(...), extra: str = typer.Argument("x"), *, seed: int = 7): ...
"""
    found = {item.dest: item for item in read_interface(source).options}
    assert (found["data"].flag, found["data"].required) == (None, True)
    assert (found["depth"].flag, found["depth"].default) == ("--depth", 3)
    assert (found["fast"].kind, found["fast"].negative_flag) == ("boolean", "--no-fast")
    assert (found["rate"].flag, found["rate"].default) == ("--lr", 0.1)
    assert found["name"].required
    assert (found["extra"].flag, found["extra"].default) == (None, "x")
    assert found["seed"].default == 7


def test_a_function_given_to_typer_is_read() -> None:
    found = read_interface("import typer\ndef main(depth: int = 3): ...\ntyper.run(main)")
    assert [item.flag for item in found.options] == ["--depth"]
    assert found.unreadable == ()


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("EPOCHS = int(os.environ.get('EPOCHS', 5))", ("EPOCHS",)),
        ("rate = os.getenv('LEARNING_RATE')", ("LEARNING_RATE",)),
        ("size = os.environ['BATCH_SIZE']", ("BATCH_SIZE",)),
        ("uri = os.environ['MLFLOW_TRACKING_URI']; key = os.getenv('API_KEY'); home = os.environ['HOME']", ()),
        ("os.environ['OMP_NUM_THREADS'] = '1'", ()),
        ("value = {}.get('EPOCHS')", ()),
        ("p.add_argument('--epochs', default=os.environ.get('EPOCHS'))", ()),
    ],
)
def test_environment_variables_that_may_decide_are_told(line: str, variables: tuple[str, ...]) -> None:
    """What nobody recorded may have been set: rule 11. Those of machines, and an option's own default, are no news."""
    assert read_interface(f"{HEAD}{line}\n").variables == variables
