"""The report of a container's shell: found whatever pieces it comes in, and nothing else is taken away."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.limits_met import Report


def sieved(report: Report, data: bytes, size: int) -> bytes:
    kept: list[bytes] = []
    feed = report.sieve(kept.append)
    for start in range(0, len(data), size):
        feed(data[start : start + size])
    report.rest(kept.append)
    return b"".join(kept)


@given(
    before=st.lists(st.sampled_from([b"a", b"\0", b".", b":", b"\n"]), max_size=100).map(b"".join),
    after=st.lists(st.sampled_from([b"late", b"\0", b"."])).map(b"".join),
    count=st.sampled_from([b"0", b"1", b"17", b""]),
    refusals=st.sampled_from([b"0", b"3", b""]),
    size=st.integers(1, 50),
)
def test_the_report_is_taken_out_wherever_it_is_cut(
    before: bytes, after: bytes, count: bytes, refusals: bytes, size: int
) -> None:
    report = Report()
    data = before + b"\0" + report._mark.encode() + b":" + count + b":" + refusals + b"." + after
    assert sieved(report, data, size) == before + after
    assert report.killed is (None if not count else count != b"0")
    assert report.refused is (refusals == b"3")


@given(data=st.binary(max_size=300), size=st.integers(1, 50))
def test_without_a_report_all_is_handed_on_and_nothing_is_known(data: bytes, size: int) -> None:
    report = Report()
    assert sieved(report, data, size) == data
    assert report.killed is None


def test_what_cannot_be_the_reports_begin_is_not_held_back() -> None:
    kept: list[bytes] = []
    Report().sieve(kept.append)(b"epoch 1: 50 %\0done")
    assert kept == [b"epoch 1: 50 %\0done"]


@pytest.mark.parametrize(
    ("command", "status"), [(("sh", "-c", "exit 7"), 7), (("no-such-command",), 127), (("true",), 0)]
)
def test_the_shell_ends_as_the_command_did(command: tuple[str, ...], status: int) -> None:
    report = Report()
    done = subprocess.run(report.around(command), capture_output=True, check=False)
    assert done.returncode == status
    assert report._mark.encode() not in sieved(report, done.stderr, 5)


def test_arguments_reach_the_command_as_they_are() -> None:
    said = subprocess.run(
        Report().around(("printf", "%s|", "a b", "$x", "", "'", "*")), capture_output=True, check=True
    )
    assert said.stdout == b"a b|$x||'|*|"
