"""What a foreign image says of itself is hostile input; the script that asks works on any Python."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from runner.inside.image_probe import SCRIPT, SHELL, read_probe

MARK = "0123456789abcdef"


def line(*values: object) -> str:
    return f"{MARK} {json.dumps(values)}\n"


def test_the_script_tells_the_python_its_folder_and_its_packages() -> None:
    done = subprocess.run(
        ["sh", "-c", SHELL, "sh", SCRIPT, MARK], capture_output=True, text=True, check=True, env={"PATH": _path()}
    )
    probe = read_probe(f"noise of the image\n{done.stdout}", MARK)
    assert probe.bash
    assert probe.pythons[0].version == ".".join(map(str, sys.version_info[:3]))
    assert "pydantic" in probe.pythons[0].packages
    assert probe.pythons[0].site_packages.endswith("site-packages")


def _path() -> str:
    return f"{sys.prefix}/bin:/usr/bin:/bin"


def test_one_python_under_two_names_counts_once() -> None:
    text = line([3, 9, 2], "/usr/lib/python3.9/site-packages", {"NumPy": "1.2", "scikit_learn": "1.0"})
    probe = read_probe(text + text + f"{MARK} bash\n", MARK)
    assert len(probe.pythons) == 1
    assert probe.pythons[0].packages == {"numpy": "1.2", "scikit-learn": "1.0"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no mark\n",
        f"{MARK} nothing of ours\n",
        f"{MARK} []\n",
        line([3, 9], "/usr", {}),
        line(["a", 9, 2], "/usr", {}),
        line([3, 9, 2], "/usr/../etc", {}),
        line([3, 9, 2], "relative", {}),
        line([3, 9, 2], "/a\nb", {}),
        line([3, 9, 2], 7, {}),
        line([3, 9, 2], "/usr", []),
        f"{MARK} {'[' * 100_000}\n",
    ],
)
def test_what_is_odd_is_not_there(text: str) -> None:
    assert read_probe(text, MARK).pythons == ()


def test_odd_packages_are_left_out() -> None:
    packages = {"ok": "1.0", "no version": "1", "x": 3, "../x": "1", "y": "1\n2", "z" * 300: "1"}
    probe = read_probe(line([3, 9, 2], "/usr/lib", packages), MARK)
    assert probe.pythons[0].packages == {"ok": "1.0"}
