"""The documents: links lead somewhere, and nothing is promised that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.cli.commands import app
from runner.errors import RunnerError
from runner.schema.reproduction import Verdict
from tests.support.readme import blocks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMANDS = {command.name for command in app.registered_commands}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_name_only_commands_that_exist(document: Path) -> None:
    named = re.findall(r"(?:^|[\s`/])runner ([a-z]+)\b", document.read_text())
    assert {name for name in named if name not in COMMANDS} == set()


def test_each_document_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in seen or document.suffix != ".md":
            continue
        seen.add(document)
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
        waiting += [(document.parent / link).resolve() for link in links if "://" not in link]
    assert {path for path in DOCUMENTS if path not in seen} == set()


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    first_screen = (ROOT / "README.md").read_text()

    def below(kind: type[RunnerError]) -> set[int]:
        own = {kind.exit_code} if "exit_code" in vars(kind) else set()
        return own.union(*(below(child) for child in kind.__subclasses__()))

    for code in below(RunnerError) | {verdict.exit_code for verdict in Verdict} | {129, 130, 143, 141}:
        assert re.search(rf"^\| (.*, )?{code}(, .*)? \|", page, re.MULTILINE), code
        assert re.search(rf"\b{code}\b", first_screen), code


def test_first_screen_has_both_commands_for_a_bare_machine() -> None:
    found = blocks((ROOT / "README.md").read_text())
    assert "pip install ." in found["demo"]
    assert "runner demo --install-engine" in found["demo"]
    assert "pip install '.[test]'" in found["tests"]
    assert "runner setup --install-engine" in found["tests"]
    assert found["tests"].endswith("pytest")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "tests/support/readme.py README.md tests" in (ROOT / ".ci" / "run").read_text()


def test_two_blocks_of_one_name_are_an_error() -> None:
    block = "<!-- command: a -->\n```sh\nx\n```\n"
    assert blocks(block) == {"a": "x"}
    with pytest.raises(ValueError, match="two blocks"):
        blocks(block + block)
