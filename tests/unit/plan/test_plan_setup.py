"""`setup.py` and `setup.cfg`, read without being run."""

from __future__ import annotations

import textwrap

import pytest

from runner.plan.lists.setup_script import read_setup_script
from runner.plan.lists.setuptools import read_project, read_setup
from tests.support.facts import snapshot


def requires(script: str, **texts: str) -> tuple[str, ...] | None:
    files = {
        "setup.py": textwrap.dedent(script),
        **{name.replace("_txt", ".txt"): text for name, text in texts.items()},
    }
    return read_setup_script(snapshot(files), "setup.py").requires


@pytest.mark.parametrize(
    "script",
    [
        "from setuptools import setup\nsetup(install_requires=['numpy', 'pandas>=1'])",
        "import setuptools\nsetuptools.setup(name='x', install_requires=('numpy', 'pandas>=1'))",
        "REQUIRED = ['numpy', 'pandas>=1']\nsetup(install_requires=REQUIRED)",
        "A = ['numpy']\nB = ['pandas>=1']\nsetup(install_requires=A + B)",
        "A = ['numpy']\nA += ['pandas>=1']\nsetup(install_requires=list(A))",
        "P = 'pandas>=1'\nsetup(install_requires=['numpy', P])",
        "D = {'base': ['numpy', 'pandas>=1']}\nsetup(install_requires=D['base'])",
        "setup(install_requires='''\nnumpy\npandas>=1\n''')",
        "A = ['numpy']\nsetup(install_requires=[*A, 'pandas>=1'])",
        "CONFIG = dict(install_requires=['numpy', 'pandas>=1'])\nsetup(**CONFIG)",
        "CONFIG = {'install_requires': ['numpy', 'pandas>=1']}\nsetup(name='x', **CONFIG)",
        "if __name__ == '__main__':\n    setup(install_requires=['numpy', 'pandas>=1'])",
    ],
)
def test_a_list_that_is_written_down_is_read(script: str) -> None:
    assert [line for line in requires(script) or () if line] == ["numpy", "pandas>=1"]


@pytest.mark.parametrize(
    "script",
    [
        "setup(install_requires=open('requirements.txt').read().splitlines())",
        "setup(install_requires=open('requirements.txt').readlines())",
        """
        with open('requirements.txt') as f:
            required = f.read().splitlines()
        setup(install_requires=required)
        """,
        """
        from pathlib import Path
        HERE = Path(__file__).parent
        setup(install_requires=(HERE / "requirements.txt").read_text().splitlines())
        """,
        """
        import os
        here = os.path.abspath(os.path.dirname(__file__))
        def read(name):
            with open(os.path.join(here, name)) as file:
                return file.read()
        setup(long_description=read('README.md'), install_requires=read('requirements.txt').split('\\n'))
        """,
        """
        def requirements():
            return [line.strip() for line in open('requirements.txt') if line.strip() and not line.startswith('#')]
        setup(install_requires=requirements())
        """,
        """
        from pip._internal.req import parse_requirements
        reqs = parse_requirements('requirements.txt', session='hack')
        setup(install_requires=[str(r.requirement) for r in reqs])
        """,
        """
        with open('requirements.txt') as f:
            lines = f.readlines()
        install = [line.strip() for line in lines]
        setup(install_requires=install)
        """,
    ],
)
def test_a_list_that_is_taken_from_a_file_is_that_file(script: str) -> None:
    assert requires(script, requirements_txt="numpy\n") == ("-r requirements.txt",)


@pytest.mark.parametrize(
    "script",
    [
        "setup(install_requires=find())",
        "setup(**read())",
        "setup(install_requires=open('absent.txt').read().splitlines())",
        "setup(install_requires=open('a.txt').readlines() + open('requirements.txt').readlines())",
        "A = []\nfor line in open('requirements.txt'):\n    A.append(line)\nsetup(install_requires=A)",
        "A = ['numpy']\nif WINDOWS:\n    A = ['pywin32']\nsetup(install_requires=A)",
        "A = ['numpy']\nA.append(NAME)\nsetup(install_requires=A)",
        "A = B\nB = A\nsetup(install_requires=A)",
        "print 'python 2'",
        "if X:\n    setup()\nelse:\n    setup(install_requires=['numpy'])",
    ],
)
def test_what_only_running_it_tells_is_left_to_the_build(script: str) -> None:
    assert requires(script, requirements_txt="numpy\n") is None
    files = {"setup.py": script, "requirements.txt": "numpy\n"}
    (found,) = read_setup(snapshot(files), "setup.py")
    assert (found.install_project, found.lines) == (True, ())
    assert "only when it is run" in found.notes[0]


def test_a_setup_script_that_lists_nothing_is_no_list() -> None:
    assert read_setup(snapshot({"setup.py": "setup(name='src', packages=find_packages())"}), "setup.py") == []
    assert read_setup(snapshot({"setup.py": "setup(install_requires=[])"}), "setup.py") == []


def test_a_project_is_installed_where_it_has_modules() -> None:
    def of(script: str) -> bool:
        return read_setup(snapshot({"setup.py": script}), "setup.py")[0].install_project

    assert of("setup(install_requires=['six'], packages=find_packages())")
    assert of("setup(install_requires=['six'], py_modules=['a'])")
    assert not of("setup(name='x', install_requires=['six'])")


def test_the_configuration_says_what_the_script_does_not() -> None:
    text = """
[metadata]
name = x
[options]
python_requires = >=3.8,<3.9
packages = find:
install_requires =
    numpy>=1.20
    pandas  # frames
    # not this
    pywin32; sys_platform == "win32"
"""
    texts = {"p/setup.py": "from setuptools import setup\nsetup()\n", "p/setup.cfg": text}
    said = read_project(snapshot(texts), "p")
    assert said is not None
    assert said.requires == ("numpy>=1.20", "pandas", 'pywin32; sys_platform == "win32"')
    assert said.package
    (found,) = read_setup(snapshot(texts), "p/setup.py")
    assert set(found.files) == set(texts)
    assert read_setup(snapshot(texts), "p/setup.cfg") == []
    (alone,) = read_setup(snapshot({"setup.cfg": text}), "setup.cfg")
    assert alone.lines == said.requires


def test_a_configuration_may_name_files() -> None:
    texts = {"setup.cfg": "[options]\ninstall_requires = file: requirements.txt\n", "requirements.txt": "numpy==1.0\n"}
    (found,) = read_setup(snapshot(texts), "setup.cfg")
    assert (found.lines, found.requirements, found.exact) == (("-r requirements.txt",), ("numpy==1.0",), True)


def test_setup_cfg_is_named_where_the_script_beside_it_leaves_it_to_say_what_is_needed() -> None:
    cfg = "[options]\ninstall_requires =\n  numpy==1.0\npackages = find:\n"
    silent = {"setup.py": "from setuptools import setup\nsetup()\n", "setup.cfg": cfg}
    speaking = {**silent, "setup.py": "from setuptools import setup\nsetup(install_requires=['six==1'])\n"}
    assert read_setup(snapshot(silent), "setup.py")[0].source == "setup.cfg at the commit"
    assert read_setup(snapshot(speaking), "setup.py")[0].source == "setup.py at the commit"
