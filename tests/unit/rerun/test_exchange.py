"""The host's side of a phase: events arrive whatever pieces they come in, and every end is told for what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.interface import ContainerOutcome, ContainerRequest, Sink
from runner.errors import (
    DiskFull,
    IndexUnavailable,
    InfrastructureError,
    InternalError,
    MissingFact,
    RemoteUnavailable,
    RepositoryUnavailable,
    RunnerError,
)
from runner.inside import layout, protocol
from runner.progress import NoProgress
from runner.rerun import exchange
from runner.rerun.exchange import call, inside_argv
from tests.support.fake_engine import FakeEngine, Said, Told, lines, note, outcome, result

REQUEST = ContainerRequest(image="tools", argv=inside_argv("restore"), purpose="restore")


def answer(said: Said, **options: Any) -> Any:
    return call(FakeEngine({"restore": said}), REQUEST, **{"payload": {}, "progress": NoProgress(), **options})


def error(kind: str, **fields: Any) -> Said:
    return Said(lines(protocol.PhaseError(kind, fields.pop("cause", "it broke"), **fields).event), outcome=outcome(1))


def test_the_payload_goes_to_standard_input_alone() -> None:
    engine = FakeEngine({"restore": [result(None)]})
    call(engine, REQUEST, payload={"password": "hunter2\n", "n": float("nan")}, progress=NoProgress())
    assert engine.payload("restore")["password"] == "hunter2\n"
    (request,) = engine.requests
    assert "hunter2" not in repr((request.argv, request.environment, request.files))


def test_the_interpreter_inside_is_isolated() -> None:
    python, flag, script, module = inside_argv("collect")
    assert (python, flag, module) == (layout.TOOLS_PYTHON, "-I", "collect")
    assert script.startswith(layout.LIBRARY)


@given(
    size=st.integers(1, 60),
    text=st.text(max_size=20),
    value=st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
)
def test_events_cut_at_any_byte_arrive_whole_and_in_order(size: int, text: str, value: Any) -> None:
    told, notes = Told(), []
    said = lines(
        {"event": "progress", "text": text, "done": 1, "total": 3},
        note("environment", {"key": text}),
        {"event": "progress", "text": "é then", "done": None, "total": None},
        note("output", value),
        result({"value": value, "text": text}),
    )
    got = answer(Said(said, size=size), progress=told, on_note=lambda name, value: notes.append((name, value)))
    assert got == {"value": value, "text": text}
    assert told.said == [text, "é then"]
    assert told.shares == [(1, 3), (None, None)]
    assert notes == [("environment", {"key": text}), ("output", value)]


def keep(kept: list[object]) -> Any:
    return lambda name, value: kept.append((name, value))


def test_the_same_cut_between_any_two_bytes() -> None:
    said = '{"event": "note", "name": "ü", "value": 1}\n\n{"event": "result", "value": "é"}\n'.encode()
    for cut in range(len(said) + 1):
        notes: list[object] = []
        events = exchange._Events(NoProgress(), keep(notes), keep([]))
        events.feed(said[:cut])
        events.feed(said[cut:])
        assert (notes, events.result, events.finished) == ([("ü", 1)], "é", True), cut


def test_a_note_that_nobody_waits_for_is_passed_over() -> None:
    assert answer(Said(lines(note("environment", None), result(7)))) == 7


def test_a_result_of_none_is_a_result() -> None:
    assert answer(Said(lines(result(None)))) is None


def test_infinities_survive() -> None:
    assert answer(Said(lines(result([float("inf"), float("-inf")])))) == [float("inf"), float("-inf")]


def test_a_missing_fact_arrives_with_all_that_it_knows() -> None:
    with pytest.raises(MissingFact) as caught:
        answer(error(protocol.MISSING, remedy="--remote URL", fact="data", looked_in=("main",), nearest=("c0ffee",)))
    missing = caught.value
    assert (missing.cause, missing.remedy, missing.fact) == ("it broke", "--remote URL", "data")
    assert (missing.looked_in, missing.nearest) == (("main",), ("c0ffee",))


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("remote", RemoteUnavailable),
        ("index", IndexUnavailable),
        ("repository", RepositoryUnavailable),
        ("", InfrastructureError),
        ("unheard-of", InfrastructureError),
    ],
)
def test_what_is_unavailable_is_told_by_its_service(service: str, kind: type[InfrastructureError]) -> None:
    with pytest.raises(InfrastructureError) as caught:
        answer(error(protocol.UNAVAILABLE, service=service))
    assert type(caught.value) is kind
    assert caught.value.remedy, "also where the phase knows none"


def test_a_full_disk_is_told() -> None:
    with pytest.raises(DiskFull) as caught:
        answer(error(protocol.DISK_FULL))
    assert "--prune" in caught.value.remedy


@pytest.mark.parametrize("kind", [protocol.INTERNAL, "unheard-of"])
def test_any_other_error_is_a_bug_of_ours(kind: str) -> None:
    with pytest.raises(InternalError, match="it broke"):
        answer(error(kind))


def test_an_event_that_nobody_knows_is_a_bug_of_ours_and_no_result() -> None:
    with pytest.raises(InternalError):
        answer(Said(lines({"event": "hello"}, result(1))))


def test_no_secret_is_in_what_an_error_says() -> None:
    secret = "https://user:~hunter2~@example.org"
    with pytest.raises(MissingFact) as caught:
        answer(
            error(protocol.MISSING, cause=secret, remedy=f"look at {secret}", looked_in=(secret,), nearest=(secret,))
        )
    missing = caught.value
    assert "~" not in repr((missing.cause, missing.remedy, missing.looked_in, missing.nearest))
    with pytest.raises(InternalError) as bug:
        answer(Said(stderr=secret.encode(), outcome=outcome(1)))
    assert "~" not in bug.value.cause
    with pytest.raises(InternalError) as bug:
        answer(Said(f"{secret}\n".encode()))
    assert "~" not in bug.value.cause


@pytest.mark.parametrize(
    "line", [b"hello", b"{", b"[]", b"3", b"null", b'"result"', b"{}", b'{"value": 1}', b"\xff\xfe", b"\x00"]
)
def test_a_line_of_garbage_is_a_bug_of_ours_that_shows_it(line: bytes) -> None:
    with pytest.raises(InternalError, match="no event"):
        answer(Said(line + b"\n" + lines(result(1))))


@pytest.mark.parametrize(
    ("said", "how"),
    [
        (Said(outcome=outcome(137, out_of_memory=True)), "killed for memory"),
        (Said(outcome=outcome(139)), "status 139"),
        (Said(), "status 0"),
        (Said(b'{"event": "result", "value": 1}'), "status 0"),
        (Said(lines({"event": "progress", "text": "cloning"})), "status 0"),
    ],
    ids=["memory", "crash", "nothing", "half-a-line", "progress-alone"],
)
def test_an_end_without_a_result_is_never_a_result(said: Said, how: str) -> None:
    with pytest.raises(InternalError, match=f"the restore container .*{how}"):
        answer(said)


def test_the_end_of_standard_error_is_shown_where_there_is_no_result() -> None:
    with pytest.raises(InternalError) as caught:
        answer(Said(stderr=b"x" * 100_000 + b"\nSegmentation fault\n", outcome=outcome(139), size=999))
    assert caught.value.cause.endswith("Segmentation fault")
    assert len(caught.value.cause) < 1000


def test_standard_error_is_a_log_and_no_failure() -> None:
    assert answer(Said(lines(result(1)), stderr=b"WARNING\n" * 10_000)) == 1


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_LINE_LIMIT", 1000)
    with pytest.raises(InternalError, match="too long"):
        answer(Said(b"x" * 5000, size=100))
    assert answer(Said(lines(*[note("n", "x" * 900)] * 5, result(1)), size=100)) == 1


class Asking:
    """A phase that asks, and keeps what it reads."""

    def __init__(self, *asked: tuple[str, Any]) -> None:
        self.asked = asked
        self.read = b""

    def __call__(self, request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        stdin = iter(request.stdin or ())
        next(stdin)
        stdout(lines(*({"event": "ask", "name": name, "value": value} for name, value in self.asked), result(1)))
        for piece in stdin:
            self.read += piece
            if self.read.count(b"!") == len(self.asked):
                return outcome(0)
        return outcome(1)


def test_what_a_phase_asks_is_answered_in_its_order() -> None:
    phase = Asking(("double", 3), ("say", "x"), ("double", 4))
    answers = {"double": lambda value: [b"%d" % (2 * value), b"!"], "say": lambda value: [value.encode(), b"!"]}
    assert call(FakeEngine({"restore": phase}), REQUEST, payload={}, progress=NoProgress(), answers=answers) == 1
    assert phase.read == b"6!x!8!"


def test_what_an_answer_raises_ends_the_input_and_is_raised_in_place_of_the_phases_error() -> None:
    def broken(_: Any) -> Iterator[bytes]:
        yield b"half"
        raise RemoteUnavailable("the folder is gone", "mount it")

    phase = Asking(("objects", None))
    with pytest.raises(RemoteUnavailable, match="the folder is gone"):
        call(FakeEngine({"restore": phase}), REQUEST, payload={}, progress=NoProgress(), answers={"objects": broken})
    assert phase.read == b"half"


def test_a_phase_may_not_ask_for_what_nobody_offers() -> None:
    with pytest.raises(InternalError, match="asked for 'secrets'"):
        call(FakeEngine({"restore": Asking(("secrets", None))}), REQUEST, payload={}, progress=NoProgress())


@pytest.mark.parametrize("kind", [protocol.MISSING, protocol.UNAVAILABLE, protocol.INTERNAL, None])
def test_no_error_repeats_a_key_that_was_sent(kind: str | None) -> None:
    """Not even where a library puts one into its own text, which no pattern would recognise."""
    text = "the key AKIAXYZ with wJalrXUtnFEMI was refused"
    if kind is None:
        said = Said(stderr=text.encode(), outcome=outcome(1))
    else:
        said = error(kind, cause=text, remedy=text, looked_in=(text,), nearest=(text,))
    with pytest.raises(RunnerError) as caught:
        answer(said, secrets=("AKIAXYZ", "wJalrXUtnFEMI"))
    shown = repr((str(caught.value), vars(caught.value)))
    assert "was refused" in shown
    assert "AKIAXYZ" not in shown
    assert "wJalr" not in shown
