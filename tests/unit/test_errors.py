"""Each error has one documented code, a name of its own, a cause and a remedy, and crosses to another process whole."""

from __future__ import annotations

import inspect
import pickle
import re
import signal
from pathlib import Path

import pytest

from runner import errors
from runner.errors import (
    AmbiguousFact,
    AmbiguousRun,
    DiskFull,
    EngineUnavailable,
    ImageUnavailable,
    IndexUnavailable,
    InfrastructureError,
    InternalError,
    Interrupted,
    InvalidConfiguration,
    MissingFact,
    NotAStore,
    NotAuditable,
    NotByThen,
    RemoteUnavailable,
    RepositoryUnavailable,
    RunnerError,
    RunNotFound,
    TrackerUnavailable,
    UsageError,
)
from runner.schema.reproduction import Verdict

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md"
SIGNALS = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
CODES = {
    UsageError: 2,
    RunNotFound: 2,
    AmbiguousRun: 2,
    NotAStore: 2,
    InvalidConfiguration: 2,
    MissingFact: 3,
    AmbiguousFact: 3,
    NotAuditable: 3,
    NotByThen: 3,
    InfrastructureError: 5,
    EngineUnavailable: 5,
    ImageUnavailable: 5,
    TrackerUnavailable: 5,
    RepositoryUnavailable: 5,
    RemoteUnavailable: 5,
    IndexUnavailable: 5,
    DiskFull: 5,
    InternalError: 70,
}


def below(kind: type[RunnerError]) -> list[type[RunnerError]]:
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


TREE = [kind for kind in below(RunnerError) if kind.__module__.startswith("runner.")]


def instance(kind: type[RunnerError]) -> RunnerError:
    if issubclass(kind, Interrupted):
        return kind(signal.SIGTERM)
    if issubclass(kind, MissingFact):
        return kind("no data", "--remote URL", fact="data", looked_in=("main",), nearest=("c0ffee",))
    return kind("it broke", "mend it")


def documented_codes() -> set[int]:
    rows = re.findall(r"^\| ([0-9, ]+) \|", DOCUMENTED.read_text(), re.MULTILINE)
    return {int(code) for row in rows for code in row.split(", ")}


def test_the_table_of_this_test_is_the_whole_tree() -> None:
    assert set(TREE) == {*CODES, Interrupted}


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_error_has_its_code(kind: type[RunnerError], code: int) -> None:
    assert instance(kind).exit_code == code


@pytest.mark.parametrize(("number", "code"), SIGNALS.items(), ids=str)
def test_a_signal_has_the_code_that_shells_give_it(number: signal.Signals, code: int) -> None:
    error = Interrupted(number)
    assert error.exit_code == code
    assert number.name in error.cause


def test_the_document_lists_every_exit_code_and_no_other() -> None:
    closed_pipe = 141
    codes = {*CODES.values(), *SIGNALS.values(), *(verdict.exit_code for verdict in Verdict), closed_pipe}
    assert documented_codes() == codes


def test_no_error_can_be_taken_for_a_verdict_that_compared() -> None:
    assert not {instance(kind).exit_code for kind in TREE} & {0, 1, 4}


def test_each_error_has_a_kind_of_its_own() -> None:
    kinds = [kind.kind for kind in TREE]
    assert all("kind" in vars(kind) or kind is InternalError for kind in TREE)
    assert len(set(kinds)) == len(kinds)
    assert [kind for kind in kinds if not re.fullmatch("[a-z]+(-[a-z]+)*", kind)] == []


def test_only_what_may_help_when_tried_again_is_retryable() -> None:
    assert {kind for kind in TREE if kind.retryable} == {
        kind for kind in TREE if issubclass(kind, (InfrastructureError, Interrupted))
    }


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_error_requires_a_cause_and_a_remedy(kind: type[RunnerError]) -> None:
    if kind is Interrupted:
        return  # it makes both
    parameters = inspect.signature(kind).parameters
    assert [parameters[name].default for name in ("cause", "remedy")] == [inspect.Parameter.empty] * 2
    made = instance(kind)
    assert str(made) == made.cause


def test_an_interruption_says_what_to_do() -> None:
    error = Interrupted(signal.SIGINT)
    assert error.cause
    assert error.remedy


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_error_survives_pickling(kind: type[RunnerError]) -> None:
    made = instance(kind)
    back = pickle.loads(pickle.dumps(made))
    assert type(back) is kind
    assert vars(back) == vars(made)
    assert (str(back), back.exit_code) == (str(made), made.exit_code)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_error_is_drawn_in_the_tree_of_the_module(kind: type[RunnerError]) -> None:
    assert kind.__module__ == errors.__name__, "users meet no error that is defined elsewhere"
    assert re.search(rf"── {kind.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("kind", [RunnerError, *TREE], ids=lambda kind: kind.__name__)
def test_each_error_says_what_it_means(kind: type[RunnerError]) -> None:
    assert vars(kind).get("__doc__")
