"""What uv is told, and what its own words mean; the samples are what uv 0.13 wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.inside.packages import uv as uv_module
from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.uv import (
    Unsatisfiable,
    Uv,
    WheelsNeeded,
    compile_arguments,
    explain,
    install_arguments,
    undated_links,
)
from runner.inside.protocol import PhaseError
from tests.support.lock_files import text as lock_file

WHEELS = """\
error: No solution found when resolving dependencies
  cause: Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude that your \
requirements are unsatisfiable.

hint: Wheels are required for `docopt` because building from source is disabled for all packages (i.e., \
with `--no-build`)
"""
ANY_WHEELS = WHEELS.replace("docopt==0.6.2 has", "all versions of docopt have").replace("docopt==0.6.2", "docopt")
UNKNOWN = """\
error: No solution found when resolving dependencies
  cause: Because nonexistent-package was not found in the package registry and you require nonexistent-package, we can \
conclude that your requirements are unsatisfiable.
"""
CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require requests==2.31.0, we can conclude that \
you require urllib3>=1.21.1,<3.
         And because you require urllib3==1.20, we can conclude that your requirements are unsatisfiable.
"""
ABI = """\
error: No solution found when resolving dependencies
  cause: Because tensorflow==2.4.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require \
tensorflow==2.4.0, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `tensorflow` (v2.4.0) with the following Python \
ABI tags: `cp36m`, `cp37m`, `cp38`
"""
DNS = """\
error: Request failed after 3 retries in 12.0s
  cause: Failed to fetch: https://no-such-host.invalid/simple/six/
  cause: error sending request for url (https://no-such-host.invalid/simple/six/)
  cause: client error (Connect)
  cause: dns error
  cause: error resolving DNS
  cause: failed to lookup address information: Name or service not known
"""
SERVER = """\
error: Request failed after 3 retries in 7.1s
  cause: Failed to fetch: http://127.0.0.1:8766/500/simple/six/
  cause: HTTP status server error (500 Internal Server Error) for url (http://127.0.0.1:8766/500/simple/six/)
"""
CERTIFICATE = """\
error: Failed to fetch: https://pypi.org/simple/six/
  cause: error sending request for url (https://pypi.org/simple/six/)
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer
"""
UNAUTHORISED = """\
error: No solution found when resolving dependencies
  cause: Because six was not found in the package registry and you require six, we can conclude that your requirements \
are unsatisfiable.

hint: An index URL (http://127.0.0.1:8766/401/simple) could not be queried due to a lack of valid authentication \
credentials (401 Unauthorized)
"""
FORBIDDEN = UNAUTHORISED.split("hint:", maxsplit=1)[0] + (
    "hint: An index (http://127.0.0.1:8766/403/simple) returned a 403 Forbidden error. Check that the index URL is "
    "correct and the credentials are valid.\n"
)
OFFLINE = """\
error: No solution found when resolving dependencies
  cause: Because six was not found in the cache and you require six, we can conclude that your requirements are \
unsatisfiable.

hint: Packages were unavailable because the network was disabled. When the network is disabled, registry packages may \
only be read from the cache.
"""
HASH = """\
Resolved 1 package in 30ms
error: Failed to download `six==1.16.0`
  cause: Hash mismatch for `six==1.16.0`

         Expected:
           sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c927

         Computed:
           sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254
"""
UNDATED = """\
warning: `evil-1.0.tar.gz` is missing an upload date, but user provided: 2024-01-01T00:00:00Z
error: No solution found when resolving dependencies
  cause: Because there are no versions of evil and you require evil, we can conclude that your requirements are \
unsatisfiable.
"""
FULL = """\
error: Failed to download `numpy==2.0.0`
  cause: Failed to extract archive: numpy-2.0.0.whl
  cause: failed to write to file `/cache/uv/.tmpx/numpy/a.so`: No space left on device (os error 28)
"""
MALFORMED = """\
error: Couldn't parse requirement in `/tmp/r.in` at position 0
  cause: Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `i`
         this is not a requirement
              ^
"""


ELSEWHERE = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of priv==2.0 and you require priv==2.0, we can conclude that your requirements \
are unsatisfiable.

hint: `priv` was found on https://own.example/simple, but not at the requested version (priv==2.0). A compatible \
version may be available on a subsequent index (e.g., https://pypi.org/simple). By default, uv will only consider \
versions that are published on the first index that contains a given package, to avoid dependency confusion attacks.
"""
OTHER_NAME = """\
error: Failed to install: othern-1.0-py3-none-any.whl (othern==1.0)
  cause: Wheel package name does not match filename (numpy != othern), which indicates a malformed wheel. If this is \
intentional, set `UV_SKIP_WHEEL_FILENAME_CHECK=1`.
"""
LINK = """\
error: Failed to download `symli==1.0`
  cause: Failed to extract archive: symli-1.0-py3-none-any.whl
  cause: I/O operation failed during extraction
  cause: failed to create directory `/tmp/c1/.tmpgOBWVd/symli`: File exists (os error 17)
"""


def event(stderr: str) -> dict[str, object]:
    error = explain(stderr)
    assert isinstance(error, PhaseError), error
    return error.event


@pytest.mark.parametrize(("stderr", "version"), [(WHEELS, "0.6.2"), (ANY_WHEELS, None)])
def test_a_package_without_a_wheel_is_to_be_built(stderr: str, version: str | None) -> None:
    error = explain(stderr)
    assert isinstance(error, WheelsNeeded)
    assert (error.name, error.version) == ("docopt", version)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (UNKNOWN, "no package index knows a package nonexistent-package"),
        (CONFLICT, "requests==2.31.0 depends on urllib3>=1.21.1,<3"),
        (ABI, "tensorflow==2.4.0 has no wheels with a matching Python ABI tag"),
        (HASH, "other bytes of six==1.16.0 than the lock"),
        (UNDATED, "does not say when evil-1.0.tar.gz was uploaded"),
        (MALFORMED, "Couldn't parse requirement"),
        (ELSEWHERE, "priv 2.0 is on pypi.org and not on own.example, an index of your own that knows priv"),
        (OTHER_NAME, "othern-1.0-py3-none-any.whl of the package index is no wheel that can be installed"),
        (OTHER_NAME, "(numpy != othern)"),
        (LINK, "symli==1.0 of the package index is no wheel that can be installed: Failed to extract"),
        ("error: something new\n", "something new"),
    ],
)
def test_what_cannot_be_had_is_a_missing_environment(stderr: str, words: str) -> None:
    found = event(stderr)
    assert (found["kind"], found["fact"]) == ("missing", "environment")
    assert words in str(found["cause"])
    assert found["remedy"]
    assert "\n" not in str(found["cause"])
    assert len(str(found["cause"])) < 600


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (DNS, "no-such-host.invalid could not be used: failed to lookup address information"),
        (SERVER, "500 Internal Server Error"),
        (CERTIFICATE, "pypi.org could not be used: invalid peer certificate: UnknownIssuer"),
        (UNAUTHORISED, "401 Unauthorized"),
        (FORBIDDEN, "403 Forbidden"),
        (OFFLINE, "--offline forbids"),
    ],
)
def test_an_index_that_cannot_be_asked_is_infrastructure_even_where_uv_says_not_found(stderr: str, words: str) -> None:
    found = event(stderr)
    assert (found["kind"], found["service"]) == ("unavailable", "index")
    assert words in str(found["cause"])


def test_a_full_disk_is_a_full_disk() -> None:
    assert event(FULL)["kind"] == "disk-full"


def test_resolving_never_builds_and_dates_where_asked() -> None:
    arguments = compile_arguments(["r.in"], python="/usr/bin/python3", exclude_newer="2024-01-01T00:00:00Z")
    assert "--no-build" in arguments
    assert "--generate-hashes" in arguments
    assert arguments[arguments.index("--exclude-newer") + 1] == "2024-01-01T00:00:00Z"
    assert "--exclude-newer" not in compile_arguments(["r.in"], python="p", exclude_newer=None)


def test_pins_are_taken_whenever_they_were_uploaded() -> None:
    arguments = compile_arguments(["r.in"], python="p", exclude_newer="2024-01-01T00:00:00Z", pinned=("b", "a"))
    exempt = [arguments[index + 1] for index, word in enumerate(arguments) if word == "--exclude-newer-package"]
    assert exempt == ["a=false", "b=false"]


def test_what_came_by_a_link_has_no_upload_time() -> None:
    output = "six==1 \\\n    --hash=sha256:00\n    # from https://pypi.org/simple\n"
    output += "My_Torch==1+cpu \\\n    --hash=sha256:00\n    # from https://****@own.example/links/\n"
    assert undated_links(output, ["https://u:p@own.example/links", "https://other.example"]) == ["my-torch"]
    assert undated_links(output, []) == []


def test_installing_takes_wheels_with_known_hashes_only() -> None:
    assert {"--no-build", "--require-hashes", "--no-deps"} <= set(install_arguments("lock.txt", python="p"))


def test_an_explanation_of_a_conflict_names_its_packages() -> None:
    error = explain(CONFLICT)
    assert isinstance(error, Unsatisfiable)
    assert error.packages >= {"requests", "urllib3"}
    assert error.sentence.startswith("Because requests==2.31.0 depends on urllib3>=1.21.1,<3")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("", "", None),
        ('dependencies = ["click>=8.1,<8.2"', '# why\ndependencies = [\n  "click<8.2,>=8.1"', None),
        ("click>=8.1,<8.2", "click>=8.1", "mismatched requirements for: sums==0.1.0"),
        ('"tabulate[widechars]', '"tabulate', "mismatched requirements for: sums==0.1.0"),
        (">=3.9,<3.14", ">=3.10,<3.14", "change in Python requirement: >=3.9, <3.14 vs. >=3.10, <3.14"),
        ('"iniconfig', '"six", "iniconfig', "mismatched dependency groups for: sums==0.1.0"),
    ],
)
def test_a_lock_is_compared_with_its_project_by_uv_itself(
    before: str, after: str, why: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an index, and whatever the formatting."""
    monkeypatch.setattr(uv_module, "UV", str(Path(sys.executable).with_name("uv")))
    project = tmp_path / "project"
    project.mkdir()
    (project / "uv.lock").write_text(lock_file("uv/uv.lock"))
    (project / "pyproject.toml").write_text(lock_file("uv/pyproject.toml").replace(before, after) or "")
    uv = Uv(IndexSettings(default="https://index.invalid/simple"), secrets=str(tmp_path))
    assert uv.outdated(str(project), python=sys.executable) == why


def test_a_resolution_that_came_to_its_end_is_no_index_that_could_not_be_used() -> None:
    stderr = (
        "error: No solution found when resolving dependencies\n  cause: Because pyspark==3.5.0 has no usable wheels "
        "and you require pyspark, your requirements are unsatisfiable.\n"
        "warning: connection reset by peer, trying again\n"
        "hint: Wheels are required for `pyspark` because building from source is disabled for all packages\n"
    )
    error = explain(stderr)
    assert isinstance(error, WheelsNeeded)
    assert (error.name, error.version) == ("pyspark", "3.5.0")
