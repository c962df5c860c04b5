"""What runs as a layer is made: what apt's words mean, and what compilers an image has already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.inside import system_packages as script

COMPILERS = ["gcc", "python3-dev"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("E: Unable to locate package libgl1x", "no such package"),
        ("E: Package 'libgl1-mesa-glx' has no installation candidate", "no such package"),
        ("E: Version '9' for 'libgl1' was not found", "no such version"),
        (
            "Err:1 http://deb trixie\n  Temporary failure resolving 'deb'\nE: Unable to locate package libgl1",
            "unreachable",
        ),
        ("W: Failed to fetch http://deb/InRelease  Could not connect\nE: Unable to locate package x", "unreachable"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "disk full"),
        ("E: Unable to correct problems, you have held broken packages.", "refused"),
    ],
)
def test_a_missing_package_is_told_from_an_index_that_could_not_be_read(
    said: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "nearest", lambda name: [name.rstrip("x")])
    monkeypatch.setattr(script, "versions", lambda name: ["1.0"])
    found = script.explain(said)
    assert found["kind"] == kind
    if kind == "no such package":
        assert found["name"] in {"libgl1x", "libgl1-mesa-glx"}


def an_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, python: str, headers: bool, tools: bool) -> None:
    if headers:
        (tmp_path / "Python.h").touch()
    monkeypatch.setattr(script.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(script.sys, "executable", python)
    monkeypatch.setattr(script.os.path, "realpath", lambda path: path)
    monkeypatch.setattr(script.shutil, "which", lambda name: name if tools else None)


@pytest.mark.parametrize(
    ("python", "headers", "tools", "needed"),
    [
        ("/usr/bin/python3.11", False, False, COMPILERS),
        ("/usr/local/bin/python3.11", True, False, ["gcc"]),
        ("/usr/local/bin/python3.11", True, True, []),
        ("/usr/bin/python3.11", True, False, ["gcc"]),
        ("/opt/conda/bin/python3.11", False, True, ["gcc"]),
    ],
)
def test_an_image_gets_the_compilers_that_it_lacks_and_no_other_pythons_headers(
    python: str, headers: bool, tools: bool, needed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    an_image(monkeypatch, tmp_path, python=python, headers=headers, tools=tools)
    assert script.needed_for_building(COMPILERS) == needed


def request(**fields: Any) -> dict[str, Any]:
    return {"configuration": "", "ca": None, "credentials": "", "mirror": None, "variables": {}, **fields}


def test_settings_are_written_where_nobody_else_reads_and_apt_is_led_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "SETTINGS", str(tmp_path / "apt"))
    monkeypatch.setattr(script, "release", {"ID": "debian", "VERSION_CODENAME": "trixie"}.get)
    variables = script.write_settings(
        request(configuration='Acquire::Retries "3";\n', ca="PEM", credentials="machine m", mirror="http://m/debian/")
    )
    assert variables == {"APT_CONFIG": f"{tmp_path}/apt/apt.conf"}
    text = (tmp_path / "apt/apt.conf").read_text()
    assert 'Acquire::Retries "3";' in text
    assert f'Acquire::https::CaInfo "{tmp_path}/apt/ca";' in text
    assert f'Dir::Etc::netrc "{tmp_path}/apt/credentials";' in text
    sources = (tmp_path / "apt/sources.list").read_text()
    assert "http://m/debian trixie main" in sources
    assert "http://m/debian-security trixie-security main" in sources
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "apt").iterdir()} == {0o600}


def test_a_mirror_of_debian_is_no_mirror_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "SETTINGS", str(tmp_path / "apt"))
    monkeypatch.setattr(script, "release", {"ID": "ubuntu", "VERSION_CODENAME": "noble"}.get)
    script.write_settings(request(mirror="http://m/debian"))
    assert not (tmp_path / "apt/sources.list").exists()
