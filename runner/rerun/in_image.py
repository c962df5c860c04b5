"""The environment of a run that trained in an image: what its own Python says. Plan -> ResolvedEnvironment."""

from __future__ import annotations

from runner.engine.interface import Engine
from runner.engine.recorded_image import probe_image
from runner.errors import InternalError, MissingFact
from runner.schema.plan import DEFAULT_PYTHON, OF_IMAGE, Plan
from runner.schema.rerun import ResolvedEnvironment


def environment_of_image(engine: Engine, plan: Plan) -> ResolvedEnvironment:
    """Return the Python and the packages of the image that the plan trains in.

    Raises MissingFact where it has another Python than the run's.
    """
    image = plan.environment.image
    if image is None or plan.images.train is None:
        raise InternalError("the plan trains in no image", "report it")
    pythons = probe_image(engine, plan.images.train).pythons
    wanted = plan.environment.python
    if not pythons or (wanted != OF_IMAGE and not pythons[0].version.startswith(f"{wanted}.")):
        has = f"Python {pythons[0].version}" if pythons else "no Python that any user may run"
        recorded = "" if wanted == OF_IMAGE else f", and the run had Python {wanted} ({plan.environment.python_source})"
        raise MissingFact(
            f"the image {image.reference} has {has}{recorded}",
            f"runner reproduce RUN --base-image python:{DEFAULT_PYTHON if wanted == OF_IMAGE else wanted}-slim",
            fact="python",
            looked_in=(image.source,),
        )
    found = pythons[0]
    return ResolvedEnvironment(
        key="",
        python=found.version,
        lock="".join(f"{name}=={version}\n" for name, version in found.packages.items()),
        packages=found.packages,
        built_from_source=(),
        cached=True,
        notes=(),
    )
