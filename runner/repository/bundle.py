"""A commit with all of its ancestry in one file, for a container that has no access to the mirror.

The bundle holds HEAD and one ref, `refs/heads/reproduction`, both the commit; `git clone BUNDLE` gives that branch.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from runner.repository.local import lay_out
from runner.repository.mirror import Mirror, locked
from runner.repository.process import run_git

REF = "refs/heads/reproduction"


def cached_bundle(mirror: Mirror, commit: str) -> Path:
    """Return the bundle of a commit, by its full id, that lies beside the mirror; it is made if it is not there.

    Raises MissingFact where the mirror lacks the commit, DiskFull.
    """
    commit = mirror.resolve_commit(commit)
    folder = mirror.path.with_suffix(".bundles")
    bundle = folder / f"{commit}.bundle"
    if bundle.is_file():
        return bundle
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not bundle.is_file():
            _make(mirror, commit, bundle)
    return bundle


def _make(mirror: Mirror, commit: str, bundle: Path) -> None:
    for left in bundle.parent.glob("making-*"):  # by a process that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    # a repository of its own for the ref, so that two reruns never see each other's
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix="making-") as folder:
        double = Path(folder) / "double.git"
        lay_out(double, alternates=(mirror.path / "objects",))
        (double / REF).write_text(f"{commit}\n")
        (double / "HEAD").write_text(f"ref: {REF}\n")
        made = Path(folder) / "made.bundle"
        # one thread: packing by several is not the same twice
        run_git(double, "-c", "pack.threads=1", "bundle", "create", "--quiet", str(made), "HEAD", REF)
        with contextlib.suppress(PermissionError):
            made.chmod(0o444)
        made.replace(bundle)
