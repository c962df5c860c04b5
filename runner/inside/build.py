"""Phase 2b: builds one wheel from source, without a network and without credentials. Runs foreign code.

Started by path with the job's folder as its argument; standard library only, imports nothing of ours, tells nothing
but its exit status (0: see output/dist, 10: see output/need.json) and the build's log.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

NEEDS_MORE = 10

# Runs in the build's own environment. PEP 517 and 660, as far as one build of one wheel asks for them.
_HOOK = r"""
import importlib, json, os, sys
job = json.load(open(sys.argv[1]))
what = sys.argv[2]
source = os.path.join(job["source"], job["root"])
os.chdir(source)
sys.argv = ["setup.py"]
for path in reversed(job["backend_path"]):
    sys.path.insert(0, os.path.join(source, path))
module, _, attribute = job["backend"].partition(":")
backend = importlib.import_module(module)
for name in filter(None, attribute.split(".")):
    backend = getattr(backend, name)
kind = "editable" if job["editable"] and hasattr(backend, "build_editable") else "wheel"
if what == "requires":
    hook = getattr(backend, f"get_requires_for_build_{kind}", None)
    listed = list(hook(None)) if hook else []
    with open(os.path.join(job["output"], "requires.json"), "w") as file:
        json.dump([str(text) for text in listed], file)
else:
    def libraries():
        found = (os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names)
        return {path for path in found if path.endswith(".so")}
    dist = os.path.join(job["output"], "dist")
    os.makedirs(dist, exist_ok=True)
    before = libraries()
    name = getattr(backend, f"build_{kind}")(dist, None, None)
    if kind == "editable" and libraries() - before:
        # What was compiled beside the sources will not be in the workspace that trains.
        os.remove(os.path.join(dist, name))
        backend.build_wheel(dist, None, None)
"""

_UNMET = r"""
import importlib.metadata, json, re, sys
def normalised(name): return re.sub(r"[-_.]+", "-", name).lower()
have = {normalised(d.metadata["Name"]) for d in importlib.metadata.distributions() if d.metadata["Name"]}
known = json.load(open(sys.argv[1]))["requires"]
def met(text):
    name, rest = re.match(r"\s*([A-Za-z0-9._-]*)\s*(.*)", text, re.S).groups()
    return text in known or (normalised(name) in have and rest in ("", ";") and name)
json.dump([text for text in json.load(open(sys.argv[2])) if not met(text)], sys.stdout)
"""


def main() -> int:
    """Build what the job describes; return the exit status."""
    with open(os.path.join(sys.argv[1], "input", "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    path = os.path.join(sys.argv[1], "input", "job.json")
    os.makedirs(os.environ.get("TMPDIR", "/tmp"), exist_ok=True)  # noqa: S108  # the container's own
    _unpack(job)
    if status := _run(job, ["-c", _HOOK, path, "requires"]):
        return status
    listed = os.path.join(job["output"], "requires.json")
    unmet = subprocess.run(
        [job["python"], "-c", _UNMET, path, listed], capture_output=True, text=True, check=True
    ).stdout
    if json.loads(unmet):
        with open(os.path.join(job["output"], "need.json"), "w", encoding="utf-8") as file:
            file.write(unmet)
        return NEEDS_MORE
    return _run(job, ["-c", _HOOK, path, "build"])


def _run(job: dict[str, object], arguments: list[str]) -> int:
    return subprocess.run([str(job["python"]), *arguments], stdin=subprocess.DEVNULL, check=False).returncode


def _unpack(job: dict[str, str]) -> None:
    # Only this container's own folders can be written, so nothing is at stake that building could not do as well.
    archive, source = job["archive"], job["source"]
    if archive.endswith("project.tar"):
        with tarfile.open(archive) as tar:
            tar.extractall(source)  # noqa: S202
        return
    place = f"{source}.unpacked"
    os.makedirs(place, exist_ok=True)
    if archive.endswith(".zip"):
        with zipfile.ZipFile(archive) as pack:
            pack.extractall(place)  # noqa: S202
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(place)  # noqa: S202
    (top,) = [name for name in os.listdir(place) if os.path.isdir(os.path.join(place, name))]
    shutil.move(os.path.join(place, top), source)


if __name__ == "__main__":
    sys.exit(main())
