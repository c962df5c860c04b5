"""An environment that is an image: the one in which the run trained, with its own Python and packages."""

from __future__ import annotations

from collections.abc import Sequence

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.plan.lists.found import PackageList
from runner.plan.python import PythonChoice
from runner.plan.python_records import recorded_pythons
from runner.schema.lineage import Considered
from runner.schema.plan import OF_IMAGE, EnvironmentSpec, RecordedImage
from runner.schema.run_record import RunRecord
from runner.settings import CommitFacts, Settings


def provisioned_all_the_same(image: RecordedImage, settings: Settings, facts: CommitFacts) -> bool:
    """Tell whether packages are to be installed although an image is named: by who has the same or the last word."""
    if settings.environment or settings.base_image:
        return True
    return bool(facts.environment) and not image.by_auditor


def in_image(
    images: Sequence[RecordedImage],
    lists: Sequence[PackageList],
    python: PythonChoice,
    record: RunRecord,
    settings: Settings,
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the environment that is an image as it is; a recorded Python must be the one that it has."""
    image, *others = images
    if settings.with_packages or settings.system_packages:
        option = "--with" if settings.with_packages else "--system-packages"
        raise MissingFact(
            f"the run trained in the image {image.reference} ({image.source}), in which {option} changes nothing",
            command_again(record, settings, f"--base-image python:{python.minor}-slim")
            + "   # installs what the repository lists, in the image's place",
            fact="environment",
            looked_in=(image.source,),
        )
    if not settings.python and not recorded_pythons(record):  # what the commit says is of no image
        python = PythonChoice(OF_IMAGE, "the image's own")
    notes = []
    if image.digest is None:
        notes.append(f"environment: image {image.reference} by its name, not by digest: it may be another one today")
    spec = EnvironmentSpec(
        kind="image",
        source=f"{image.source} ({image.reference})",
        main=None,
        files={},
        exact=image.digest is not None,
        as_of=None,
        python=python.minor,
        python_source=python.source,
        python_recorded=python.recorded,
        image=image,
        notes=tuple(notes),
    )
    considered = tuple(
        Considered(source=source, value=value, reason=f"{image.source} comes first")
        for source, value in (
            *((other.source, other.reference) for other in others),
            *((item.source, item.main or "") for item in lists),
        )
    )
    return spec, python, considered
