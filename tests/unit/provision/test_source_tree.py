"""Places that packages are built from: folders of the repository, and other repositories by git."""

from __future__ import annotations

import pytest

from runner.inside.packages.source_tree import SourceTree, of_git, of_line

SHA = "0123456789abcdef0123456789abcdef01234567"
GITHUB = "https://github.com/acme/lib.git"


def tree(line: str, root: str = ".") -> SourceTree:
    found = of_line(line, root)
    assert found is not None
    assert found[1] == ""
    return found[0]


@pytest.mark.parametrize(
    ("line", "path", "editable", "extras"),
    [
        (".", ".", False, ""),
        ("-e .", ".", True, ""),
        ("-e .[dev,test]", ".", True, "[dev,test]"),
        (".[dev]", ".", False, "[dev]"),
        ("--editable=.", ".", True, ""),
        ("file:.", ".", False, ""),
        ("./libs/foo", "libs/foo", False, ""),
        ("./libs/foo/", "libs/foo", False, ""),
        ("libs/foo", "libs/foo", False, ""),
        ("-e libs", "libs", True, ""),
        ("-e './libs/foo[all]'", "libs/foo", True, "[all]"),
        (".\\libs\\foo", "libs/foo", False, ""),
        ("foo @ ./libs/foo", "libs/foo", False, ""),
        ("foo[x] @ file:./libs/foo", "libs/foo", False, "[x]"),
        ("./wheels/foo-1.0-py3-none-any.whl", "wheels/foo-1.0-py3-none-any.whl", False, ""),
        ("foo-1.0.tar.gz", "foo-1.0.tar.gz", False, ""),
        ("./libs/foo --config-settings=x", "libs/foo", False, ""),
    ],
)
def test_a_line_names_a_folder_or_an_archive_of_the_repository(
    line: str, path: str, editable: bool, extras: str
) -> None:
    found = tree(line)
    assert (found.path, found.editable, found.extras, found.address) == (path, editable, extras, None)
    assert found.is_file == path.endswith((".whl", ".gz"))
    assert found.exact


def test_paths_begin_at_the_folder_of_the_list() -> None:
    assert tree("-e ../shared", "app").path == "shared"
    assert tree("-e .", "app").path == "app"


@pytest.mark.parametrize(
    ("line", "address", "revision", "path", "name", "extras"),
    [
        (f"lib @ git+{GITHUB}@{SHA}", GITHUB, SHA, ".", "lib", ""),
        (f"lib[x] @ git+{GITHUB}@v1.2", GITHUB, "v1.2", ".", "lib", "[x]"),
        (f"git+{GITHUB}", GITHUB, None, ".", None, ""),
        (f"-e git+{GITHUB}@main#egg=my_lib[x]&subdirectory=python", GITHUB, "main", "python", "my_lib", "[x]"),
        (f"git+ssh://git@github.com/acme/lib@{SHA}", "ssh://git@github.com/acme/lib", SHA, ".", None, ""),
        ("git+ssh://git@github.com/acme/lib", "ssh://git@github.com/acme/lib", None, ".", None, ""),
        (f"git+https://token:x@github.com/a/b@{SHA}", "https://github.com/a/b", SHA, ".", None, ""),
        ("git+https://github.com/a/b@feature/x", "https://github.com/a/b", "feature/x", ".", None, ""),
        ("git+git@github.com:acme/lib.git", "ssh://git@github.com/acme/lib.git", None, ".", None, ""),
    ],
)
def test_a_line_names_another_repository_without_its_credentials(
    line: str, address: str, revision: str | None, path: str, name: str | None, extras: str
) -> None:
    found = tree(line)
    assert (found.address, found.revision, found.path, found.name, found.extras) == (
        address,
        revision,
        path,
        name,
        extras,
    )
    assert found.exact == (revision == SHA)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("git+file:///srv/lib", "only https and ssh"),
        ("git+git://github.com/a/b", "only https and ssh"),
        ("git+http://example.org/a/b", "only https and ssh"),
        ("git+https://-oProxyCommand=x/a", "only https and ssh"),
        (f"git+{GITHUB}#subdirectory=../..", "lies outside of it"),
        ("hg+https://example.org/a", "only repositories of git"),
        ("-e svn+ssh://example.org/a", "only repositories of git"),
        ("lib @ http://example.org/lib.whl", "only its author's machine had"),
        ("numpy @ file:///croot/numpy_1687/work", "only its author's machine had"),
        ("-e /home/ann/lib", "only its author's machine had"),
        ("C:\\Users\\ann\\lib", "only its author's machine had"),
        ("~/lib", "only its author's machine had"),
        ("-e ../lib", "outside the repository"),
        ("../../lib", "outside the repository"),
        ("-e https://example.org/lib.zip", "only its author's machine had"),
    ],
)
def test_a_place_that_cannot_be_had_again_is_refused_with_the_reason(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        of_line(line, ".")


@pytest.mark.parametrize(
    "line",
    ["six", "six==1.16.0", "six [x] >= 1 ; python_version < '3'", "lib @ https://files.example/lib-1-py3-none-any.whl"],
)
def test_what_an_index_has_is_no_such_place(line: str) -> None:
    assert of_line(line, ".") is None


def test_a_marker_stays_beside_the_place() -> None:
    found = of_line(f"lib @ git+{GITHUB}@{SHA} ; python_version < '3.8'", ".")
    assert found is not None
    assert found[1] == "python_version < '3.8'"


def test_what_is_built_of_two_places_is_kept_apart_and_extras_make_no_difference() -> None:
    one, other = of_git(GITHUB, name="a", revision=SHA), of_git(GITHUB, name="a", revision=SHA[::-1])
    assert one.key != other.key
    assert tree("-e .").key != tree(".").key
    assert tree(".[dev]").key == tree(".").key
    assert one.title == f"{GITHUB} at {SHA}"
    assert tree("-e libs/foo").title == "libs/foo of the repository"


@pytest.mark.parametrize(
    ("revision", "version"),
    [("v1.2.3", "1.2.3"), ("1.0rc1", "1.0rc1"), ("release-2.0", "2.0"), ("main", None), (SHA, None), (None, None)],
)
def test_the_name_of_a_tag_tells_a_version_that_no_archive_can_tell(revision: str | None, version: str | None) -> None:
    assert of_git(GITHUB, name="lib", revision=revision).known_version == version
    assert of_git(GITHUB, name="lib", revision=revision, version="9").known_version == "9"
