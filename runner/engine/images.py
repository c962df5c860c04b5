"""The tools image: the top-level `Dockerfile`, built by the engine from the installed package's own source.

It is built in two parts, so that a changed package does not install DVC anew: `environment` (base image, DVC, uv) and
`tools` (our own code on top). Each is tagged by a hash over all that goes into it; what is there is never built again.
Between the two there may be layers of Debian's packages (`runner.engine.packages`): what the auditor asked for by name,
for the training, and compilers, for building.
The build context:

    Dockerfile                      the part that is built
    settings/environment            shell: index, proxy and certificate variables of this host; thrown away
    settings/ca.pem                 its CA bundle; thrown away
    requirements.txt                what we need, with lower bounds
    constraints.txt                 exact versions, for each Python that DVC runs on
    lib/runner/...                  `runner/__init__.py` and `runner/inside`
    lib/reproducibility_runner/...  the capture
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import reproducibility_runner
import runner
from runner.credentials.indexes import with_index_credentials
from runner.engine import labels
from runner.engine.archive import ByteStream, folder_files, pack
from runner.engine.base_image import REPOSITORY as BASE_REPOSITORY
from runner.engine.base_image import BaseImage, local_pythons, not_made_offline
from runner.engine.docker import DockerEngine
from runner.engine.faults import api_fault, engine_faults
from runner.engine.packages import COMPILERS, ensure_layer, existing_layer, layers_on
from runner.errors import DiskFull, ImageUnavailable, RunnerError
from runner.network import NetworkSettings, read_network_settings
from runner.progress import NoProgress, Progress
from runner.redact import redact
from runner.schema.plan import GIVEN_BASE

ENVIRONMENT_REPOSITORY = "reproducibility-runner/environment"
TOOLS_REPOSITORY = "reproducibility-runner/tools"

_CA_PATH = "/settings/ca.pem"
_BUILD_TIMEOUT_S = 1800

Files = Iterable[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class ToolsImage:
    """A tools image by name and content id; `installed` are the packages of the layers between it and its base."""

    reference: str
    digest: str
    installed: Mapping[str, str]


def ensure_tools_image(
    engine: DockerEngine,
    base: BaseImage,
    *,
    progress: Progress | None = None,
    network: NetworkSettings | None = None,
    offline: bool = False,
) -> tuple[str, str]:
    """Return (reference, content id) of the tools image on this base, built if it is not there.

    `network` is this host's if not given; `offline` forbids to use it. Raises ImageUnavailable with the end of the
    build's output.
    """
    image = ensure_layered_image(engine, base, (), progress=progress, network=network, offline=offline)
    return image.reference, image.digest


def ensure_layered_image(
    engine: DockerEngine,
    base: BaseImage,
    layers: Sequence[Sequence[str]],
    *,
    progress: Progress | None = None,
    network: NetworkSettings | None = None,
    offline: bool = False,
) -> ToolsImage:
    """Return the tools image with layers of Debian's packages beneath our own code, each built if it is not there.

    `offline` forbids to fetch packages for any of it. Raises what `ensure_tools_image` and `ensure_layer` raise.
    """
    progress = progress or NoProgress()
    there = tools_image_there(engine, base, layers)
    if there is not None:
        return there
    if offline and layers:
        raise _not_made(base, layers)
    below = ensure_environment_image(engine, base, progress=progress, network=network, offline=offline)
    installed: dict[str, str] = {}
    for names in layers:
        layer = ensure_layer(engine, below, names, progress=progress)
        below = layer.reference
        installed |= layer.installed
    tools = ensure_tools_on(engine, below, progress=progress)
    digest = engine.image_digest(tools)
    if digest is None:
        raise ImageUnavailable(f"the engine did not keep {tools} after its build", "runner doctor")
    return ToolsImage(reference=tools, digest=digest, installed=installed)


def ensure_tools_on(engine: DockerEngine, below: str, *, progress: Progress) -> str:
    """Return the image with our own code on an environment or a layer above one, made if it is not there."""
    recipe = dockerfile()
    tools = tools_reference(recipe, below)
    if engine.image_digest(tools) is None:
        progress.line("putting our own code into the tools image")
        _build(engine, tools, last_stage(recipe), library_files(), {"ENVIRONMENT_IMAGE": below}, progress)
    return tools


def _not_made(base: BaseImage, layers: Sequence[Sequence[str]]) -> ImageUnavailable:
    compilers = any(tuple(names) == COMPILERS for names in layers)
    names = [name for layer in layers if tuple(layer) != COMPILERS for name in layer]
    on = ["--base-image", base.reference] if base.origin == GIVEN_BASE else ["--python", base.python]
    options = [*on, *["--compilers"] * compilers, *(["--system-packages", ",".join(names)] if names else [])]
    what = " and ".join([*["compilers"] * compilers, *names])
    return ImageUnavailable(
        f"the image with {what} is not there, and --offline forbids to make it",
        shlex.join(["runner", "setup", *options]),
    )


def ensure_environment_image(
    engine: DockerEngine,
    base: BaseImage,
    *,
    progress: Progress,
    network: NetworkSettings | None = None,
    offline: bool = False,
) -> str:
    """Return the image that holds DVC and uv on this base, made if it is not there. Raises ImageUnavailable."""
    recipe = dockerfile()
    base_id = engine.image_digest(base.reference)
    if base_id is None:
        raise ImageUnavailable(f"the base image {base.reference} is not there", "runner setup")
    environment = environment_reference(recipe, base_id)
    if engine.image_digest(environment) is not None:
        return environment
    if offline:
        raise not_made_offline("the image that holds DVC and uv")
    progress.line(f"making the image that holds DVC and uv, on {base.reference}")
    network = network or with_index_credentials(read_network_settings())
    for note in network.notes:
        progress.line(note)
    arguments = {"BASE_IMAGE": base.reference, "OWNER": labels.owner()}
    files = [(name, _packaged(name).encode()) for name in ("requirements.txt", "constraints.txt")]
    try:
        build_image(
            engine, environment, first_stages(recipe), files, arguments, network, progress, target="environment"
        )
    finally:
        remove_build_images(engine, owned_by=labels.owner())
    return environment


def tools_image_there(engine: DockerEngine, base: BaseImage, layers: Sequence[Sequence[str]]) -> ToolsImage | None:
    """Return the image that `ensure_layered_image` would give, None where it, or what it stands on, is not there."""
    base_id = engine.image_digest(base.reference)
    if base_id is None:
        return None
    recipe = dockerfile()
    below = environment_reference(recipe, base_id)
    installed: dict[str, str] = {}
    for names in layers:
        layer = existing_layer(engine, below, names)
        if layer is None:
            return None
        below = layer.reference
        installed |= layer.installed
    tools = tools_reference(recipe, below)
    digest = engine.image_digest(tools)
    return None if digest is None else ToolsImage(reference=tools, digest=digest, installed=installed)


def tools_image_for(engine: DockerEngine, base: BaseImage) -> str | None:
    """Return the reference that `ensure_tools_image` would give, None where the base image is not there."""
    base_id = engine.image_digest(base.reference)
    if base_id is None:
        return None
    recipe = dockerfile()
    return tools_reference(recipe, environment_reference(recipe, base_id))


def environment_reference(recipe: str, base_id: str) -> str:
    """Return the tag over the recipe's stages but the last, base image and requirements."""
    parts = (first_stages(recipe), base_id, _packaged("requirements.txt"), _packaged("constraints.txt"))
    return f"{ENVIRONMENT_REPOSITORY}:{_hash(part.encode() for part in parts)}"


def tools_reference(recipe: str, environment: str) -> str:
    """Return the tag over the recipe's last stage, the environment image and our own source."""
    pieces = [last_stage(recipe).encode(), environment.encode()]
    pieces += [piece for path, content in library_files() for piece in (path.encode(), content)]
    return f"{TOOLS_REPOSITORY}:{_hash(pieces)}"


@dataclass(frozen=True, kw_only=True)
class Family:
    """The images that commands use on one base image, made or not.

    `tools` is the plain one; `others` are layers of Debian's packages, and the tools images on these.
    """

    base: str
    environment: str
    tools: str
    others: tuple[str, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """All of them."""
        return (self.base, self.environment, self.tools, *self.others)


def families_in_use(engine: DockerEngine) -> list[Family]:
    """Return the images that the next command would use, whoever's base image they stand on."""
    recipe = dockerfile()
    with engine_faults("listing environment images"):
        images = engine.client.images(filters={"label": f"{labels.LABEL}={labels.ENVIRONMENT}"})
    bases = {str((image.get("Labels") or {}).get(labels.BASE_NAME, "")) for image in images}
    bases |= {f"{BASE_REPOSITORY}:py{python}" for python in local_pythons(engine)}
    families = []
    for base in sorted(bases - {""}):
        base_id = engine.image_digest(base)
        if base_id is not None:
            environment = environment_reference(recipe, base_id)
            layers = layers_on(engine, (environment,))
            tools, *layered = (tools_reference(recipe, below) for below in (environment, *layers))
            families.append(Family(base=base, environment=environment, tools=tools, others=(*layers, *layered)))
    return families


def created(engine: DockerEngine, reference: str) -> datetime | None:
    """Return when an image was made, None where it is not there."""
    import docker.errors

    with engine_faults(f"looking up {reference}"):
        try:
            said = str(engine.client.inspect_image(reference)["Created"])
        except docker.errors.NotFound:
            return None
    # Nanoseconds are more than Python reads.
    return datetime.fromisoformat(said[:19] + "+00:00")


def dockerfile() -> str:
    """Return the text of the Dockerfile: beside this module in a wheel, else at the top of the checkout."""
    for path in (Path(__file__).with_name("Dockerfile"), Path(__file__).parents[2] / "Dockerfile"):
        if path.is_file():
            return path.read_text()
    raise ImageUnavailable("the Dockerfile is missing from the installation", "pip install --force-reinstall .")


def first_stages(recipe: str) -> str:
    """Return the recipe without its last stage."""
    return recipe[: recipe.rindex("\nFROM ") + 1]


def last_stage(recipe: str) -> str:
    """Return the recipe's last stage with the arguments before the first.

    The classic builder makes every stage before the one that is asked for; this leaves them out.
    """
    lines = recipe.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    arguments = [line for line in lines[: starts[0]] if line.startswith("ARG ")]
    return "".join([*arguments, *lines[starts[-1] :]])


def library_files() -> list[tuple[str, bytes]]:
    """Return our own source as it goes into the image: what runs inside, and the capture."""
    package = Path(runner.__file__).parent
    capture = Path(reproducibility_runner.__file__).parent
    return [
        ("lib/runner/__init__.py", (package / "__init__.py").read_bytes()),
        *folder_files(package / "inside", "lib/runner/inside"),
        *folder_files(capture, "lib/reproducibility_runner"),
    ]


def remove_build_images(engine: DockerEngine, *, owned_by: str | None = None) -> int:
    """Remove what builds left: those of one owner, or of dead processes of this host. Return how many there were.

    They hold the index settings of a host, so none may stay.
    """
    import docker.errors

    removed = 0
    with engine_faults("removing the build's own images"):
        for image in engine.client.images(filters={"label": f"{labels.LABEL}=build"}, all=True):
            owner = (image.get("Labels") or {}).get(labels.OWNER, "")
            if owner != owned_by and not labels.owner_is_dead(owner):
                continue
            # A parent cannot go before its children, and goes with the last of them.
            with contextlib.suppress(docker.errors.APIError):
                engine.client.remove_image(image["Id"], force=True)
                removed += 1
    return removed


def build_image(
    engine: DockerEngine,
    reference: str,
    recipe: str,
    files: Files,
    arguments: Mapping[str, str],
    network: NetworkSettings,
    progress: Progress,
    *,
    target: str,
) -> None:
    """Build the stage `target` of a recipe whose stages may use this host's index, by `settings` in the context.

    No stage that sees them may be part of the image. Raises ImageUnavailable with the end of the output, DiskFull.
    """
    variables = network.variables(_CA_PATH)
    script = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    settings = [("settings/environment", script.encode()), ("settings/ca.pem", network.ca_bundle or b"")]
    _build(engine, reference, recipe, [*files, *settings], arguments, progress, network=network, target=target)


def _build(
    engine: DockerEngine,
    reference: str,
    recipe: str,
    files: Files,
    arguments: Mapping[str, str],
    progress: Progress,
    *,
    network: NetworkSettings | None = None,
    target: str = "tools",
) -> None:
    network = network or NetworkSettings()
    proxies = {name: value for key, value in network.proxies.items() for name in (key, key.upper())}
    said: list[str] = []
    with engine_faults(f"building {reference}"):
        events: Iterator[dict[str, Any]] = engine.client.build(
            fileobj=ByteStream(pack([("Dockerfile", recipe.encode()), *files])),
            custom_context=True,
            tag=reference,
            target=target,
            # Proxy variables are no part of an image's history.
            buildargs={**arguments, **proxies},
            network_mode="host" if network.needs_host_network else None,
            rm=True,
            forcerm=True,
            decode=True,
            timeout=_BUILD_TIMEOUT_S,
            use_config_proxy=False,
        )
        for event in events:
            if "error" in event:
                raise _build_fault(reference, str(event["error"]), said)
            text = str(event.get("stream", "")).strip()
            if text:
                said = [*said[-12:], text]
                progress.update(redact(text.splitlines()[0][:100]))


def _build_fault(reference: str, error: str, said: list[str]) -> RunnerError:
    fault = api_fault(f"building {reference}", error + " " + " ".join(said[-3:]))
    if isinstance(fault, DiskFull):
        return fault
    text = redact(" | ".join([*said[-4:], error]))
    return ImageUnavailable(f"{reference} could not be built: {text[-900:]}", "runner doctor, then `runner setup`")


def _packaged(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _hash(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()[:16]
