"""Requirement files are taken apart: what cannot be had again is refused, what is the repository's wish is said."""

from __future__ import annotations

import pytest

from runner.inside.packages.requirements import (
    built_by_conda,
    hashes,
    logical_lines,
    plain_build_requirement,
    read_requirements,
)
from runner.inside.protocol import PhaseError


def read(text: str, **others: str) -> object:
    return read_requirements({"requirements.txt": text, **others}, "requirements.txt")


def test_comments_continuations_and_a_byte_order_mark_are_no_requirements() -> None:
    text = "\ufeff# all\nsix==1.16.0 \\\n    --hash=sha256:ab \\\r\n    --hash=sha256:cd # why\n\nurl-like#1\n"
    assert logical_lines(text) == ["six==1.16.0      --hash=sha256:ab      --hash=sha256:cd", "url-like#1"]


def test_includes_are_followed_relative_to_the_file_that_names_them() -> None:
    files = {"a/requirements.txt": "-r more/b.txt\n-c limits.txt\nsix\n", "a/more/b.txt": "-r ../c.txt\nidna\n"}
    files |= {"a/c.txt": "click\n", "a/limits.txt": "click<8\n"}
    found = read_requirements(files, "a/requirements.txt")
    assert found.lines == ["click", "idna", "six"]
    assert found.constraints == ["click<8"]


def test_what_is_for_windows_alone_is_left_out_and_said_to_be() -> None:
    found = read_requirements({"r.txt": "pywin32==305\nsix==1.16.0\npywinpty==2 ; sys_platform == 'win32'\n"}, "r.txt")
    assert found.lines == ["six==1.16.0", "pywinpty==2 ; sys_platform == 'win32'"]
    assert found.notes == ["r.txt lists pywin32==305, which is for another system: left out"]


def test_files_that_include_each_other_end() -> None:
    files = {"a.txt": "-r b.txt\nsix\n", "b.txt": "-r a.txt\nidna\n"}
    assert read_requirements(files, "a.txt").lines == ["idna", "six"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r /etc/passwd", "outside the repository"),
        ("-r ../../other.txt", "outside the repository"),
        ("-r https://example.org/r.txt", "outside the repository"),
        ("-r missing.txt", "does not hold"),
        ("numpy @ file:///home/ann/numpy", "only its author's machine had"),
        ("six @ http://example.org/six.whl", "only its author's machine had"),
        ("git+git://github.com/acme/lib.git", "only https and ssh"),
        ("-e ../lib", "outside the repository"),
        ("lib @ git+https://github.com/acme/lib ; python <", "cannot be read"),
        ("-i https://u:${TOKEN}@example.org/simple", "from the environment"),
        ("six==${SIX_VERSION}", "from the environment"),
    ],
)
def test_what_no_index_can_give_is_refused_with_the_line(line: str, why: str) -> None:
    with pytest.raises(PhaseError) as caught:
        read(f"six\n{line}\n")
    assert why in caught.value.event["cause"]
    assert caught.value.event["fact"] == "environment"
    assert "--with" in caught.value.event["remedy"]


def test_all_lines_that_only_the_authors_machine_had_are_told_with_what_an_index_has_instead() -> None:
    with pytest.raises(PhaseError) as caught:
        read(
            "six\nrich @ file:///build/python-rich/src/dist/rich-12.4.4-py3-none-any.whl\n"
            "Own_Lib @ file:///home/ann/own_lib-1.2.tar.gz#sha256=0\nnumpy @ file:///home/ann/numpy\n"
        )
    event = caught.value.event
    assert event["cause"].startswith("requirements.txt installs rich @ file:///build/python-rich/")
    assert "; nor can 2 more of its lines (Own_Lib @ file:///home/ann/own_lib-1.2.tar.gz" in event["cause"]
    assert event["remedy"] == (
        "runner reproduce RUN --with rich==12.4.4 --with own-lib==1.2 --with numpy    as an index has them"
    )


def test_a_recorded_version_comes_in_the_place_of_what_only_the_authors_machine_had() -> None:
    files = {"r.txt": "numpy @ file:///croot/numpy_1687/work\nsix\n"}
    assert read_requirements(files, "r.txt", recorded=("numpy==1.26.4",)).lines == ["numpy==1.26.4", "six"]


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("certifi @ file:///C:/b/abs_ac29jvt43w/croot/certifi_1665076682579/work/certifi", "certifi"),
        ("Pillow @ file:///D:/bld/pillow_1726075273954/work", "Pillow"),
        (r"pillow @ file:///D:\bld\pillow_1726075273954\work", "pillow"),
        ("idna @ file:///home/conda/feedstock_root/build_artifacts/idna_1733211830134/work", "idna"),
        ("six @ file:///tmp/build/80754af9/six_1644875935023/work ; python_version<'4'", "six ; python_version<'4'"),
        ("mkl-fft @ file:///opt/conda/conda-bld/mkl_fft_1695058164594/work", "mkl-fft"),
        (
            "numpy @ file:///croot/numpy_and_base_1682520569166/work/dist/numpy-1.24.3-cp311-cp311-linux_x86_64.whl#sha256=a",
            "numpy==1.24.3",
        ),
        ("other @ file:///croot/both_1682520569166/work/dist/numpy-1.24.3-cp311-cp311-linux_x86_64.whl", "other"),
    ],
)
def test_a_place_where_conda_built_a_package_stands_for_the_package_and_that_is_said(line: str, instead: str) -> None:
    found = read(f"tqdm\n{line}\n")
    assert found.lines == ["tqdm", instead.replace("Pillow", "pillow")]
    (note,) = found.notes
    assert "where conda built packages" in note
    assert instead.lower() in note


@pytest.mark.parametrize(
    "line", ["rich @ file:///build/python-rich/src/rich-12.4.4-py3-none-any.whl", "y @ file:///home/ann/work", "six"]
)
def test_other_places_of_an_authors_machine_are_not_conda_s(line: str) -> None:
    assert built_by_conda(line) is None


@pytest.mark.parametrize(
    "line", ["numpy=1.26", "<html>", "numpy >= banana", "pip install numpy", "{", "six==1.16.0 idna"]
)
def test_a_line_that_no_installer_reads_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(PhaseError) as caught:
        read(f"six\n{line}\n")
    assert caught.value.event["cause"] == f"requirements.txt at the commit has a line that is no requirement: {line}"
    assert "environment:" in caught.value.event["remedy"]


def test_bounds_that_only_older_installers_read_are_read_as_they_did_which_is_said() -> None:
    found = read_requirements({"r.txt": "numpy>=1.20.*,<2.*\nscipy==1.*\n"}, "r.txt")
    assert found.lines == ["numpy>=1.20,<2", "scipy==1.*"]
    assert found.notes == ["r.txt: numpy>=1.20.*,<2.* is read as numpy>=1.20,<2, as pip did before 24.1"]


def test_a_line_whose_package_is_replaced_is_not_refused() -> None:
    text = "numpy @ file:///croot/numpy\ngit+https://github.com/acme/my_lib#egg=my_lib\nsix\n"
    found = read_requirements({"r.txt": text}, "r.txt", replaced=frozenset({"numpy", "my-lib"}))
    assert found.lines == ["six"]


@pytest.mark.parametrize(("line", "editable"), [("-e .", True), ("-e .[dev]", True), (".", False), (".[dev]", False)])
def test_a_line_that_asks_for_the_repository_itself_installs_it(line: str, editable: bool) -> None:
    found = read_requirements({"app/r.txt": f"{line}\nsix\n"}, "app/r.txt")
    (tree,) = found.trees
    assert (tree.path, tree.extras, tree.editable) == ("app", "[dev]" if "dev" in line else "", editable)
    assert found.lines == ["six"]


def test_folders_and_other_repositories_are_asked_for_beside_packages() -> None:
    text = "six\n-e ./libs/foo\n./wheels/lib-1.0-py3-none-any.whl\nlib @ git+https://github.com/acme/lib@v1\n"
    files = {"app/r.txt": f"{text}-r ../more.txt\n", "more.txt": "-e ./libs/bar  # from the folder of the first file\n"}
    found = read_requirements(files, "app/r.txt")
    places = [(tree.path, tree.address, tree.editable) for tree in found.trees]
    assert places == [
        ("app/libs/foo", None, True),
        ("app/wheels/lib-1.0-py3-none-any.whl", None, False),
        (".", "https://github.com/acme/lib", False),
        ("app/libs/bar", None, True),
    ]
    assert found.lines == ["six"]


def test_a_place_that_is_not_for_here_is_not_asked_for() -> None:
    text = "lib @ git+https://github.com/acme/lib@v1 ; python_version < '3.4'\n./a ; sys_platform == 'linux'\n"
    assert [tree.path for tree in read_requirements({"r.txt": text}, "r.txt").trees] == ["a"]


def test_limits_that_name_a_place_are_said_not_to_be_followed() -> None:
    files = {"r.txt": "six\n-c limits.txt\n", "limits.txt": "lib @ git+https://github.com/acme/lib@v1\n"}
    found = read_requirements(files, "r.txt")
    assert found.trees == []
    assert "https://github.com/acme/lib at v1, which is not followed" in found.notes[0]


def test_indexes_are_followed_by_https_only_and_other_options_are_said() -> None:
    text = (
        "--extra-index-url https://download.example/whl/cpu\n-i http://plain.example/simple\n--no-binary :all:\n--pre\n"
    )
    found = read_requirements({"r.txt": f"{text}-f https://files.example/\nsix\n"}, "r.txt")
    assert found.indexes == ["https://download.example/whl/cpu"]
    assert found.links == ["https://files.example/"]
    assert found.prereleases
    assert ["--index-url" in note or "--no-binary" in note for note in found.notes] == [True, True]


def test_only_a_file_with_a_hash_on_every_line_is_a_lock() -> None:
    one, two = f"six==1 --hash=sha256:{'a' * 64}", "idna==2"
    assert read_requirements({"r.txt": one}, "r.txt").hashed
    assert not read_requirements({"r.txt": f"{one}\n{two}"}, "r.txt").hashed
    assert not read_requirements({"r.txt": ""}, "r.txt").hashed
    assert hashes(one) == {f"sha256:{'a' * 64}"}


@pytest.mark.parametrize(
    "text",
    [
        "setuptools>=40.8.0",
        "wheel",
        "numpy==1.26.*; python_version < '3.12'",
        "setuptools_scm[toml] >=6.2,<8",
        "a (>=1)",
    ],
)
def test_names_with_versions_and_markers_are_build_requirements(text: str) -> None:
    assert plain_build_requirement(text)


@pytest.mark.parametrize(
    "text", ["a @ https://example.org/a.whl", "--index-url https://x", "./a", "a==1 --hash=b", "a\n-r b", "-e .", "a/b"]
)
def test_addresses_paths_and_options_are_no_build_requirements(text: str) -> None:
    assert not plain_build_requirement(text)
