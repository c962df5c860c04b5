"""docs/verdicts.md stays true: its table names tests that exist and say which rule they hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runner.compare.names import CONSTANT_METRICS, IGNORED_METRICS, IGNORED_PREFIX, RENAMES
from runner.schema.reproduction import Verdict

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
ROWS = re.findall(r"(?m)^\| (\d\d) \| .+ \| `(tests/[^`]+::\w+)` \| (?:`(tests/[^`]+::\w+)`|pure) \|$", PAGE)
TESTS = [(rule, test) for rule, *tests in ROWS for test in tests if test]
RULES = range(1, 30)

# Carried out by containers, or decided by a real MLflow, DVC or store: values alone do not hold these.
ON_THE_ENGINE = {1, 2, 3, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 28, 29}

# What later versions bring, and the word by which the page says so.
LATER = {4: "W&B", 8: "at_least", 9: "predictions", 23: "dvc.lock", 27: "intervals"}


def docstring(path: str, name: str) -> str:
    """Return the docstring of a test, read without importing it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return ast.get_docstring(function) or ""


@pytest.mark.parametrize(("rule", "test"), TESTS)
def test_each_rule_of_the_page_names_a_test_that_says_that_it_holds_it(rule, test):
    path, _, name = test.partition("::")
    assert re.search(rf"(?i)\brules? [\d, and]*\b{rule}\b", docstring(path, name)), "the docstring names the rule"


def test_the_page_has_every_rule_once():
    assert [int(rule) for rule, *_ in ROWS] == list(RULES)


def test_what_containers_carry_out_is_tried_on_the_real_engine():
    held = {int(rule) for rule, _, engine in ROWS if engine}
    assert held >= ON_THE_ENGINE
    assert all("tests/integration/" in engine for _, _, engine in ROWS if engine)


def test_parts_of_rules_that_are_not_offered_yet_are_named():
    (paragraph,) = re.findall(r"(?s)Later versions bring these parts of rules: (.+?)\n\n", PAGE)
    named = dict(re.findall(r"(\d\d) ([^;]+)", paragraph))
    assert {int(rule) for rule in named} == LATER.keys()
    assert all(word in named[f"{rule:02d}"] for rule, word in LATER.items())


@pytest.mark.parametrize("verdict", Verdict)
def test_the_page_has_every_verdict_with_its_exit_code(verdict):
    assert re.search(rf"(?m)^\| {verdict.value} \| .+ \| {verdict.exit_code} \|$", PAGE)


def test_the_page_publishes_the_lists_of_names():
    words = set(re.findall(r"`([^`]+)`", PAGE))
    assert words >= IGNORED_METRICS | CONSTANT_METRICS | {IGNORED_PREFIX}
    for old, new in RENAMES:
        assert f"| `{old}` | `{new}` |" in PAGE
