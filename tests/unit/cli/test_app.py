"""The command line exits with codes that mean something, and says of every error the cause and the remedy."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from runner import __version__, interrupts
from runner.cli.plan import plan as plan_command
from runner.cli.reproduce import reproduce as reproduce_command
from runner.errors import EngineUnavailable, InternalError, MissingFact, RunnerError, RunNotFound
from tests.unit.cli.conftest import Types

MAIN = "from runner.cli.app import main; main()"


@pytest.fixture
def planning(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has `runner plan` raise something, or do it."""

    def planning(what: BaseException | Any) -> None:
        def plan_run(*_: Any, **__: Any) -> Any:
            if isinstance(what, BaseException):
                raise what
            return what()

        monkeypatch.setattr("runner.planning.plan_run", plan_run)

    return planning


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["nope"], "nope"),
            (["plan"], "run"),
            (["plan", "--nope", "x"], "--nope"),
            (["plan", "x", "--rtol"], "--rtol"),
            (["--nope"], "--nope"),
            (["setup", "--all"], "--all"),
            (["setup", "--older-than", "30d"], "--older-than"),
            (["setup", "--keep-size", "20g"], "--keep-size"),
            (["setup", "--dry-run"], "--dry-run"),
            (["setup", "--prune", "--older-than", "soon"], "--older-than"),
            (["setup", "--prune", "--keep-size", "much"], "--keep-size"),
            (["setup", "--save", "a", "--load", "b"], "--load"),
            (["setup", "--prune", "--save", "a"], "--save"),
        ],
    )
    def test_what_cannot_be_meant_is_exit_2_with_a_remedy(self, types: Types, arguments: list[str], named: str) -> None:
        said = types(*arguments)
        assert (said.code, said.out) == (2, "")
        cause, remedy = said.err.splitlines()
        assert cause.startswith("error: ")
        assert named in cause
        assert remedy.startswith("  try: runner ")

    def test_the_remedy_for_a_command_that_is_none_is_a_command_that_is_one(self, types: Types) -> None:
        assert types("nope").err.splitlines()[-1] == "  try: runner --help"
        assert types("plan").err.splitlines()[-1] == "  try: runner plan --help"

    def test_without_arguments_help_is_printed_and_nothing_was_run(self, types: Types) -> None:
        said = types()
        assert said.code == 2
        assert "reproduce" in said.out + said.err

    def test_where_no_tracker_is_named_the_remedy_names_one(self, types: Types) -> None:
        said = types("plan", "ab12")
        assert said.code == 2
        assert "--tracker" in said.err

    def test_where_a_missing_fact_was_looked_for_is_said_as_text_and_as_a_document(
        self, types: Types, planning: Any
    ) -> None:
        searched = {"looked_in": ("/srv/a: no such commit", "/srv/b: cut"), "nearest": ("4be0d11",)}
        planning(MissingFact("the commit is nowhere", "--repo URL", fact="commit", **searched))
        said = types("plan", "x", "--tracker", "t")
        assert said.err.splitlines() == [
            "error: the commit is nowhere",
            "  looked in: /srv/a: no such commit",
            "  looked in: /srv/b: cut",
            "  nearest: 4be0d11",
            "  try: --repo URL",
        ]
        document = types("plan", "x", "--tracker", "t", "--json").error
        assert (document["looked_in"], document["nearest"]) == (list(searched["looked_in"]), ["4be0d11"])


class TestJson:
    def test_an_error_is_one_document_with_exactly_its_fields(self, types: Types, planning: Any) -> None:
        planning(EngineUnavailable("no engine answers", "runner setup --install-engine"))
        said = types("plan", "x", "--tracker", "t", "--json")
        assert said.code == 5
        assert said.error == {
            "code": 5,
            "kind": "engine-unavailable",
            "cause": "no engine answers",
            "remedy": "runner setup --install-engine",
            "retryable": True,
        }
        assert said.err == ""

    def test_a_usage_error_is_a_document_too(self, types: Types) -> None:
        said = types("nope", "--json")
        assert (said.code, said.error["code"], said.error["kind"], said.error["retryable"]) == (2, 2, "usage", False)

    def test_a_bug_of_ours_is_a_document_too(self, types: Types, planning: Any) -> None:
        planning(ValueError("x"))
        said = types("plan", "x", "--tracker", "t", "--json")
        assert (said.code, said.error["code"], said.error["kind"]) == (70, 70, "internal")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interruption_is_a_document_too(self, types: Types, planning: Any, number: signal.Signals) -> None:
        planning(lambda: os.kill(os.getpid(), number))
        said = types("plan", "x", "--tracker", "t", "--json")
        assert (said.code, said.error["code"], said.error["kind"]) == (128 + number, 128 + number, "interrupted")

    def test_the_option_of_another_program_is_not_ours(self, types: Types, planning: Any) -> None:
        planning(RunNotFound("no run", "look"))
        said = types("plan", "x", "--tracker", "t", "--", "python", "train.py", "--json", "--debug")
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines() == ["error: no run", "  try: look"]

    def test_a_text_that_is_no_unicode_does_not_break_the_document(self, types: Types, planning: Any) -> None:
        planning(RunNotFound("caf\udce9 \x1b[31m", "look"))
        assert types("plan", "x", "--tracker", "t", "--json").error["cause"] == "caf\udce9 \x1b[31m"


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (RunNotFound("no run", "look"), 2),
            (MissingFact("no data", "--remote URL", fact="data"), 3),
            (EngineUnavailable("no engine", "runner setup"), 5),
            (InternalError("a bug", "report it"), 70),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_each_error_is_its_code_and_two_lines(
        self, types: Types, planning: Any, error: RunnerError, code: int
    ) -> None:
        planning(error)
        said = types("plan", "x", "--tracker", "t")
        assert (said.code, said.out) == (code, "")
        assert said.err.splitlines() == [f"error: {error.cause}", f"  try: {error.remedy}"]

    @pytest.mark.parametrize(
        "error",
        [ValueError("x"), KeyError("x"), SystemExit(0), SystemExit(1), AssertionError(), RecursionError()],
        ids=repr,
    )
    def test_a_bug_of_ours_is_70_and_never_a_verdict(self, types: Types, planning: Any, error: BaseException) -> None:
        planning(error)
        said = types("plan", "x", "--tracker", "t")
        assert (said.code, said.out) == (70, "")
        assert type(error).__name__ in said.err
        assert "--debug" in said.err

    def test_a_bug_of_ours_tells_no_secret(self, types: Types, planning: Any) -> None:
        planning(ValueError("cannot read https://ann:hunter2@tracker.example"))
        assert "hunter2" not in types("plan", "x", "--tracker", "t").err

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_of_this_host_may_be_tried_again(self, types: Types, planning: Any, number: int) -> None:
        planning(OSError(number, os.strerror(number)))
        assert types("plan", "x", "--tracker", "t").code == 5

    @pytest.mark.parametrize(
        "error", [RunNotFound("no run", "look"), ValueError("x"), EngineUnavailable("x", "y")], ids=repr
    )
    def test_a_traceback_is_shown_with_debug_and_nowhere_else(
        self, types: Types, planning: Any, error: Exception
    ) -> None:
        planning(error)
        assert "Traceback" not in types("plan", "x", "--tracker", "t").err
        assert "Traceback" not in types("plan", "x", "--tracker", "t", "-q", "--json").err
        shown = types("plan", "x", "--tracker", "t", "--debug")
        assert "Traceback (most recent call last)" in shown.err
        assert f"{type(error).__name__}: " in shown.err
        assert shown.err.splitlines()[-1].startswith("  try: ")
        assert "Traceback" not in types("plan", "x", "--tracker", "t").err, "the next command has its own"

    def test_a_traceback_does_not_disturb_the_document(self, types: Types, planning: Any) -> None:
        planning(RunNotFound("no run", "look"))
        said = types("plan", "x", "--tracker", "t", "--debug", "--json")
        assert said.error["cause"] == "no run"
        assert "Traceback" in said.err

    def test_an_error_of_usage_has_a_traceback_with_debug_too(self, types: Types) -> None:
        assert "Traceback" in types("plan", "--nope", "--debug").err


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
    )
    def test_a_signal_runs_every_finally_and_has_its_code(
        self, types: Types, planning: Any, number: signal.Signals, code: int
    ) -> None:
        cleaned: list[str] = []

        def interrupted() -> None:
            try:
                os.kill(os.getpid(), number)
            finally:
                cleaned.append("finally")
                os.kill(os.getpid(), number)  # an impatient second one breaks nothing off
                cleaned.append("all of it")

        planning(interrupted)
        said = types("plan", "x", "--tracker", "t")
        assert (said.code, cleaned) == (code, ["finally", "all of it"])
        assert number.name in said.err
        assert "Traceback" not in said.err

    def test_a_signal_that_was_swallowed_on_its_way_is_not_lost(self, types: Types, planning: Any) -> None:
        def swallowing() -> None:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception as error:
                raise ValueError("something else") from error

        planning(swallowing)
        assert types("plan", "x", "--tracker", "t").code == 143

    def test_what_was_noted_is_undone(self, types: Types, planning: Any) -> None:
        undone: list[int] = []

        def interrupted() -> None:
            interrupts.note(lambda: undone.append(1))
            interrupts.note(lambda: undone.append(2))
            os.kill(os.getpid(), signal.SIGTERM)

        planning(interrupted)
        assert types("plan", "x", "--tracker", "t").code == 143
        assert undone == [2, 1]


class TestStreams:
    @staticmethod
    def shell(line: str, *, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        command = line.replace("RUNNER", f"'{sys.executable}' -c '{MAIN}'")
        return subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)

    @pytest.mark.parametrize("arguments", ["--help", "--version", "plan nope --tracker /nonexistent --json"])
    def test_a_closed_pipe_is_141_and_says_nothing(self, arguments: str) -> None:
        done = self.shell(f"RUNNER {arguments} | true; echo ${{PIPESTATUS[0]}}")
        assert (done.stdout, done.stderr) == ("141\n", "")

    def test_closed_standard_output_is_141(self) -> None:
        done = self.shell("RUNNER --version >&-; echo $? >&2")
        assert done.stderr == "141\n"

    def test_closed_standard_error_puts_nothing_on_standard_output(self) -> None:
        done = self.shell("RUNNER plan nope --tracker /nonexistent 2>&-; echo $?")
        assert done.stdout == "2\n"

    def test_a_full_disk_under_standard_output_is_never_a_verdict(self) -> None:
        done = self.shell("RUNNER plan nope --tracker /nonexistent --json > /dev/full; echo $? >&2")
        assert done.stderr == "5\n"


class TestCommandAfterDashes:
    @pytest.fixture
    def planned(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The settings with which something would have been planned."""
        asked: list[Any] = []

        def plan_run(run: str, settings: Any, **_: Any) -> Any:
            asked.append((run, settings))
            raise RunNotFound("no run", "look")

        monkeypatch.setattr("runner.planning.plan_run", plan_run)
        return asked

    def test_what_comes_after_dashes_is_the_command_word_by_word(self, types: Types, planned: list[Any]) -> None:
        types("plan", "x", "--tracker", "t", "--", "python", "train.py", "--note", "a b", "-q", "--", "--rtol=1")
        ((run, settings),) = planned
        assert run == "x"
        assert settings.command == "python train.py --note 'a b' -q -- --rtol=1"

    def test_options_may_stand_before_and_after_the_run(self, types: Types, planned: list[Any]) -> None:
        types("plan", "--tracker", "t", "x", "--rtol", "0.5", "--", "make")
        ((run, settings),) = planned
        assert (run, settings.command, settings.policy.rtol) == ("x", "make", 0.5)

    def test_without_dashes_nothing_is_given(self, types: Types, planned: list[Any]) -> None:
        types("plan", "x", "--tracker", "t")
        types("plan", "x", "--tracker", "t", "--")
        assert [settings.command for _, settings in planned] == [None, None]

    @pytest.mark.parametrize(
        "arguments", [["x", "y"], ["x", "python", "train.py"], ["x", "y", "--", "make"], ["x", "y", "z", "--", "a"]]
    )
    def test_a_word_too_many_is_a_typing_error_and_nothing_is_planned(
        self, types: Types, planned: list[Any], arguments: list[str]
    ) -> None:
        said = types("plan", "--tracker", "t", *arguments)
        assert said.code == 2
        assert planned == []
        assert repr(arguments[1])[:-1] in said.err
        assert " -- " in said.err.splitlines()[-1]


class TestHelp:
    def test_the_version_is_said(self, types: Types) -> None:
        said = types("--version")
        assert (said.code, said.out) == (0, f"runner {__version__}\n")

    def test_commands_are_listed_in_their_panels(self, types: Types) -> None:
        said = types("--help")
        assert said.code == 0
        places = [said.out.index(f" {name} ") for name in ("Start", "demo", "setup", "doctor", "One run", "plan")]
        assert places == sorted(places)
        assert "reproduce" in said.out[places[-1] :]

    @pytest.mark.parametrize("name", ["demo", "setup", "doctor", "plan", "reproduce"])
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_each_command_has_help_of_its_own(self, types: Types, name: str, flag: str) -> None:
        said = types(name, flag)
        assert said.code == 0
        assert f"runner {name}" in said.out

    def test_reproduce_says_what_its_exit_codes_mean(self, types: Types) -> None:
        assert "1 diverged" in types("reproduce", "--help").out

    def test_options_that_occur_in_two_commands_mean_the_same(self) -> None:
        plan, reproduce = (inspect.signature(command).parameters for command in (plan_command, reproduce_command))
        assert len(plan.keys() & reproduce.keys()) > 20
        for name in plan.keys() & reproduce.keys():
            assert (plan[name].annotation, plan[name].default) == (reproduce[name].annotation, reproduce[name].default)
