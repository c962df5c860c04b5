"""Settings: flags > environment > runner.yaml > defaults; facts of the commit; all problems at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runner.errors import InvalidConfiguration
from runner.schema.configuration import ALLOWANCES, Configuration, LimitsSection, PolicySection, Section
from runner.schema.notation import cpus_in, parse_bytes, parse_cpus, parse_duration, parse_pointer, parse_relative_path
from runner.settings import (
    Flags,
    facts_of_commit,
    load_settings,
    read_configuration,
    read_policy,
    resolve_settings,
    with_policy_of_commit,
)
from tests.support.facts import settings

DIGEST = "0123456789abcdef0123456789abcdef"
DOC = Path(__file__).parents[2] / "docs" / "reference" / "runner-yaml.md"


def problems(**flags: Any) -> str:
    yaml = flags.pop("yaml", None)
    policy = flags.pop("policy_text", None)
    with pytest.raises(InvalidConfiguration) as caught:
        resolve_settings(Flags(**flags), {}, configuration=yaml, policy=policy)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value.cause


def test_flags_win_over_the_environment_and_this_over_the_file() -> None:
    yaml = "tracker: file\nregistry_uri: file\n"
    environment = {"MLFLOW_TRACKING_URI": "variable", "MLFLOW_REGISTRY_URI": "variable"}
    order = [
        resolve_settings(Flags(tracker="flag", registry_uri="flag"), environment, configuration=yaml),
        resolve_settings(Flags(), environment, configuration=yaml),
        resolve_settings(Flags(), {}, configuration=yaml),
        resolve_settings(Flags(), {}),
    ]
    assert [(found.tracker, found.registry_uri) for found in order] == [
        ("flag", "flag"),
        ("variable", "variable"),
        ("file", "file"),
        (None, None),
    ]
    assert [found.source("tracker") for found in order] == [
        "--tracker",
        "MLFLOW_TRACKING_URI",
        "tracker in runner.yaml",
        "default",
    ]


@pytest.mark.parametrize(
    ("flags", "yaml", "name", "value", "source"),
    [
        ({"repo": "x"}, "repo: y", "repo", "x", "--repo"),
        ({}, "repo: y", "repo", "y", "repo in runner.yaml"),
        ({"base_image": "x"}, "base_image: y", "base_image", "x", "--base-image"),
        ({"offline": True}, "", "offline", True, "--offline"),
        ({}, "offline: true", "offline", True, "offline in runner.yaml"),
        ({"commit": "x"}, "", "commit", "x", "--commit"),
        ({"keep": True}, "", "keep", True, "--keep"),
        ({"out": "x"}, "out: y", "out", "x", "--out"),
        ({}, "python: 3.10", "python", "3.10", "python in runner.yaml"),
        ({"python": "3.9.2"}, "python: 3.10", "python", "3.9", "--python"),
        ({}, "with: a==1", "with_packages", ("a==1",), "with in runner.yaml"),
        ({"timeout": "1h"}, "limits: {timeout: 1m}", "timeout_s", 3600.0, "--timeout"),
        ({}, "limits: {memory: 1g}", "memory_bytes", 1 << 30, "limits.memory in runner.yaml"),
        ({}, "limits: {cpus: 2}", "cpuset", "0-1", "limits.cpus in runner.yaml"),
        ({"pids_limit": "7"}, "limits: {pids: 8}", "pids", 7, "--pids-limit"),
        ({}, "limits: {pids: 8}", "pids", 8, "limits.pids in runner.yaml"),
        ({"shm_size": "1m"}, "", "shm_bytes", 1 << 20, "--shm-size"),
        ({"gpus": "all"}, "limits: {gpus: 2}", "gpus", "all", "--gpus"),
        ({}, "limits: {gpus: 2}", "gpus", "2", "limits.gpus in runner.yaml"),
        ({"gpus": '"device=0,GPU-1a"'}, "", "gpus", "device=0,GPU-1a", "--gpus"),
        ({"gpus": "0"}, "", "gpus", "none", "--gpus"),
        ({}, "tags: {model: m}", "model_tags", ("m",), "tags.model in runner.yaml"),
        ({}, f"pointers: {{{DIGEST}: a}}", "pointers", {f"md5:{DIGEST}": "a"}, "pointers in runner.yaml"),
        ({"pointer": (f"{DIGEST}=b",)}, "", "pointers", {f"md5:{DIGEST}": "b"}, "--pointer"),
    ],
)
def test_each_setting_knows_its_source(flags: dict[str, Any], yaml: str, name: str, value: Any, source: str) -> None:
    found = settings(yaml=yaml, **flags)
    assert (getattr(found, name), found.source(name)) == (value, source)


def test_a_flag_for_a_digest_wins_over_the_file_and_both_are_named() -> None:
    found = settings(yaml=f"pointers: {{{DIGEST}: a}}", pointer=(f"{DIGEST}=b",))
    assert found.pointers == {f"md5:{DIGEST}": "b"}
    assert found.source("pointers") == "--pointer and pointers in runner.yaml"


def test_policy_comes_of_flags_over_the_file_and_names_its_source() -> None:
    yaml = "policy: {rtol: 1e-3, atol: 0.5, metrics: {auc: {rtol: 0}}, only: a, allow: [network, 'existing:x/y']}"
    found = settings(
        yaml=yaml,
        rtol="1e-9",
        metric=("auc", "loss"),
        allow=("dirty, cached", "network"),
        warm_start=("m.pkl",),
        require="identical",
        require_complete=True,
    ).policy
    assert (found.rtol, found.atol, found.only) == (1e-9, 0.5, ("auc", "loss"))
    assert found.tolerance("auc") == (0.0, 0.5)
    assert found.allow == ("network", "existing", "dirty", "cached")
    assert found.allow_existing == ("x/y",)
    assert (found.warm_start, found.require, found.require_complete) == (("m.pkl",), "identical", True)
    assert found.source == "--rtol, --metric, --warm-start, --require, --require-complete, --allow, runner.yaml"
    assert settings().policy.source == "default"
    assert settings(allow=("dirty",)).allows("dirty")


def test_upload_times_are_read_from_the_file_that_a_flag_or_the_configuration_names(tmp_path: Path) -> None:
    (tmp_path / "dates.csv").write_text("six-1.16.0.tar.gz,2021-05-05T14:18:17Z\n")
    (tmp_path / "runner.yaml").write_text("index_dates: dates.csv\n")
    found = load_settings(Flags(), {}, tmp_path)
    assert found.upload_times is not None
    assert found.upload_times.times == {"six-1.16.0.tar.gz": "2021-05-05T14:18:17Z"}
    assert found.source("index_dates") == "index_dates in runner.yaml"
    (tmp_path / "other.csv").write_text("six-1.16.0.tar.gz,yesterday\n")
    with pytest.raises(InvalidConfiguration, match=r"--index-dates other\.csv: line 1: 'yesterday' is no time"):
        load_settings(Flags(index_dates="other.csv"), {}, tmp_path)
    with pytest.raises(InvalidConfiguration, match="cannot be read: No such file"):
        load_settings(Flags(index_dates="gone.csv"), {}, tmp_path)


def test_a_policy_file_replaces_that_of_the_configuration_as_a_whole() -> None:
    for text in ("rtol: 0.25\n", "policy:\n  rtol: 0.25\n"):
        found = resolve_settings(Flags(policy="p.yaml"), {}, configuration="policy: {atol: 9}", policy=text).policy
        assert (found.rtol, found.atol, found.source) == (0.25, 0.0, "--policy p.yaml")


def test_all_problems_of_flags_and_files_are_told_at_once() -> None:
    text = problems(
        yaml="comand: x\nlimits:\n  memory: huge\n",
        policy="p.yaml",
        policy_text="rtoll: 1\n",
        python="two",
        rtol="-1",
        atol="much",
        timeout="soon",
        cpus="1.5",
        pids_limit="0",
        pointer=("nonsense",),
        warm_start=("/abs",),
        require="perfect",
        allow=("netwrk", "existing"),
        command="x",
        argv=("y",),
    )
    for words in (
        "runner.yaml has 2 problems",
        "line 1: unknown key 'comand'; did you mean 'command'?",
        "line 3: limits.memory",
        "p.yaml has a problem",
        "'rtol'",
        "--python",
        "--rtol",
        "--atol",
        "--timeout",
        "--cpus",
        "--pids-limit",
        "--pointer",
        "--warm-start",
        "--require",
        "did you mean network?",
        "existing needs the path",
        "--command and a command after --",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (
            "policy:\n  metrics:\n    auc: {rtoll: 1}",
            "line 3: unknown key 'policy.metrics.auc.rtoll'; did you mean 'rtol'?",
        ),
        ("policy:\n  ignor: [a]", "did you mean 'ignore'?"),
        ("zzz: 1", "unknown key 'zzz'"),
        ("python: two", "line 1: python: 'two' is not a Python version"),
        ("command: true", "put it in quotes"),
        ("tags: [a]", "must be a mapping"),
        ("policy: {rtol: nan}", "a finite number"),
        ("policy: {rtol: true}", "a number"),
        ("policy: {rtol: x}", "not a number"),
        ("policy: {rtol: -1}", "greater than or equal to 0"),
        ("policy: {require: best}", "'identical' or 'reproduced'"),
        ("policy: {allow: {a: b}}", "text or a list of texts"),
        ("policy: {require_complete: maybe}", "true or false"),
        ("limits: {pids: many}", "a whole number"),
        ("limits: {timeout: -1}", "not a duration"),
        ("working_directory: ../x", "not a path inside"),
        ("pointers: {xyz: a}", "is not a md5 digest"),
        ("command: a\ncommand: b", "line 2: key 'command' occurs twice"),
        ("a: &x b\nb: *x", "aliases"),
        ("? [a]\n: b", "a key must be plain text"),
        ("- a", "must be a mapping of keys"),
        ("a: [", "is not YAML"),
        ("a: \x01", "is not YAML"),
        ("[" * 99 + "]" * 99, "nested too deeply"),
        ("#" * (1 << 21), "longer than"),
    ],
)
def test_each_mistake_is_told_with_its_line_and_what_was_meant(yaml: str, words: str) -> None:
    assert words in problems(yaml=yaml)


def test_a_secret_in_a_mistake_is_hidden() -> None:
    assert "hunter2" not in problems(yaml="python: https://ann:hunter2@host/x")


def test_empty_sections_and_documents_say_nothing() -> None:
    assert read_configuration("") == read_configuration("policy:\ntracker:\n") == Configuration()


def test_numbers_and_digests_are_taken_as_they_are_written() -> None:
    digits = "0" * 31 + "1"
    found = read_configuration(f"python: 3.10\npolicy: {{rtol: 1e-6}}\npointers: {{{digits}: a}}\n")
    assert (found.python, found.policy.rtol, found.pointers) == ("3.10", 1e-6, {f"md5:{digits}": "a"})


def test_the_file_is_read_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "runner.yaml").write_text("repo: x\npolicy: {rtol: 0.5}\n", encoding="utf-8")
    (tmp_path / "strict.yaml").write_text("rtol: 0\n", encoding="utf-8")
    found = load_settings(Flags(policy="strict.yaml"), {}, tmp_path)
    assert (found.repo, found.policy.rtol, found.folder) == ("x", 0.0, str(tmp_path))
    assert load_settings(Flags(), {}, tmp_path / "nowhere").repo is None


def test_files_that_cannot_be_read_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="No such file"):
        load_settings(Flags(policy="gone.yaml"), {}, tmp_path)
    (tmp_path / "runner.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration, match="UTF-8"):
        load_settings(Flags(), {}, tmp_path)


def test_the_commit_supplies_facts_and_no_terms() -> None:
    text = f"""
command: python t.py
working_directory: src
python: 3.9
environment: r.txt
pointers: {{{DIGEST}: a.csv}}
tags: {{data: d, model: m}}
policy: {{rtol: 0.5, allow: network, warm_start: m.pkl}}
"""
    facts = facts_of_commit(text)
    assert (facts.command, facts.working_directory, facts.python) == ("python t.py", "src", "3.9")
    assert (facts.environment, facts.pointers) == ("r.txt", {f"md5:{DIGEST}": "a.csv"})
    assert (facts.data_tags, facts.model_tags) == (("d",), ("m",))
    assert facts.policy is None
    allowed = facts_of_commit(text, allow_policy=True).policy
    assert allowed is not None
    assert (allowed.rtol, allowed.allow, allowed.warm_start) == (0.5, (), ())


def test_a_file_of_another_tool_supplies_nothing_and_says_why() -> None:
    facts = facts_of_commit("runner:\n  threads: 4\n")
    assert facts.command is None
    assert "was not used" in (facts.problem or "")
    assert facts_of_commit(None).problem is None


def test_the_auditors_terms_win_over_those_of_the_commit() -> None:
    text = "policy: {rtol: 0.5, atol: 0.5, metrics: {a: {rtol: 0.5}, b: {}}, require_complete: true}"
    mine = settings(yaml="policy: {atol: 0.1, metrics: {a: {rtol: 0.2}}}", allow=("policy",)).policy
    found = with_policy_of_commit(mine, facts_of_commit(text, allow_policy=True))
    assert (found.rtol, found.atol, found.metrics["a"].rtol) == (0.5, 0.1, 0.2)
    assert "b" in found.metrics
    assert found.require_complete
    assert found.source == "--allow, runner.yaml, runner.yaml at the commit (--allow policy)"
    assert with_policy_of_commit(mine, facts_of_commit(text)) == mine


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("1k", 1024), ("8g", 8 << 30), ("1.5GB", 3 << 29), ("2MiB", 2 << 20), ("1t", 1 << 40)],
)
def test_sizes_are_dockers(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), ("1h5s", 3605)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "cpuset"), [("4", "0-3"), ("1", "0"), ("2.0", "0-1"), ("1-2,5", "1-2,5"), ("0", None)]
)
def test_processors_become_a_set(text: str, cpuset: str | None) -> None:
    if cpuset is None:
        with pytest.raises(ValueError, match="none"):
            parse_cpus(text)
    else:
        assert parse_cpus(text) == cpuset


def test_a_set_of_processors_is_counted() -> None:
    assert [cpus_in(text) for text in ("0", "0-3", "0,2", "0-1,1-2")] == [1, 4, 2, 3]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_bytes, "0"),
        (parse_bytes, "big"),
        (parse_duration, "0s"),
        (parse_duration, "1m1h"),
        (parse_cpus, "0.5"),
        (parse_cpus, "3-1"),
        (parse_relative_path, "C:/x"),
        (parse_relative_path, "a/../b"),
        (parse_pointer, DIGEST),
        (parse_pointer, "abc"),
    ],
)
def test_what_cannot_be_meant_is_refused(parse: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse(text)


def keys_of(model: type[Section]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def test_every_example_of_the_documentation_is_valid() -> None:
    blocks = re.findall(r"```yaml( policy)?\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for kind, text in blocks:
        if kind:
            read_policy(text, "the example")
        else:
            assert read_configuration(text).limits.timeout == "2h"


def test_every_key_and_allowance_is_documented() -> None:
    text = DOC.read_text(encoding="utf-8")
    keys = {*keys_of(Configuration), *keys_of(PolicySection), *keys_of(LimitsSection)} - {"metrics", "tags"}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
    assert [name for name in ALLOWANCES if f"`{name}`" not in text] == []
