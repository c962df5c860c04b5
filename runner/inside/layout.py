"""Where things lie in our containers. Standard library only: it runs there and is read by the host.

One volume holds caches and workspaces, because hard links never cross a mount. The training sees of it only its own
sandbox and its own environment, each mounted by itself.
"""

from __future__ import annotations

CACHE = "/cache"
OBJECTS = "/cache/objects"  # DVC's cache: objects/files/md5/XX/YYY…, root's, 0444
VERIFIED = "/cache/verified"  # one JSON per object that we hashed: sha256, size, inode, ctime
UV_CACHE = "/cache/uv"
ENVIRONMENTS = "/cache/environments"  # environments/KEY, ready once KEY/.ready exists
LOCKS = "/cache/locks"  # locks/SPECIFICATION_KEY.json: the resolved lock and its environment's key
BUILT = "/cache/built"  # what 2b built, keyed to repository and commit
INCOMING = "/cache/incoming"  # what `setup --load` brought, until all of it is there
WORK = "/cache/work"  # work/RERUN/{sandbox,reference,state}

SANDBOX = "sandbox"  # all that the training may write: one folder, so that one mount is enough
REFERENCE = "reference"  # recorded outputs, kept where the training cannot see them
STATE = "state"  # what restore tells collect

SANDBOX_TARGET = "/sandbox"
WORKSPACE = "workspace"  # the clone
CAPTURE = "capture"
HOME = "home"
TEMPORARY = "tmp"
WORKSPACE_TARGET = "/sandbox/workspace"
CAPTURE_TARGET = "/sandbox/capture"
HOME_TARGET = "/sandbox/home"
TEMPORARY_TARGET = "/sandbox/tmp"

CAPTURE_PACKAGE = "/opt/reproducibility-runner/capture"  # reproducibility_runner and its entry points
LIBRARY = "/opt/reproducibility-runner/lib"  # this package, for the phases that run our own code
TOOLS_PYTHON = "/opt/reproducibility-runner/venv/bin/python"
TOOLS_PATH = "/opt/reproducibility-runner/path"  # holds `dvc` alone, for trainings that call it

TRAINER_UID = 10001
TRAINER_GID = 10001


def work(rerun: str, part: str = "") -> str:
    """Return the folder of a rerun in the cache volume, as seen where the whole volume is mounted at `CACHE`."""
    return f"{WORK}/{rerun}/{part}".rstrip("/")


def work_subpath(rerun: str, part: str) -> str:
    """Return the same folder relative to the volume, for mounting it alone."""
    return f"work/{rerun}/{part}"


def environment_subpath(key: str) -> str:
    """Return an environment's folder relative to the volume, for mounting it alone."""
    return f"environments/{key}"
