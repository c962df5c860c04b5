"""Debian packages for a training: the auditor's are used, the commit's are offered."""

from __future__ import annotations

import pytest

from runner.errors import InvalidConfiguration
from runner.lineage.resolve import commit_facts
from runner.plan.build import build_plan
from runner.plan.images import NOT_MADE
from runner.plan.system_packages import choose_system_packages
from runner.plan.wanted import unread_texts
from runner.report.plan import render_plan
from runner.schema.plan import Plan, SystemPackages
from runner.settings import Settings
from tests.support.facts import TRAIN, lineage, run, settings, snapshot

DOCKERFILE = """
FROM python:3.9 AS build
# RUN apt-get install -y commented-out
RUN apt-get update && apt-get install -y --no-install-recommends -t stable \\
    # why this one
    libgl1=1.4.0-1 "libglib2.0-0" git \\
 && rm -rf /var/lib/apt/lists/*
RUN apt install -qq ffmpeg; echo install this not; DEBIAN_FRONTEND=x apt-get -y install $MORE libpq5 >/dev/null
RUN pip install numpy
"""


def chosen(texts: dict[str, str], given: Settings | None = None, folders: tuple[str, ...] = ()) -> SystemPackages:
    given, repository = given or settings(), snapshot(texts)
    return choose_system_packages(repository, given, commit_facts(repository, given), folders)


def offered(texts: dict[str, str], folders: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    found = chosen(texts, folders=folders)
    assert found.names == ()
    return {each.source: each.names for each in found.offered}


def test_what_a_commit_installs_is_offered_and_not_used() -> None:
    assert offered({"apt.txt": "libgl1  # for cv2\n\nlibgomp1 ffmpeg\n"}) == {
        "apt.txt at the commit": ("libgl1", "libgomp1", "ffmpeg")
    }
    assert offered({"packages.txt": "libsndfile1\r\n"}) == {"packages.txt at the commit": ("libsndfile1",)}
    assert offered({".binder/apt.txt": "graphviz\n"}) == {".binder/apt.txt at the commit": ("graphviz",)}
    assert offered({"app/Aptfile": ":repo:deb http://x y main\nhttp://x/y.deb\nsox\n"}, ("app",)) == {
        "app/Aptfile at the commit": ("sox",)
    }


def test_a_dockerfiles_installs_are_read_over_folded_lines_without_options_and_versions() -> None:
    assert offered({"Dockerfile": DOCKERFILE}) == {
        "Dockerfile at the commit": ("libgl1", "libglib2.0-0", "ffmpeg", "libpq5")
    }
    assert offered({"Dockerfile": "FROM x\nRUN apt-get install -y git python3 && true\n"}) == {}


@pytest.mark.parametrize("text", ["numpy==1.26\npandas\n", "Some words, and more.\n", "# nothing\n", "-o Dpkg=1\n"])
def test_a_list_of_another_kind_is_none_of_debians(text: str) -> None:
    assert offered({"packages.txt": text}) == {}


def test_names_of_the_commits_own_configuration_are_offered_too() -> None:
    found = chosen({"runner.yaml": "system_packages: [libgl1]"})
    assert found.names == ()
    assert [(each.source, each.names) for each in found.offered] == [
        ("system_packages in runner.yaml at the commit", ("libgl1",))
    ]


def test_the_auditors_names_are_used_by_flag_before_file() -> None:
    found = chosen({}, settings(system_packages=("libgomp1, libgl1", "g++", "libgl1")))
    assert (found.names, found.source) == (("libgomp1", "libgl1", "g++"), "--system-packages")
    yaml = "system_packages: libgl1, ffmpeg=7:5.1"
    found = chosen({}, settings(yaml=yaml))
    assert (found.names, found.source) == (("libgl1", "ffmpeg=7:5.1"), "system_packages in runner.yaml")
    assert chosen({}, settings(yaml=yaml, system_packages=("sox",))).names == ("sox",)


@pytest.mark.parametrize(
    "name",
    ["-y", "--allow-downgrades", "libgl1-", "LibGL1", "a b", "x/stable", "./x.deb", "x=", "x=1;y", "^libgl", "x*"],
)
def test_what_is_no_plain_name_is_refused(name: str) -> None:
    """apt takes options, removals, releases, files and patterns in the place of a name."""
    with pytest.raises(InvalidConfiguration, match="no name of a Debian package"):
        settings(system_packages=(name,))
    with pytest.raises(InvalidConfiguration, match="no name of a Debian package"):
        settings(yaml=f"system_packages: ['{name}']")


def plan(texts: dict[str, str], given: Settings) -> Plan:
    source, record = snapshot({"train.py": TRAIN, "requirements.txt": "numpy\n", **texts}), run()
    return build_plan(record, source, lineage(record, source, given), given, NOT_MADE, "sha256:" + "0" * 64)


def test_a_plan_shows_both_and_its_digest_is_of_what_is_used() -> None:
    texts = {"apt.txt": "libgl1\n"}
    without, with_offer = plan({}, settings()), plan(texts, settings())
    given = plan(texts, settings(system_packages=("libgl1",)))
    assert without.digest == with_offer.digest != given.digest
    (fact,) = [fact for fact in with_offer.provenance if fact.fact == "system packages"]
    assert (fact.value, fact.considered[0].source) == ("none", "apt.txt at the commit")
    assert "offered: --system-packages libgl1" in render_plan(with_offer)
    assert "system packages: libgl1" in render_plan(given)
    assert "system packages" not in render_plan(without)


def test_lists_at_the_root_and_beside_the_script_are_read() -> None:
    repository = snapshot({"src/train.py": TRAIN}, files=("apt.txt", "src/apt.txt", "other/apt.txt", "Dockerfile"))
    wanted = unread_texts(run(script="src/train.py"), repository, settings())
    assert wanted == ("Dockerfile", "apt.txt", "src/apt.txt")
