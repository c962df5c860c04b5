"""Locks: their form, what stands in them for what we built, and which files cannot be resolved at all."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.lists import read
from runner.inside.packages.locks import read_uv_lock
from runner.inside.packages.requirements import lock_text
from runner.inside.packages.resolve import Built, pins, resolve, split_built
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import UnknownPackage, Unsatisfiable, Uv, WheelsNeeded
from runner.inside.packages.wanted import Specification, Wanted
from runner.inside.protocol import PhaseError

HASH = f"--hash=sha256:{'a' * 64}"


def specification(**fields: Any) -> Specification:
    values: dict[str, Any] = {
        "kind": "requirements",
        "root": ".",
        "main": "requirements.txt",
        "files": {"requirements.txt": "six\n"},
        "as_of": None,
        "overrides": (),
        "install_project": False,
    }
    return Specification(**(values | fields))


class Recorded(Uv):
    """uv that answers from a list, and keeps what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        super().__init__(IndexSettings(), secrets="/nonexistent")
        self.answers = list(answers)
        self.why: str | None = None
        self.asked: list[list[str]] = []
        self.constraints: list[str] = []

    def outdated(self, project: str, *, python: str) -> str | None:
        return self.why

    def run(self, arguments: Any, **_: Any) -> str:
        self.asked.append(list(arguments))
        if "--constraints" in arguments:
            self.constraints.append(Path(arguments[arguments.index("--constraints") + 1]).read_text())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def built(tmp_path: Path, name: str = "docopt", version: str = "0.6.2") -> Built:
    path = tmp_path / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
    return Built(name, version, path)


def refusal(tmp_path: Path, **fields: Any) -> str:
    with pytest.raises(PhaseError) as caught:
        read(specification(**fields), Recorded(""), folder=tmp_path, python="p")
    assert caught.value.event["fact"] == "environment"
    return str(caught.value.event["cause"])


def test_a_lock_is_a_sorted_line_a_package() -> None:
    output = (
        f"six==1.16.0 \\\n    {HASH} \\\n    {HASH}\n    # via x\n--index-url https://u:p@a\nidna==2 ; a \\\n  {HASH}\n"
    )
    assert lock_text(output) == f"idna==2 ; a {HASH}\nsix==1.16.0 {HASH} {HASH}\n"
    assert pins(lock_text(output)) == {"idna": "2", "six": "1.16.0"}


def test_a_hashed_file_is_the_lock_and_what_was_built_stands_in_it(tmp_path: Path) -> None:
    files = {"requirements.txt": f"docopt==0.6.2 {HASH}\nsix==1.16.0 {HASH}\n"}
    given = specification(files=files)
    uv = Recorded("", "")
    wheel = built(tmp_path)
    wanted = read(given, uv, folder=tmp_path, python="p")
    text = resolve(given, wanted, uv, folder=tmp_path / "lock", python="p", built=[wheel])
    assert text == f"docopt==0.6.2 --hash=sha256:{wheel.sha256}\nsix==1.16.0 {HASH}\n"
    index, ours = split_built(text, [wheel])
    assert (index, ours) == (f"six==1.16.0 {HASH}\n", [wheel])
    assert "--dry-run" in uv.asked[-1]


def test_another_version_of_what_was_built_does_not_stand_in_a_lock(tmp_path: Path) -> None:
    given = specification(files={"requirements.txt": f"docopt==0.6.1 {HASH}\n"})
    uv = Recorded("", "")
    wanted = read(given, uv, folder=tmp_path, python="p")
    text = resolve(given, wanted, uv, folder=tmp_path / "lock", python="p", built=[built(tmp_path)])
    assert text == f"docopt==0.6.1 {HASH}\n"


def test_overrides_replace_a_line_of_a_lock_and_are_requirements_of_their_own(tmp_path: Path) -> None:
    given = specification(files={"requirements.txt": f"six==1.16.0 {HASH}\n"}, overrides=("six==1.15.0", "new==1"))
    uv = Recorded(f"six==1.15.0 {HASH}\nsetuptools==1 {HASH}\n")
    wanted = read(given, uv, folder=tmp_path, python="p")
    resolve(given, wanted, uv, folder=tmp_path / "lock", python="p")
    assert (tmp_path / "lock" / "requirements.in").read_text() == "six==1.15.0\nnew==1\n"
    assert (tmp_path / "lock" / "overrides.txt").read_text() == "six==1.15.0\nnew==1\n"


@pytest.mark.parametrize("text", ["six @ https://example.org/six.whl", "../x", "-r a"])
def test_an_override_is_a_plain_requirement(tmp_path: Path, text: str) -> None:
    uv = Recorded("")
    given = specification(overrides=(text,))
    wanted = read(given, uv, folder=tmp_path, python="p")
    with pytest.raises(PhaseError, match="no requirement"):
        resolve(given, wanted, uv, folder=tmp_path / "lock", python="p")


LOCK = """version = 1
[[package]]
name = "t"
version = "1"
source = { registry = "https://download.example/whl/cpu" }
[[package]]
name = "s"
version = "1"
source = { registry = "https://pypi.org/simple" }
"""
PROJECT = '[project]\nname = "a"\nversion = "1"\n'
EXPORTED = f"""-e .
-e ./libs/b
c @ git+https://github.com/acme/c@{"c" * 40}
d @ git+https://github.com/acme/d@{"d" * 40} ; sys_platform == 'win32'
./wheels/e-1-py3-none-any.whl
t==1 \\
    {HASH}
s==1 ; python_version >= '3.9' \\
    {HASH}
"""


def uv_locked(**fields: Any) -> Specification:
    files = {"app/uv.lock": LOCK, "app/pyproject.toml": PROJECT}
    return specification(**{"kind": "uv.lock", "root": "app", "main": "app/uv.lock", "files": files, **fields})


def test_a_uv_lock_is_what_uv_exports_with_folders_and_other_repositories_beside(tmp_path: Path) -> None:
    uv = Recorded(EXPORTED)
    wanted = read_uv_lock(uv_locked(), uv, tmp_path, "p")
    assert wanted.lock == f"s==1 ; python_version >= '3.9' {HASH}\nt==1 {HASH}\n"
    assert wanted.indexes == ["https://download.example/whl/cpu"]
    assert [(tree.path, tree.address, tree.editable) for tree in wanted.trees] == [
        ("app", None, True),
        ("app/libs/b", None, True),
        (".", "https://github.com/acme/c", False),
        ("app/wheels/e-1-py3-none-any.whl", None, False),
    ]
    assert {"--frozen", "--offline"} <= set(uv.asked[0])


def test_a_replaced_package_of_a_uv_lock_is_left_out_wherever_it_comes_from(tmp_path: Path) -> None:
    wanted = read_uv_lock(uv_locked(overrides=("c==2", "t==3")), Recorded(EXPORTED), tmp_path, "p")
    assert wanted.lock is not None
    assert "t==1" not in wanted.lock
    assert all(tree.name != "c" for tree in wanted.trees)


def test_a_uv_lock_of_another_project_is_refused_by_uvs_own_check(tmp_path: Path) -> None:
    uv = Recorded(EXPORTED)
    uv.why = "mismatched requirements for: a==1"
    with pytest.raises(PhaseError) as caught:
        read_uv_lock(uv_locked(), uv, tmp_path, "p")
    assert "app/uv.lock at the commit was not made from pyproject.toml" in caught.value.event["cause"]
    assert "mismatched requirements for: a==1" in caught.value.event["cause"]
    assert "environment:" in caught.value.event["remedy"]


@pytest.mark.parametrize("project", ['[project]\nname = "a"\ndynamic = ["version"]\n', "[tool.poetry]\n"])
def test_a_project_that_uv_would_have_to_build_to_ask_is_not_checked(tmp_path: Path, project: str) -> None:
    uv = Recorded(EXPORTED)
    uv.why = "mismatched requirements for: a==1"
    files = {"app/uv.lock": LOCK, "app/pyproject.toml": project}
    assert read_uv_lock(uv_locked(files=files), uv, tmp_path, "p").lock


def test_a_project_lists_its_dependencies_statically(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\ndependencies = ["six", "idna>=2"]\n'
    given = specification(
        kind="pyproject", main="pyproject.toml", files={"pyproject.toml": text}, lines=("six", "idna>=2")
    )
    assert read(given, Recorded(), folder=tmp_path, python="p").lines == ["six", "idna>=2"]


@pytest.mark.parametrize("kind", ["conda", "setup", "imports", "requirements"])
def test_a_list_in_another_notation_is_read_by_the_lines_that_stand_for_it(tmp_path: Path, kind: str) -> None:
    files = {"a/environment.yml": "dependencies: []", "a/more.txt": "idna==3\n"}
    lines = ("numpy==1.26.*", "-r more.txt", "-e .")
    given = specification(kind=kind, main="a/environment.yml", files=files, lines=lines)
    wanted = read(given, Recorded(), folder=tmp_path, python="p")
    assert (wanted.lines, wanted.trees) == (["numpy==1.26.*", "idna==3"], [SourceTree("a", editable=True)])
    assert wanted.lock is None


@pytest.mark.parametrize(
    ("kind", "words"), [("conda", "which the list of conda's names"), ("imports", "inferred from an import")]
)
def test_what_conda_lists_or_an_import_names_and_no_index_has_is_left_out_and_said(
    tmp_path: Path, kind: str, words: str
) -> None:
    given = specification(kind=kind, main="environment.yml", files={"environment.yml": ""})
    wanted = Wanted(lines=["numpy==1.26.4", "xkeyboard==2.4", "ucx==1"])
    uv = Recorded(UnknownPackage("xkeyboard"), UnknownPackage("ucx"), f"numpy==1.26.4 {HASH}\n")
    assert resolve(given, wanted, uv, folder=tmp_path, python="p") == f"numpy==1.26.4 {HASH}\n"
    assert (wanted.lines, len(wanted.notes)) == (["numpy==1.26.4"], 2)
    assert wanted.notes[0] == f"xkeyboard, {words}, is on no package index: left out"


@pytest.mark.parametrize(("kind", "name"), [("requirements", "numpi"), ("conda", "of-what-it-needs")])
def test_any_other_package_that_no_index_has_is_missing(tmp_path: Path, kind: str, name: str) -> None:
    given = specification(kind=kind, main="r.txt", files={"r.txt": ""})
    with pytest.raises(PhaseError, match="no package index knows a package"):
        resolve(given, Wanted(lines=["numpi"]), Recorded(UnknownPackage(name)), folder=tmp_path, python="p")


def test_a_setup_script_that_tells_nothing_unrun_is_built(tmp_path: Path) -> None:
    given = specification(kind="setup", main="setup.py", files={"setup.py": "setup()"}, install_project=True)
    wanted = read(given, Recorded(), folder=tmp_path, python="p")
    assert (wanted.lines, wanted.trees) == ([], [SourceTree(".", editable=True)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no toml", "no TOML"),
        ('[project]\ndependencies = ["x"]\n[tool.uv.sources]\nx = { git = "https://a" }\n', "x comes from git"),
    ],
)
def test_a_project_that_cannot_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, kind="pyproject", main="pyproject.toml", files={"pyproject.toml": text})


def test_no_packages_at_all_is_an_environment_too(tmp_path: Path) -> None:
    given = specification(kind="none", main=None, files={})
    uv = Recorded("", "")
    wanted = read(given, uv, folder=tmp_path, python="p")
    assert resolve(given, wanted, uv, folder=tmp_path / "lock", python="p") == ""


CONFLICT = (
    "error: No solution found when resolving dependencies\n  cause: Because a==1 depends on b>=2 and you require b==1"
)
RECORDED = ("a==1", "b==1", "c==1")


def contradicted(tmp_path: Path, uv: Recorded, **fields: Any) -> PhaseError:
    given = specification(files={"requirements.txt": "a\n"}, constraints=RECORDED, **fields)
    with pytest.raises(PhaseError) as caught:
        resolve(given, read(given, uv, folder=tmp_path, python="p"), uv, folder=tmp_path / "lock", python="p")
    return caught.value


def test_recorded_versions_constrain_beside_those_of_the_commit(tmp_path: Path) -> None:
    files = {"requirements.txt": "six\n-c bounds.txt\n", "bounds.txt": "idna<3\n"}
    given, uv = specification(files=files, constraints=("six==1.16.0",)), Recorded("", "")
    resolve(given, read(given, uv, folder=tmp_path, python="p"), uv, folder=tmp_path / "lock", python="p")
    assert uv.constraints == ["idna<3\nsix==1.16.0\n"]


def test_the_remedy_for_recorded_versions_that_do_not_fit_was_tried(tmp_path: Path) -> None:
    uv = Recorded(Unsatisfiable(CONFLICT), Unsatisfiable(CONFLICT), f"a==1 {HASH}\nb==2.5 {HASH}\n")
    event = contradicted(tmp_path, uv, overrides=("x==3",)).event
    assert event["remedy"] == "runner reproduce RUN --with x==3 --with b==2.5"
    assert event["fact"] == "environment"
    assert event["cause"].startswith("b==1 as the run recorded cannot be had with the rest: Because a==1 depends on")
    assert uv.constraints == ["a==1\nb==1\nc==1\n", "b==1\nc==1\n", "a==1\nc==1\n"]


def test_several_recorded_versions_are_given_up_where_no_single_one_is_in_the_way(tmp_path: Path) -> None:
    refusals = (Unsatisfiable(CONFLICT), WheelsNeeded("a", "2", ""), Unsatisfiable(CONFLICT))
    uv = Recorded(*refusals, f"a==2 {HASH}\nb==2 {HASH}\nc==1 {HASH}\n")
    assert contradicted(tmp_path, uv).event["remedy"] == "runner reproduce RUN --with a==2 --with b==2"


LISTED = {"requirements.txt": "numpy==1.26.4\nsix\n-c bounds.txt\n", "bounds.txt": "numpy<2\nidna<3\n"}


def test_recorded_versions_override_what_the_list_pins_and_bounds(tmp_path: Path) -> None:
    given = specification(files=LISTED, recorded_overrides=("numpy==2.2.4",), constraints=("six==1.16.0",))
    uv = Recorded("", "")
    resolve(given, read(given, uv, folder=tmp_path, python="p"), uv, folder=tmp_path / "lock", python="p")
    assert (tmp_path / "lock" / "requirements.in").read_text() == "six\nnumpy==2.2.4\n"
    assert uv.constraints == ["idna<3\nsix==1.16.0\nnumpy==2.2.4\n"]
    assert "--overrides" not in uv.asked[0], "what other packages ask for still holds"


def test_a_recorded_version_overrides_what_the_repositorys_own_wheel_asks_for(tmp_path: Path) -> None:
    given = specification(recorded_overrides=("numpy==2.2.4",))
    uv, wanted = Recorded(""), Wanted(declared=["numpy<2"])
    resolve(given, wanted, uv, folder=tmp_path / "lock", python="p")
    assert (tmp_path / "lock" / "overrides.txt").read_text() == "numpy==2.2.4\n"


def test_where_record_and_list_cannot_be_had_together_both_are_named_and_the_lists_version_is_the_remedy(
    tmp_path: Path,
) -> None:
    conflict = "error: No solution found when resolving dependencies\n  cause: Because x==1 depends on numpy<2"
    given = specification(files=LISTED, recorded_overrides=("numpy[tests]==2.2.4",))
    uv = Recorded(Unsatisfiable(conflict), f"numpy==1.26.4 {HASH}\n")
    with pytest.raises(PhaseError) as caught:
        resolve(given, read(given, uv, folder=tmp_path, python="p"), uv, folder=tmp_path / "lock", python="p")
    event = caught.value.event
    assert event["cause"].startswith(
        "numpy[tests]==2.2.4 as the run recorded cannot be had with the rest: Because x==1"
    )
    assert event["cause"].endswith("; requirements.txt asks for numpy<2, numpy==1.26.4")
    assert event["remedy"] == "runner reproduce RUN --with numpy==1.26.4"
    assert uv.constraints == ["idna<3\nnumpy==2.2.4\n", "numpy<2\nidna<3\n"]


def test_a_list_that_contradicts_itself_is_not_laid_to_what_was_recorded(tmp_path: Path) -> None:
    uv = Recorded(*(Unsatisfiable(CONFLICT) for _ in range(5)))
    assert contradicted(tmp_path, uv).event["cause"].startswith("the packages cannot be had together: Because a==1")


def test_what_is_left_out_is_in_no_list_and_further_indexes_are_asked(tmp_path: Path) -> None:
    lines = (f"{pin} {HASH}" for pin in ("torch==2.1.0+cu118", "NVIDIA_nccl==2", "six==1"))
    text = "\n".join(["--extra-index-url https://one.example/simple", *lines])
    given = specification(
        files={"requirements.txt": text},
        overrides=("torch==2.1.0+cpu",),
        left_out=("nvidia-nccl",),
        indexes=("https://two.example/whl",),
    )
    uv = Recorded(f"six==1 {HASH}\ntorch==2.1.0+cpu {HASH}\n")
    wanted = read(given, uv, folder=tmp_path, python="python3")
    assert wanted.indexes == ["https://one.example/simple", "https://two.example/whl"]
    wanted.with_setuptools = False
    resolve(given, wanted, uv, folder=tmp_path / "lock", python="python3")
    assert (tmp_path / "lock" / "requirements.in").read_text() == "six==1\ntorch==2.1.0+cpu\n"


@pytest.mark.parametrize("hashed", [True, False])
def test_a_build_that_no_index_has_is_named_with_the_index_that_has_it(tmp_path: Path, hashed: bool) -> None:
    line = f"torch==2.1.0+cu118 {HASH}" if hashed else "torch==2.1.0+cu118"
    given = specification(files={"requirements.txt": f"{line}\n"})
    refused = Unsatisfiable("Because there is no version of torch==2.1.0+cu118 and you require torch==2.1.0+cu118")
    uv = Recorded("", refused) if hashed else Recorded(refused)
    wanted = read(given, uv, folder=tmp_path, python="python3")
    with pytest.raises(PhaseError) as caught:
        resolve(given, wanted, uv, folder=tmp_path / "lock", python="python3")
    assert "has torch 2.1.0+cu118" in caught.value.event["cause"]
    assert "UV_INDEX=https://download.pytorch.org/whl/cu118" in caught.value.event["remedy"]
    assert "--allow cpu-torch" in caught.value.event["remedy"]


def test_all_packages_of_a_list_that_no_index_knows_are_told_at_once(tmp_path: Path) -> None:
    given = specification(files={"requirements.txt": "apparmor==3.0.4\nsix\nBrlapi==0.8.3\n"})
    uv = Recorded(UnknownPackage("apparmor"), UnknownPackage("brlapi"), f"six==1.16.0 {HASH}\n")
    with pytest.raises(PhaseError) as caught:
        resolve(given, read(given, uv, folder=tmp_path, python="p"), uv, folder=tmp_path / "lock", python="p")
    assert caught.value.event["cause"] == "no package index knows the packages apparmor==3.0.4, Brlapi==0.8.3"
    assert "`environment:` in runner.yaml" in caught.value.event["remedy"]
    alone = Recorded(UnknownPackage("apparmor"), Unsatisfiable("error: No solution found"))
    with pytest.raises(UnknownPackage):
        resolve(given, read(given, alone, folder=tmp_path, python="p"), alone, folder=tmp_path / "lock", python="p")
