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
ROWS = re.findall(r"(?m)^\| (\d\d) \| .+ \| `(tests/[^`]+)::(\w+)` \|$", PAGE)
DONE = {*range(1, 23), 24, 25, 26, 28}


def docstring(path: str, name: str) -> str:
    """Return the docstring of a test, read without importing it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return ast.get_docstring(function) or ""


@pytest.mark.parametrize(("rule", "path", "name"), ROWS)
def test_each_rule_of_the_page_names_a_test_that_holds_it(rule, path, name):
    assert f"rule {rule}" in docstring(path, name)


def test_the_page_has_every_rule_that_is_decided_on_values():
    assert {int(rule) for rule, _, _ in ROWS} >= DONE


@pytest.mark.parametrize("verdict", Verdict)
def test_the_page_has_every_verdict_with_its_exit_code(verdict):
    assert re.search(rf"(?m)^\| {verdict.value} \| .+ \| {verdict.exit_code} \|$", PAGE)


def test_the_page_publishes_the_lists_of_names():
    words = set(re.findall(r"`([^`]+)`", PAGE))
    assert words >= IGNORED_METRICS | CONSTANT_METRICS | {IGNORED_PREFIX}
    for old, new in RENAMES:
        assert f"| `{old}` | `{new}` |" in PAGE
