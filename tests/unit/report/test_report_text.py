"""The screens: golden files, and what they must never show.

`REPRO_WRITE_GOLDEN=1 pytest tests/unit/report` writes the golden files anew; look at the difference before committing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from runner.report.interface import Renderer
from runner.report.markdown import fenced, inline, render_markdown
from runner.report.phrases import (
    allowed,
    curve,
    cut,
    difference,
    log_line,
    number,
    numbers,
    plain,
    plural,
    secret_safe,
    size,
    sparkline,
    timing,
)
from runner.report.plan import render_plan
from runner.report.text import render_text
from runner.schema.comparison import HistoryComparison, MetricComparison, Outcome
from runner.schema.invocation import Invocation
from runner.schema.plan import MetricPolicy, PointerEdit, Policy, Remote
from runner.schema.reproduction import Missing, Verdict
from runner.schema.rerun import Ending, LoadedLibrary
from runner.schema.run_record import Artifact, TextFile
from tests.support.values import (
    AUC,
    DATA,
    captured,
    changed,
    data_file,
    history,
    make_plan,
    make_record,
    make_reproduction,
    make_rerun,
    make_run,
    md5,
    model_file,
    restored,
    written,
)

GOLDEN = Path(__file__).parent / "golden"
EVIDENCE = "reproductions/ab12cd34/latest"
CURVE = [1 / (1 + index / 10) for index in range(50)]
ENVIRONMENT = (TextFile(path="model/requirements.txt", text="scikit-learn==1.4.2\nnumpy==1.26.0\n"),)


def identical():
    """The demo's first case, with more metrics than fit."""
    many = [f"fold_{index}/f1" for index in range(7)]
    record = make_record(
        metrics=(history("auc", AUC), history("loss", CURVE), *(history(name, [0.5]) for name in many))
    )
    logged = [
        captured("auc", AUC),
        captured("loss", CURVE, first=20),
        *(captured(name, [0.5], first=99) for name in many),
    ]
    return make_reproduction(record, None, make_rerun(make_run(metrics=tuple(p for ps in logged for p in ps))))


def reproduced():
    """Within the tolerance, with other bytes of the model."""
    near = [value * (1 + 1e-9) if index > 9 else value for index, value in enumerate(CURVE)]
    record = make_record(metrics=(history("auc", AUC), history("loss", CURVE)))
    run = make_run(metrics=(*captured("auc", AUC), *captured("loss", near, first=20)))
    return make_reproduction(record, None, make_rerun(run, outputs=(written(digest=md5("other")),)))


def diverged():
    """A curve that drifts, an ignored clock, a missing metric, another package, another param."""
    drifted = [value * (1 + max(0, index - 20) / 500) for index, value in enumerate(CURVE)]
    record = make_record(
        metrics=(
            history("auc", AUC),
            history("loss", CURVE),
            history("f1", [0.7]),
            history("epoch_s", [12.1]),
            history("train_time", [3.0]),
            history("fit_time", [3.0]),
        ),
        params={"depth": "8", "rate": "0.1", "host": "gpu-17"},
        environment_files=ENVIRONMENT,
    )
    run = make_run(
        metrics=(*captured("auc", AUC), *captured("loss", drifted, first=20), *captured("epoch_s", [14.8], first=90)),
        params={"depth": "8", "rate": "0.1", "host": "c0ffee"},
    )
    return make_reproduction(record, None, make_rerun(run))


def unverifiable():
    """Data that no store holds."""
    return make_reproduction(
        verdict=Verdict.UNVERIFIABLE,
        reason="its training data is in no store",
        verified=("code: commit 9f3c2e1d0b4a",),
        not_verified=(),
        missing=Missing(
            fact="data",
            cause=f"{DATA} ({md5('data')}) is in no store",
            remedy="runner reproduce ab12cd34 --remote s3://BUCKET/PATH",
            looked_in=('s3://ml-data (remote "main" at the commit, credentials fine)', "local cache"),
            nearest=("with other line endings: no", f"same path at other commits: {md5('older data')} (2023-05)"),
            found_otherwise=("commit, script, command, Python and 61 packages are there",),
        ),
        rerun=None,
        comparison=None,
        stopped_before="train",
        timings={"restore": 0.6},
    )


def failed():
    """A crash, with a log that tries to paint."""
    tail = (
        "epoch 1",
        "\x1b[31mTraceback\x1b[0m (most recent call last):",
        "progress 1%\rprogress 2%",
        "ValueError: no",
    )
    return make_reproduction(rerun=make_rerun(ending=Ending.CRASHED, exit_code=1, log_tail=tail, log_cut=True))


CASES = {
    "identical": identical,
    "reproduced": reproduced,
    "diverged": diverged,
    "unverifiable": unverifiable,
    "failed": failed,
}


def check(name: str, text: str) -> None:
    """Compare a text with its golden file, or write that."""
    path = GOLDEN / name
    if os.environ.get("REPRO_WRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"REPRO_WRITE_GOLDEN=1 writes {path.name} anew"


@pytest.mark.parametrize("name", CASES)
def test_the_screen_of_each_verdict_is_as_agreed(name):
    reproduction = CASES[name]()
    assert reproduction.verdict.value == name
    check(f"{name}.txt", render_text(reproduction, width=120, color=False, evidence_path=EVIDENCE))


def test_every_format_is_a_function_from_a_reproduction_to_text():
    renderers: dict[str, Renderer] = {
        "text": lambda reproduction: render_text(reproduction, width=100, color=False),
        "markdown": render_markdown,
    }
    for name, render in renderers.items():
        first, second = render(identical()), render(identical())
        assert first == second, name
        assert first.endswith("\n"), name


@pytest.mark.parametrize("name", ["diverged", "unverifiable", "failed"])
def test_the_report_is_as_agreed(name):
    check(f"{name}.md", render_markdown(CASES[name]()))


def test_the_screen_of_a_plan_is_as_agreed():
    check("plan.txt", render_plan(make_plan(), width=110))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("width", [20, 80, 100, 200])
def test_the_first_line_has_the_verdict_at_its_left_and_the_exit_code_at_its_right(name, width):
    reproduction = CASES[name]()
    first = render_text(reproduction, width=width, color=False).splitlines()[0]
    assert first.startswith(name.upper() + "  ")
    assert first.endswith(f"  exit {reproduction.verdict.exit_code}")
    assert len(first) == max(width, 60)


@pytest.mark.parametrize("name", CASES)
def test_only_commands_and_paths_to_paste_are_longer_than_the_screen(name):
    for line in render_text(CASES[name](), width=80, color=False).splitlines():
        assert len(line) <= 80 or "runner " in line


@pytest.mark.parametrize("name", CASES)
def test_colour_is_on_the_verdict_alone(name):
    reproduction = CASES[name]()
    dull = render_text(reproduction, width=100, color=False)
    bright = render_text(reproduction, width=100, color=True)
    assert "\x1b" not in dull
    assert bright.count("\x1b[") == 2
    assert re.sub(r"\x1b\[[0-9;]*m", "", bright) == dull


def test_all_shows_what_is_left_out():
    short, whole = (render_text(identical(), width=120, color=False, show_all=show) for show in (False, True))
    assert "3 more, all equal (--all)" in short
    assert "fold_6/f1" not in short
    assert "fold_6/f1" in whole
    assert "(--all)" not in whole


def test_long_lists_are_cut_and_say_so():
    files = tuple(data_file(path=f"data/{index}.csv") for index in range(6))
    outputs = tuple(model_file(path=f"out/{index}.bin", digest=md5(str(index))) for index in range(6))
    rerun = make_rerun(
        make_run(params={}),
        inputs=tuple(restored(path=file.path) for file in files),
        outputs=tuple(written(path=file.path, digest=file.digest) for file in outputs),
    )
    plan = make_plan(files=files + outputs, expected_outputs=(), not_verified=tuple(f"point {n}" for n in range(9)))
    same = make_reproduction(make_record(params={}), plan, rerun)
    text = render_text(same, width=100, color=False)
    assert "2 more, bytes checked (--all)" in text
    assert "2 more (--all)" in text
    other = make_reproduction(make_record(params={f"p{n}": "1" for n in range(6)}), plan, rerun)
    assert "2 more params differ (--all)" in render_text(other, width=100, color=False)
    assert "p5" in render_text(other, width=100, color=False, show_all=True)
    ignored = make_reproduction(
        make_record(metrics=(history("auc", AUC), *(history(f"system/{n}", [1.0]) for n in range(5))))
    )
    assert "3 more ignored (--all)" in render_text(ignored, width=100, color=False)


def test_a_looser_policy_stands_in_the_first_line_of_every_report():
    """rule 08"""
    reproduction = make_reproduction(plan=make_plan(policy=Policy(rtol=0.5)))
    first = render_text(reproduction, width=200, color=False).splitlines()[0]
    assert "looser than default: rtol 0.5" in first
    assert "looser than default: rtol 0.5" in render_markdown(reproduction).splitlines()[0]


@pytest.mark.parametrize("verdict", Verdict)
def test_what_no_rerun_can_show_is_said_in_every_report(verdict):
    """rule 29"""
    report = render_markdown(make_reproduction(verdict=verdict))
    assert "What no rerun can show: a script that logs constants reproduces." in report


def test_what_was_lowered_is_shown_with_the_isolation():
    text = render_text(make_reproduction(plan=make_plan(policy=Policy(allow=("network",)))), width=120, color=False)
    assert re.search(r"isolation +network open, no credentials +--allow network", text)


def test_a_command_to_paste_names_the_repository_that_was_given():
    invocation = Invocation(options=(("--repo", "/srv/my repo"),))
    text = render_text(make_reproduction(plan=make_plan(invocation=invocation)), width=120, color=False)
    assert "--tracker file:///srv/acme/mlruns --repo '/srv/my repo'" in text


def test_a_screen_needs_no_more_than_a_verdict():
    bare = make_reproduction(
        record=None,
        verdict=Verdict.UNVERIFIABLE,
        reason="the run names no commit",
        plan=None,
        rerun=None,
        comparison=None,
        lineage=None,
        timings={},
        not_verified=(),
    )
    bare = changed(bare, record=None, plan=None, rerun=None, comparison=None, missing=None)
    assert render_text(bare, width=80, color=False).splitlines()[0].startswith("UNVERIFIABLE")
    assert "Nothing is left open." in render_markdown(bare)
    for verdict in (Verdict.DIVERGED, Verdict.FAILED):
        assert render_text(changed(bare, verdict=verdict), width=80, color=False)
    without_log = make_reproduction(rerun=make_rerun(exit_code=1, log_tail=()))
    assert "wrote nothing" in render_text(without_log, width=80, color=False)
    no_metrics = make_reproduction(make_record(metrics=()), None, make_rerun(make_run(metrics=())))
    assert "None." in render_markdown(no_metrics)
    assert "model byte-equal" in render_text(no_metrics, width=80, color=False)


# --- hostile text

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07`|<script>alert(1)</script>\u202e\n# big\r| a | b |[x](http://evil.example) *b* _i_ $x$"
)


def hostile():
    """Names, notes, params and logs of somebody who wants to be read otherwise."""
    record = make_record(
        name=HOSTILE,
        metrics=(history(HOSTILE, [0.5]), history("auc", AUC)),
        params={HOSTILE: HOSTILE, "api_token": "hunter2secret", "depth": "8"},
        artifacts=(Artifact(path=HOSTILE, digest=md5("x")),),
    )
    run = make_run(
        name=HOSTILE,
        metrics=(*captured(HOSTILE, [0.7]), *captured("auc", AUC, first=50)),
        params={HOSTILE: "other" + HOSTILE, "api_token": "hunter3secret", "depth": "9"},
    )
    plan = make_plan(command=f"python train.py '{HOSTILE}' --password=hunter2secret", not_verified=(HOSTILE,))
    return make_reproduction(
        record, plan, make_rerun(run, log_tail=(HOSTILE, "```", "````", "token=hunter2secret"), exit_code=0)
    )


def test_nothing_from_outside_reaches_the_terminal_as_a_command():
    for reproduction in (
        hostile(),
        changed(hostile(), verdict=Verdict.FAILED),
        changed(hostile(), verdict=Verdict.IDENTICAL),
    ):
        text = render_text(reproduction, width=120, color=False, show_all=True, evidence_path=HOSTILE)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)
        assert "hunter" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", render_plan(hostile().plan))


def test_nothing_from_outside_changes_the_shape_of_the_report():
    text = render_markdown(hostile())
    prose = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", text)
    assert "<script" not in prose
    assert "hunter" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert "# big" not in [line.strip() for line in text.splitlines()]
    headings = [line for line in prose.splitlines() if line.startswith("#")]
    assert [line for line in headings[1:] if not line.startswith("## ")] == []
    for block in re.findall(r"(?m)(?:^\|.*\n)+", prose):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("- item", "\\- item"),
        ("1. one", "1\\. one"),
        ("# big", "\\# big"),
        ("--- ", "\\--- "),
        ("0.25", "0.25"),
        ("-0.5", "-0.5"),
        ("a_b _c_ d", "a_b \\_c\\_ d"),
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("`x`", "\\`x\\`"),
        ("https://x.example", "https&#58;//x.example"),
        (None, "-"),
    ],
)
def test_markdown_is_escaped_where_it_would_act_and_readable_elsewhere(text, shown):
    assert inline(text) == shown


def test_a_fence_is_longer_than_any_in_the_text():
    assert fenced(["a", "````"]).splitlines()[0] == "`````"
    assert fenced(["a"], "sh").splitlines() == ["```sh", "a", "```"]


# --- phrases


def test_text_from_outside_is_one_line_without_secrets_or_commands():
    assert plain("a\nb\tc\rd\x1b[1m\u202e\U000e0001") == "a\\nb\\tc\\rd\\x1b[1m\\u202e\\U000e0001"
    assert plain("https://bob:pw@x.example/r") == "https://***@x.example/r"
    assert plain("abcdef", 4) == "abc…"
    assert cut("abc", 3) == "abc"
    assert log_line("\x1b[31mred\x1b[0m\r\n") == "red"
    assert log_line("1%\r2%") == "2%"
    assert secret_safe("token", "abc") == "***"
    assert secret_safe("depth", "8") == "8"
    assert secret_safe("depth", None) == "-"


def test_numbers_that_differ_beyond_eight_digits_are_shown_in_full():
    assert numbers(0.25, 0.25) == ("0.25", "0.25")
    assert numbers(1 / 3, 1 / 3 + 1e-16) == (repr(1 / 3), repr(1 / 3 + 1e-16))
    assert numbers(None, 1.0) == ("-", "1")
    assert number(float("nan")) == "nan"


def compared(**fields):
    """A compared metric."""
    values = {
        "name": "m",
        "original": 1.0,
        "rerun": 1.04,
        "outcome": Outcome.OUTSIDE,
        "absolute_difference": 0.04,
        "relative_difference": 0.04,
        "rtol": 1e-6,
    }
    return MetricComparison(**{**values, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "+4 %"),
        ({"rerun": 0.96}, "-4 %"),
        ({"relative_difference": 4e-9}, "+4.0e-09 rel"),
        ({"relative_difference": None}, "+0.04"),
        ({"absolute_difference": 0.0}, "0"),
        ({"rerun": None}, "-"),
    ],
)
def test_a_difference_has_a_direction_and_a_unit(fields, words):
    assert difference(compared(**fields)) == words


def test_a_tolerance_names_its_parts():
    assert allowed(compared()) == "1e-06 rel"
    assert allowed(compared(atol=0.1)) == "1e-06 rel + 0.1 abs"
    assert allowed(compared(rtol=0.0, atol=0.1)) == "0.1 abs"
    assert allowed(compared(rtol=0.0)) == "0 rel"


def curve_of(**fields):
    """The words for a curve."""
    values = {"points_original": 10, "points_rerun": 10, "points_equal": 10, "points_within": 0, "same_steps": True}
    note = fields.pop("note", None)
    return curve(compared(history=HistoryComparison(**{**values, **fields}), note=note))


def test_a_curve_says_how_much_of_it_is_equal_or_where_it_leaves():
    assert curve_of() == "10/10 steps bit-equal"
    assert curve_of(points_equal=7, points_within=3) == "7/10 steps bit-equal, the rest within"
    left = {"points_equal": 4, "first_difference": 4, "first_difference_step": 40, "drift": (0.0, 1.0)}
    assert curve_of(**left) == "outside from step 40 on  ▁█"
    assert curve_of(points_equal=0, first_difference=0, first_difference_step=3) == "outside from the start"
    back = {"points_equal": 7, "points_within": 1, "first_difference": 4, "first_difference_step": 0}
    assert curve_of(**back) == "2/10 points outside, first at step 0"
    assert curve_of(same_steps=False, points_rerun=9, note="n") == "other steps: 10 points recorded, 9 logged; n"
    assert curve_of(points_original=1) == "outside"
    assert curve(compared(outcome=Outcome.MISSING)) == "missing"


def test_a_sparkline_is_scaled_to_its_largest_finite_value():
    assert sparkline(()) == ""
    assert sparkline((0.0, 0.0)) == "▁▁"
    assert sparkline((0.0, 0.5, 1.0, float("inf"))) == "▁▅██"
    assert len(sparkline([float(value) for value in range(100)])) == 8


def test_sizes_counts_and_times_have_units():
    assert [size(count) for count in (None, 5, 212_000_000, 3 * 10**15)] == ["", "5 B", "212 MB", "3e+03 TB"]
    assert [plural(count, "package") for count in (1, 2)] == ["1 package", "2 packages"]
    assert timing(make_reproduction(timings={})) == "15.0 s: restore 0.6 | provision 0.0 cached | train 14.1 | rest 0.3"
    assert timing(changed(make_reproduction(timings={}), rerun=None)) is None


def test_a_plan_shows_each_fact_that_is_not_usual():
    plan = make_plan()
    full = make_plan(
        files=(
            data_file(role="unknown", pointer_state="matches", pointer_digest=None),
            model_file(maybe_previous=True),
        ),
        options_uncovered=("--seed",),
        command_inferred=True,
        variables={"OMP_NUM_THREADS": "4", "API_KEY": "hunter2"},
        environment=changed(
            plan.environment,
            exact=False,
            as_of=make_record().start_time,
            install_project=True,
            repositories=("https://github.com/acme/lib",),
            overrides=("torch==2.1",),
            notes=("a note",),
        ),
        limits=changed(plan.limits, memory_bytes=8 << 30, cpuset="0-1"),
        images=changed(plan.images, base_digest=None),
        remotes=(
            Remote(
                name="main",
                url="s3://bucket",
                source=".dvc/config",
                options={"endpointurl": "https://m.example"},
                confirmed_by="--remote",
            ),
            Remote(name="old", url="s3://old", source=".dvc/config"),
        ),
        pointer_edits=(
            PointerEdit(path="data/train.csv.dvc", text="", created=False),
            PointerEdit(path="models/m.dvc", text="", created=True),
        ),
        policy=Policy(
            metrics={"auc": MetricPolicy(rtol=0.1), "a": MetricPolicy(ignore=True), "b": MetricPolicy(last_only=True)},
            only=("auc",),
            ignore=("loss",),
            allow=("network",),
        ),
    )
    text = render_plan(full, width=160)
    for words in (
        "may be the digest of an earlier version",
        "nothing pins --seed",
        "inferred: ",
        "OMP_NUM_THREADS=4",
        "not pinned, as of 2025-03-02 10:00 UTC",
        "the repository itself is built and installed",
        "packages of https://github.com/acme/lib are fetched without credentials",
        "--with torch==2.1",
        "a note",
        "memory 8 GiB, CPUs 0-1",
        "not made yet",
        "host confirmed by --remote",
        "s3://bucket at https://m.example",
        "without credentials",
        "rewritten in the rerun's clone",
        "created in the rerun's clone",
        "auc: rtol 0.1",
        "only auc",
        "--allow network",
        "open (--allow network)",
    ):
        assert words in text, words
    assert "hunter2" not in text


def test_versions_that_are_there_because_they_were_recorded_are_counted():
    recorded = ("scikit-learn==1.4.2", "not-installed==1.0", "a==1", "b==1", "c==1")
    spec = changed(make_plan().environment, exact=False, constraints=recorded, constraints_source="m/r.txt of the run")
    plan = make_plan(environment=spec)
    reproduction = make_reproduction(None, plan, make_rerun())
    assert ", 1 version as recorded" in " ".join(render_text(reproduction, width=200, color=False).split())
    assert "Where it pins none: 1 version as recorded (m/r.txt of the run)." in render_markdown(reproduction)
    shown = "where it pins none: 5 recorded versions (scikit-learn==1.4.2 not-installed==1.0 a==1 b==1 …)"
    assert f"{shown}  m/r.txt of the run" in render_plan(plan, width=200)


def test_a_plan_shows_the_gpus_that_the_training_gets_and_why():
    limits = changed(make_plan().limits, gpus="all", gpus_source="param device=cuda")
    assert "GPUs: all  param device=cuda" in render_plan(make_plan(limits=limits))
    assert "GPUs" not in render_plan(make_plan())


def test_the_report_shows_what_computed_without_what_markdown_would_obey():
    library = LoadedLibrary(name="numpy.libs/lib|openblas.so", threads=2, kernel="Haswell", version="OpenBLAS 0.3.23")
    rerun = make_rerun(
        capture={"libraries": (library,), "variables": {"OMP_NUM_THREADS": "2"}, "gpus": ("Tesla T4",)},
        hardware=changed(make_rerun().hardware, cpu_flags=("avx2", "fma", "fpu"), compiler="GCC 12.2.0"),
    )
    report = render_markdown(make_reproduction(rerun=rerun))
    assert "| Libraries | numpy.libs/lib\\|openblas.so, 2 threads, code for Haswell, OpenBLAS 0.3.23 |" in report
    assert "| Variables | OMP_NUM_THREADS=2 |" in report
    assert "| CPU flags | 3: avx2 fma |" in report
    assert "| GPUs | Tesla T4 |" in report
    assert "| Compiler of Python | GCC 12.2.0 |" in report
    assert "| GPU | - | Tesla T4 |" in report


@pytest.mark.parametrize(
    ("listed", "kind", "said"),
    [
        ("numpy==1.26.4\n", "uv.lock", ": same as recorded"),
        ("numpy==1.26.4\n", "requirements", ": 1 of 1 recorded packages as recorded"),
        ("numpy==1.26.0\n", "requirements", ": 1 package other than recorded, 0 the same"),
        ("", "requirements", None),
    ],
)
def test_the_screen_says_how_far_the_packages_are_the_recorded_ones(listed, kind, said):
    environment = make_plan().environment
    if kind == "requirements":
        environment = changed(environment, kind=kind, main="list", files={"list": "numpy\n"})
    record = make_record(environment_files=(TextFile(path="m/requirements.txt", text=listed),))
    screen = render_text(make_reproduction(record, make_plan(environment=environment)), width=200, color=False)
    (line,) = [line for line in screen.splitlines() if line.startswith("  environment")]
    assert line.endswith(f"uv.lock at the commit{said or ''}")
