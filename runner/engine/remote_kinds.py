"""The image of restore for remotes that few runs have: DVC's own packages for them, installed when one is first asked.

A layer between the environment and our own code, like those with Debian's packages (`runner.engine.packages`): who has
no such remote pays nothing, and neither do trainings, which run on the plain image. Every package is pinned, also those
that come along, so that nothing is resolved and nothing of the environment below is replaced. `kinds/NAME.txt` is what
`uv pip compile` makes of `dvc[s3,NAME]` with the environment's own constraints, less those; from the top of a checkout:

    uv pip compile --universal --python-version 3.9 --no-header --no-annotate --no-emit-index-url \\
      --no-emit-find-links -c runner/engine/constraints.txt - <<< 'dvc[s3,NAME]' \\
      | grep -vxFf runner/engine/constraints.txt
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from runner.credentials.indexes import with_index_credentials
from runner.engine import labels
from runner.engine.base_image import BaseImage, not_made_offline
from runner.engine.docker import DockerEngine
from runner.engine.images import build_image, ensure_environment_image, ensure_tools_on, remove_build_images
from runner.network import NetworkSettings, read_network_settings
from runner.progress import Progress

REPOSITORY = "reproducibility-runner/remotes"
KINDS = {"ssh": "ssh", "webdav": "webdav", "webdavs": "webdav", "gs": "gs", "azure": "azure"}
"""The schemes that need a package of DVC's which the environment lacks, with that package's name."""

_RECIPE = """\
ARG ENVIRONMENT_IMAGE
FROM ${ENVIRONMENT_IMAGE} AS build
ARG OWNER=""
LABEL reproducibility-runner=build reproducibility-runner.owner=${OWNER}
COPY settings /settings
COPY requirements.txt /settings/
RUN set -e; . /settings/environment; bin=/opt/reproducibility-runner/venv/bin; \\
    $bin/uv pip install --quiet --no-cache --no-deps --compile-bytecode --python $bin/python \\
        --target /opt/reproducibility-runner/remotes -r /settings/requirements.txt

FROM ${ENVIRONMENT_IMAGE} AS remotes
ARG ENVIRONMENT_IMAGE
COPY --from=build /opt/reproducibility-runner/remotes /opt/reproducibility-runner/remotes
RUN set -e; cd /opt/reproducibility-runner/venv/lib/python3.*/site-packages; \\
    echo /opt/reproducibility-runner/remotes > reproducibility_runner_remotes.pth
LABEL reproducibility-runner=packages reproducibility-runner.parent=${ENVIRONMENT_IMAGE} \\
    reproducibility-runner.installed=""
"""


def needed_packages(schemes: Collection[str]) -> tuple[str, ...]:
    """Return which of DVC's packages remotes of these schemes need beyond those of the environment, in order."""
    return tuple(sorted({KINDS[scheme] for scheme in schemes if scheme in KINDS}))


def requirements(packages: Collection[str]) -> str:
    """Return the pinned requirements of DVC's packages of these names."""
    texts = [(Path(__file__).parent / "kinds" / f"{name}.txt").read_text(encoding="utf-8") for name in packages]
    lines = {line for text in texts for line in text.splitlines() if line and not line.startswith("#")}
    return "".join(f"{line}\n" for line in sorted(lines))


def layer_reference(environment: str, packages: Collection[str]) -> str:
    """Return the tag of the layer over the environment that it lies on, the recipe and all that is installed."""
    text = json.dumps([_RECIPE, environment, requirements(packages)])
    return f"{REPOSITORY}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def ensure_restore_image(
    engine: DockerEngine, base: BaseImage, schemes: Collection[str], *, progress: Progress, offline: bool = False
) -> str:
    """Return the tools image that can read remotes of these schemes, made if it is not there.

    Raises ImageUnavailable where its packages cannot be had, DiskFull.
    """
    packages = needed_packages(schemes)
    environment = ensure_environment_image(engine, base, progress=progress, offline=offline)
    if not packages:
        return ensure_tools_on(engine, environment, progress=progress)
    layer = layer_reference(environment, packages)
    if engine.image_digest(layer) is None:
        if offline:
            raise not_made_offline(f"the image that reads remotes by {' and '.join(packages)}")
        progress.line(f"making the image that reads remotes by {' and '.join(packages)}, once")
        network = with_index_credentials(read_network_settings())
        try:
            _build(engine, layer, environment, packages, network, progress)
        finally:
            remove_build_images(engine, owned_by=labels.owner())
    return ensure_tools_on(engine, layer, progress=progress)


def _build(
    engine: DockerEngine,
    layer: str,
    environment: str,
    packages: Collection[str],
    network: NetworkSettings,
    progress: Progress,
) -> None:
    arguments = {"ENVIRONMENT_IMAGE": environment, "OWNER": labels.owner()}
    files = [("requirements.txt", requirements(packages).encode())]
    build_image(engine, layer, _RECIPE, files, arguments, network, progress, target="remotes")
