"""What a training imports is compiled, without importing it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from runner.inside.packages.bytecode import compile_reachable, imports_of_sources, top_level_modules

FILES = {
    "one/__init__.py": "from . import near\nfrom .deep.down import thing\nimport two as t\nraise SystemExit(1)",
    "one/near.py": "def late():\n    import three\nclass C:\n    from one import inclass\n",
    "one/inclass.py": "",
    "one/apart.py": "",
    "one/tests/__init__.py": "",
    "one/deep/__init__.py": "",
    "one/deep/down.py": "from .. import near\nfrom ..tests import helper\ntry: import four\nexcept ImportError: pass\n",
    "two.py": "import json, broken\n",
    "three.py": "",
    "four.py": "",
    "broken.py": "print 'python 2'\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def compiled(site: Path) -> set[str]:
    sources = (importlib.util.source_from_cache(str(path)) for path in site.rglob("*.pyc"))
    return {Path(source).relative_to(site).as_posix() for source in sources}


def test_what_is_imported_at_the_top_is_compiled_and_the_rest_is_not(site: Path) -> None:
    compile_reachable(site, ["one", "not_there"], seconds=30, processes=1)
    reached = {"one/__init__.py", "one/near.py", "one/inclass.py", "one/deep/__init__.py", "one/deep/down.py"}
    assert compiled(site) == reached | {"two.py", "four.py"}


CHECKED = """
import sys
from typing import TYPE_CHECKING
import typing as t
if TYPE_CHECKING:
    import one

    from one.deep import down
    if t.TYPE_CHECKING:
        import three
else:
    import two
if sys.version_info < (3, 7) or TYPE_CHECKING:
    import three
if not TYPE_CHECKING:
    import four
class C:
    if t.TYPE_CHECKING:
        import three
"""


def test_what_type_checkers_alone_read_is_not_compiled(site: Path) -> None:
    (site / "checked.py").write_text(CHECKED)
    compile_reachable(site, ["checked"], seconds=30, processes=1)
    assert compiled(site) == {"checked.py", "two.py", "four.py"}


def test_python_takes_what_was_compiled(site: Path) -> None:
    compile_reachable(site, ["one.near", "four"], seconds=30, processes=1)
    cached = Path(importlib.util.cache_from_source(str(site / "four.py")))
    before = cached.stat().st_mtime_ns, cached.read_bytes()
    done = subprocess.run(
        [sys.executable, "-v", "-c", "import four"], cwd=site, capture_output=True, text=True, check=True
    )
    assert "matches" in "".join(line for line in done.stderr.splitlines() if "four" in line)
    assert (cached.stat().st_mtime_ns, cached.read_bytes()) == before


def test_no_time_compiles_nothing_and_ends(site: Path) -> None:
    assert compile_reachable(site, ["one"], seconds=-1, processes=1) == 0


def test_scripts_name_modules_by_import_and_by_attribute() -> None:
    sources = {
        "train.py": "import mlflow, numpy as np\nfrom sklearn import svm\nmlflow.sklearn.log(1)\nnp.linalg.norm\n",
        "old.py": "print 'python 2'",
    }
    found = imports_of_sources(sources)
    assert {"mlflow", "mlflow.sklearn", "numpy", "numpy.linalg", "sklearn", "sklearn.svm"} <= found


def test_packages_give_the_names_they_are_imported_by(tmp_path: Path) -> None:
    (tmp_path / "scikit_learn-1.0.dist-info").mkdir()
    record = (
        "sklearn/__init__.py,,\nsklearn/svm/__init__.py,,\n../../bin/x,,\nscikit_learn-1.0.dist-info/A,,\nsix.py,,\n"
    )
    (tmp_path / "scikit_learn-1.0.dist-info" / "RECORD").write_text(record)
    assert top_level_modules(tmp_path, ["scikit-learn"]) == {"sklearn", "six"}
    assert top_level_modules(tmp_path, ["other"]) == set()
