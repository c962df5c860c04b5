"""What a log says is missing of the machine, and which package of Debian's has it."""

from __future__ import annotations

import pytest

from runner.plan.debian import lacked_by_training, packages_of_header, packages_of_linked, packages_of_tool, together

STARTED = '  File "/usr/lib/python3.11/subprocess.py", line 1955, in _execute_child'


def lacked(*lines: str) -> dict[str, tuple[str, ...]]:
    return {each.what: each.packages for each in lacked_by_training(lines)}


@pytest.mark.parametrize(
    ("line", "packages"),
    [
        ("OSError: libgomp.so.1: cannot open shared object file: No such file or directory", ("libgomp1",)),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", ("libgl1",)),
        (
            "ImportError: libgthread-2.0.so.0: cannot open shared object file: No such file or directory",
            ("libglib2.0-0",),
        ),
        ("ImportError: libpq.so.5: cannot open shared object file: No such file or directory", ("libpq5",)),
        ("ImportError: libgdal.so.32: cannot open shared object file: No such file or directory", ("gdal-bin",)),
        ("OSError: sndfile library not found", ("libsndfile1",)),
        ("ImportError: libunheard.so.3: cannot open shared object file: No such file or directory", ()),
    ],
)
def test_a_library_that_the_loader_misses_is_known_by_its_package(line: str, packages: tuple[str, ...]) -> None:
    assert list(lacked("Traceback", line).values()) == [packages]


@pytest.mark.parametrize(
    ("lines", "package"),
    [
        (("/bin/sh: 1: ffmpeg: not found",), "ffmpeg"),
        (("bash: line 1: ffmpeg: command not found",), "ffmpeg"),
        ((STARTED, "FileNotFoundError: [Errno 2] No such file or directory: 'java'"), "default-jre-headless"),
        (("JAVA_HOME is not set",), "default-jre-headless"),
        (("graphviz.backend.execute.ExecutableNotFound: failed to execute PosixPath('dot'), make sure",), "graphviz"),
        (("error: command 'x86_64/gcc' failed: No such file or directory",), "gcc"),
        (
            ("pytesseract.TesseractNotFoundError: tesseract is not installed or it's not in your PATH.",),
            "tesseract-ocr",
        ),
        (("ModuleNotFoundError: No module named 'tkinter'",), "python3-tk"),
    ],
)
def test_a_program_that_is_not_there_is_known_by_its_package(lines: tuple[str, ...], package: str) -> None:
    (packages,) = lacked(*lines).values()
    assert packages[0] == package


@pytest.mark.parametrize(
    "line",
    [
        # A file of that name that was read and not started.
        "FileNotFoundError: [Errno 2] No such file or directory: 'dot'",
        "OSError: ./libmine.so: cannot open shared object file: No such file or directory",
        "OSError: /opt/lib/libgomp.so.1: cannot open shared object file: No such file or directory",
        "ModuleNotFoundError: No module named 'lightgbm'",
        "sh: 1: my-own-tool: not found",
        "KeyError: java: not found",
        "ffmpeg found the stream",
    ],
)
def test_what_is_the_projects_own_is_not_the_machines(line: str) -> None:
    assert lacked(line) == {}


def test_headers_tools_and_libraries_of_builds() -> None:
    assert packages_of_header("libpq-fe.h") == ("libpq-dev",)
    assert packages_of_header("libxml/xpath.h") == ("libxml2-dev",)
    assert packages_of_header("mine/own.h") == ()
    assert packages_of_tool("pg_config") == ("libpq-dev",)
    assert packages_of_tool("make") == ()
    assert packages_of_linked("lapack") == ("libopenblas-dev",)
    assert together(("a", "b=1"), ("b=1", "c")) == "a,b=1,c"
