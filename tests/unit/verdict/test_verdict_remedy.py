"""A remedy repeats what was typed: pasted as it is, it gets no stuck where the command before it was already past."""

from __future__ import annotations

import inspect
import re

from runner.cli import options
from runner.settings import Flags, invocation_of, resolve_settings
from runner.verdict.remedy import again
from tests.support.values import make_plan

TRACKER = "--tracker file:///srv/acme/mlruns"


def typed():
    """A plan that was made with many options."""
    flags = Flags(
        commit="9f3c",
        remote="main",
        command="python t.py --x 1",
        with_packages=("torch==2.1", "seaborn"),
        rtol="1e-3",
        metric=("auc",),
        allow=("network", "existing:a b.pkl"),
        timeout="2h",
        warm_start=("w.pt",),
        offline=True,
        out="/tmp/evidence",
    )
    return make_plan(invocation=invocation_of(flags))


def test_what_was_typed_is_typed_again_and_what_a_file_says_is_not():
    settings = resolve_settings(Flags(commit="9f3c"), {}, configuration="python: '3.9'\n")
    assert again(make_plan(invocation=settings.invocation)).split(TRACKER)[1] == " --commit 9f3c"
    assert again(typed()).split(TRACKER)[1].strip() == (
        "--commit 9f3c --remote main --command 'python t.py --x 1' --rtol 1e-3 --metric auc --allow network "
        "--allow 'existing:a b.pkl' --offline --timeout 2h --warm-start w.pt --with torch==2.1 --with seaborn "
        "--out /tmp/evidence"
    )


def test_a_plan_is_asked_for_without_the_options_that_it_does_not_know():
    assert "--out" not in again(typed(), name="plan")


def test_each_option_of_the_command_is_repeated():
    """A flag that settings know and no remedy repeats would be lost without a word."""
    values = {
        name: True if field.annotation is bool else ("v",) if "tuple" in str(field.annotation) else "v"
        for name, field in Flags.model_fields.items()
    }
    written = invocation_of(Flags.model_validate(values)).again("r1")
    flags = {word for word in written.split() if word.startswith("--")} - {"--"}
    shown = set(re.findall(r"--[a-z][a-z-]+", inspect.getsource(options)))
    not_repeated = {"--tracking-uri", "--json", "--all", "--quiet", "--verbose", "--no-color", "--debug"}
    assert flags == shown - not_repeated
    assert written.endswith(" -- v")


def test_a_command_after_dashes_comes_last_and_gives_way_to_another():
    plan = make_plan(invocation=invocation_of(Flags(argv=("python", "a b.py"))))
    assert again(plan, "--keep").endswith(" -- python 'a b.py'")
    assert "--keep" in again(plan, "--keep").split()
    assert "a b.py" not in again(plan, "--command", "make")


def test_a_secret_that_was_typed_leaves_a_placeholder():
    flags = Flags(repo="https://ann:hunter2@git.example/p", command="python t.py --api-key abc123")
    words = again(make_plan(invocation=invocation_of(flags)))
    assert "hunter2" not in words
    assert "abc123" not in words
    assert "https://***@git.example/p" in words


def test_the_remedy_of_a_phase_gets_what_was_typed_and_no_option_twice():
    invocation = invocation_of(Flags(remote="main", with_packages=("numpy==1",), allow=("dirty",)))
    said = invocation.pasted("runner reproduce RUN --remote URL    if another store has these bytes", "r1")
    assert said == (
        "runner reproduce r1 --remote URL --allow dirty --with numpy==1    if another store has these bytes"
    )
    more = invocation.pasted("runner reproduce RUN --with numpy==VERSION    a version that has one", "r1")
    assert more.startswith("runner reproduce r1 --with numpy==VERSION --remote main --allow dirty    ")


def test_what_the_remedy_changes_takes_the_place_of_what_was_typed():
    words = again(typed(), "--with", "torch==2.0", "--commit", "abc", "--allow", "network")
    assert (words.count("torch"), words.count("--commit"), words.count("network"), words.count("seaborn")) == (
        1,
        1,
        1,
        1,
    )
    assert "existing:a b.pkl" in words


def test_of_what_was_recorded_only_the_run_is_named():
    plan = make_plan()
    assert again(plan) == f"runner reproduce {plan.run.id} {TRACKER}"
