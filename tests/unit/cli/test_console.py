"""Progress goes to standard error: live lines on a terminal, plain lines elsewhere, none where nobody wants them."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner.cli.console import LiveProgress, PlainProgress, ask, open_progress, use_color


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class TestColor:
    def test_a_terminal_has_colours_and_a_pipe_has_none(self) -> None:
        assert use_color(no_color=False, stream=Terminal())
        assert not use_color(no_color=False, stream=io.StringIO())

    def test_no_color_is_heeded_as_an_option_and_as_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not use_color(no_color=True, stream=Terminal())
        monkeypatch.setenv("NO_COLOR", "1")
        assert not use_color(no_color=False, stream=Terminal())
        monkeypatch.setenv("NO_COLOR", "")
        assert use_color(no_color=False, stream=Terminal()), "empty means unset (no-color.org)"

    def test_standard_output_is_what_is_asked_about(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", Terminal())
        assert use_color(no_color=False)


class TestPlain:
    def test_each_thing_that_is_done_is_a_line_on_standard_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        progress = PlainProgress(quiet=False, verbose=False)
        with progress.phase("restore"):
            progress.update("cloning")
            progress.update("verifying", 0, 3)
            progress.update("verifying", 1, 3)
            progress.line("making the image")
        said = capfd.readouterr()
        assert said.out == ""
        *lines, last = said.err.splitlines()
        assert lines == ["  cloning", "  verifying", "making the image"]
        assert last.startswith("restore: done in ")
        assert "\x1b" not in said.err

    def test_a_phase_that_fails_is_not_said_to_be_done(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ValueError, match="x"), PlainProgress(quiet=False, verbose=False).phase("restore"):
            raise ValueError("x")
        assert "done" not in capfd.readouterr().err

    def test_quiet_says_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        progress = PlainProgress(quiet=True, verbose=False)
        with progress.phase("restore"):
            progress.update("cloning")
            progress.line("making the image")
            progress.log(b"epoch 1\n")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("verbose", [True, False])
    def test_the_log_is_passed_on_byte_by_byte_when_asked(
        self, capfdbinary: pytest.CaptureFixture[bytes], verbose: bool
    ) -> None:
        progress = PlainProgress(quiet=False, verbose=verbose)
        progress.log(b"caf\xe9\r")
        progress.log(b"\x00 no line")
        assert capfdbinary.readouterr().err == (b"caf\xe9\r\x00 no line" if verbose else b"")


class TestOpen:
    def test_a_pipe_has_plain_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        with open_progress(quiet=False, verbose=False, no_color=False) as progress:
            assert isinstance(progress, PlainProgress)

    def test_a_terminal_has_live_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", Terminal())
        with open_progress(quiet=False, verbose=False, no_color=False) as progress:
            assert isinstance(progress, LiveProgress)

    @pytest.mark.parametrize(("quiet", "term"), [(True, "xterm"), (False, "dumb")])
    def test_a_terminal_that_wants_none_has_plain_lines(
        self, monkeypatch: pytest.MonkeyPatch, quiet: bool, term: str
    ) -> None:
        monkeypatch.setattr(sys, "stderr", Terminal())
        monkeypatch.setenv("TERM", term)
        with open_progress(quiet=quiet, verbose=False, no_color=False) as progress:
            assert isinstance(progress, PlainProgress)


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Any], None]], str]]:
    """Runs something with a progress on a real pseudo-terminal; returns all that appeared there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    pieces: list[bytes] = []

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:
                return
            if not piece:
                return
            pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    stream = os.fdopen(theirs, "w", encoding="utf-8")

    def run(what: Callable[[Any], None], **options: Any) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            with open_progress(**{"quiet": False, "verbose": False, "no_color": False, **options}) as progress:
                what(progress)
        finally:
            stream.close()
            reader.join(5)
        return b"".join(pieces).decode()

    yield run
    if not stream.closed:
        stream.close()
    reader.join(5)
    os.close(ours)


Live = Callable[..., str]


class TestLive:
    def test_phases_have_a_line_each_that_stays_with_its_time(self, on_a_terminal: Live) -> None:
        def work(progress: Any) -> None:
            assert isinstance(progress, LiveProgress)
            for name in ("restore", "train"):
                with progress.phase(name):
                    progress.update("verifying [bold]x[/bold]", 2, 5)
                    progress._progress.refresh()

        shown = on_a_terminal(work)
        assert "verifying [bold]x[/bold] 2/5" in shown, "texts are no markup"
        last = shown[shown.rindex("restore") :]
        assert "0:00:00" in last
        assert "train" in last
        assert shown.count("✓") >= 2
        assert "\x1b[?25h" in shown[-20:], "the cursor is back"

    def test_an_update_outside_of_a_phase_is_passed_over(self, on_a_terminal: Live) -> None:
        on_a_terminal(lambda progress: progress.update("nothing", 1, 2))

    def test_a_phase_that_fails_is_not_ticked_and_the_terminal_is_given_back(self, on_a_terminal: Live) -> None:
        def work(progress: Any) -> None:
            with pytest.raises(ValueError, match="x"), progress.phase("restore"):
                raise ValueError("x")

        shown = on_a_terminal(work)
        assert "✓" not in shown
        assert "\x1b[?25h" in shown[-20:]

    def test_lines_and_the_log_stand_above_and_are_no_markup(self, on_a_terminal: Live) -> None:
        def work(progress: Any) -> None:
            with progress.phase("train"):
                progress.line("[red]making[/red] the image")
                progress.log(b"epoch [1] caf\xe9\n")

        shown = on_a_terminal(work, verbose=True)
        assert "[red]making[/red] the image" in shown
        assert "epoch [1] caf\ufffd" in shown

    def test_the_log_is_shown_only_when_asked(self, on_a_terminal: Live) -> None:
        assert "epoch" not in on_a_terminal(lambda progress: progress.log(b"epoch 1\n"))

    @pytest.mark.parametrize("options", [{"no_color": True}, {}])
    def test_colours_are_as_asked(self, on_a_terminal: Live, options: dict[str, bool]) -> None:
        def work(progress: Any) -> None:
            with progress.phase("restore"):
                progress._progress.refresh()

        coloured = "\x1b[3" in on_a_terminal(work, **options)
        assert coloured is not options.get("no_color", False)


class TestAsking:
    """A whole terminal is tried in tests/integration/test_credentials.py."""

    @pytest.mark.parametrize(
        ("typed", "answer"),
        [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False), ("yellow\n", False)],
    )
    def test_only_a_yes_is_a_yes(self, monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(typed))
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert ask("Send it?") is answer
        assert sys.stderr.getvalue() == "Send it? [y/N] "

    @pytest.mark.parametrize("piped", ["stdin", "stderr"])
    def test_nobody_is_asked_where_either_stream_is_no_terminal(
        self, monkeypatch: pytest.MonkeyPatch, piped: str
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
        monkeypatch.setattr(sys, "stderr", Terminal())
        monkeypatch.setattr(sys, piped, io.StringIO("y\n"))
        assert ask("Send it?") is False
        assert PlainProgress(quiet=False, verbose=False).ask("Send it?") is False
        assert "Send" not in sys.stderr.getvalue()
