"""What a verdict rests on and what it does not: sentences for `verified` and `not_verified`."""

from __future__ import annotations

from collections.abc import Iterator

from runner.plan.gpus import gives_gpus
from runner.plan.lists.pinned import pinned_names
from runner.redact import redact
from runner.schema.comparison import Comparison, MetricComparison, Outcome
from runner.schema.plan import GIVEN_BASE, EnvironmentSpec, Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.causes import CACHE, given_outputs, workspace_inputs

_WITH_PATCH = 2  # dots in a full version
_TOLD = 6  # packages that a sentence names


def verified(plan: Plan, rerun: Rerun, comparison: Comparison, *, finished: bool) -> tuple[str, ...]:
    """Return what was checked and holds; numbers only where the training finished well."""
    as_recorded = plan.lineage.commit_known and plan.lineage.recorded_commit is None
    patch = "" if plan.lineage.patch is None else f" with {plan.lineage.patch.source}"
    lines = [f"code: commit {plan.lineage.commit[:12]}{patch}"] if as_recorded else []
    for file in workspace_inputs(plan, rerun):
        if file.opened and file.unchanged and file.digest == file.expected and file.held_by not in (None, CACHE):
            lines.append(f"data: {file.path} {file.digest}, bytes checked, opened by the training")
    lines += [
        f"data: dataset {each.title}, MLflow's digest {', '.join(each.original)} logged again"
        for each in comparison.datasets
        if each.outcome is Outcome.EQUAL
    ]
    lines += _committed(plan, rerun)
    lines += [
        f"data: {file.path} {file.digest}, rebuilt by {file.rebuilt_by} with the recorded bytes"
        for file in rerun.inputs
        if file.rebuilt_by is not None and file.unchanged and file.digest == file.expected
    ]
    lines += _pinned(plan.environment, rerun)
    recorded = comparison.environment.recorded
    same = sum(package.outcome == "same" for package in recorded)
    if same:
        lines.append(f"packages: {same} of {len(recorded)} as the run recorded them")
    if comparison.environment.whole:
        count = len(comparison.environment.packages)
        lines.append(f"packages: the {count} of the recorded digest ({comparison.environment.whole_source})")
    if not plan.command_inferred and plan.recorded_command is None:
        lines.append(f"command: {redact(plan.command_source)}")
    return (*lines, *_numbers(comparison)) if finished else tuple(lines)


def _committed(plan: Plan, rerun: Rerun) -> Iterator[str]:
    opened = set(rerun.capture.files_opened)
    read = [file.path for file in plan.supplied if file.kind == "lfs" and file.path in opened]
    if read:
        more = f" and {len(read) - 1} more" if len(read) > 1 else ""
        yield f"data: {read[0]}{more} from Git LFS, bytes checked by SHA-256, opened by the training"
    allowed = "line-endings" in plan.policy.allow
    for file in plan.committed:
        if file.path in opened and (file.mended is None or allowed):
            yield f"data: {file.path} {file.digest} as {file.source} has it, opened by the training"


def _pinned(specification: EnvironmentSpec, rerun: Rerun) -> Iterator[str]:
    """Yield how many of the installed packages have the version that the named source pins, if any."""
    installed, source = rerun.environment.packages, redact(specification.source)
    if specification.image is not None:
        if specification.exact:
            yield f"environment: the run's own image, {len(installed)} packages ({source})"
        return
    count = len(pinned_names(specification) & installed.keys())
    replaced = specification.overrides or specification.recorded_overrides or specification.substitutions
    alone = specification.exact and specification.as_of is None and not replaced
    if alone and (specification.is_lock or count == len(installed)):
        yield f"environment: {len(installed)} packages, exact ({source})"
    elif count:
        yield f"environment: {count} of {len(installed)} packages pinned ({source})"


def _numbers(comparison: Comparison) -> Iterator[str]:
    good = [metric for metric in comparison.metrics if _holds(metric)]
    if good:
        equal = sum(metric.outcome is Outcome.EQUAL for metric in good)
        within = len(good) - equal
        yield f"metrics: {equal} bit-equal" + (f", {within} within tolerance" if within else "")
        curves = [metric.history for metric in good if metric.history is not None]
        if curves:
            points = sum(curve.points_original for curve in curves)
            same = sum(curve.points_equal for curve in curves)
            yield f"curves: {same} of {points} points bit-equal"
    params = [param for param in comparison.params if param.outcome is Outcome.EQUAL]
    if params:
        yield f"params: {len(params)} logged again, equal"
    registered = comparison.registered
    if registered is not None and registered.holds:
        whose = "the run's own and the rerun's" if registered.equals_run else "the rerun's"
        yield f"registered: {registered.title} is {whose} logged model, all files ({registered.registered})"
    for output in comparison.outputs:
        if output.outcome is Outcome.EQUAL and output.written:
            yield f"output: {output.path} {output.original}, byte-equal, written by the training"


def _holds(metric: MetricComparison) -> bool:
    return metric.kind != "nan" and metric.outcome in (Outcome.EQUAL, Outcome.WITHIN)


def not_verified(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> tuple[str, ...]:
    """Return, word for word, what lowers the assurance of any verdict (rules 17, 21, 25, 26 and 28)."""
    lines = [
        *given_otherwise(plan),
        *plan.not_verified,
        *record.notes,
        *comparison.caps,
        *comparison.notes,
        *_allowances(plan, record, rerun),
        *_environment(plan, rerun, comparison),
        *_files(plan, rerun, comparison),
        *_registered(plan, comparison),
        *_platform(plan, rerun, comparison),
        *rerun.capture.unobserved,
    ]
    lines += [
        f"data: dataset {each.title} was recorded and not logged again"
        for each in comparison.datasets
        if each.outcome is Outcome.MISSING
    ]
    if plan.command_inferred:
        lines.append(f"command: inferred ({plan.command_source.removeprefix('inferred: ')})")
    if rerun.capture.hosts_tried:
        way = "reached or tried" if "network" in plan.policy.allow else "tried, with the network closed"
        lines.append(f"hosts {way}: {', '.join(rerun.capture.hosts_tried)}")
    for param in comparison.params:
        if not param.decisive and param.outcome in (Outcome.OUTSIDE, Outcome.MISSING):
            lines.append(f"param {param.name}: {param.note}")
    return tuple(dict.fromkeys(redact(line) for line in lines))


def given_otherwise(plan: Plan) -> tuple[str, ...]:
    """Return in words what the auditor gave in place of what the run recorded: the rerun is of that, then."""
    lineage = plan.lineage
    words = []
    given = next((fact.source for fact in lineage.provenance if fact.fact == "commit"), "--commit")
    if not lineage.commit_known:
        words.append(f"{given} {lineage.commit[:12]}: the run records no commit")
    if lineage.recorded_commit is not None:
        words.append(f"{given} {lineage.commit[:12]}: the run recorded {lineage.recorded_commit[:12]}")
    if plan.recorded_command is not None:
        words.append(f"{plan.command_source} `{plan.command}`: the run's record gives `{plan.recorded_command}`")
    if _other_python(plan):
        environment = plan.environment
        words.append(
            f"{environment.python_source} {environment.python}: the run recorded {environment.python_recorded}"
        )
    return tuple(redact(text) for text in words)


def _other_python(plan: Plan) -> bool:
    """Tell whether the auditor gave another minor version of Python than is recorded."""
    recorded = plan.environment.python_recorded
    return recorded is not None and recorded.split(".")[:2] != plan.environment.python.split(".")


def code_is_as_recorded(plan: Plan) -> bool:
    """Tell whether the record proves that the commit is what ran: a work tree with changes is no commit's."""
    return plan.lineage.clean and plan.lineage.commit_known and plan.lineage.recorded_commit is None


def _allowances(plan: Plan, record: RunRecord, rerun: Rerun) -> Iterator[str]:
    """Yield what was lowered and took effect: an allowance that this rerun had no use for changed nothing."""
    built = bool(rerun.environment.built_from_source)
    effects = {
        "network": (True, "the training could reach the network"),
        "build-network": (built, "packages were built with the network open"),
        "undated": (built or plan.environment.as_of is not None, "uploads after the run were not left out"),
        "policy": ("(--allow policy)" in plan.policy.source, "the policy comes from the audited repository"),
    }
    for name in plan.policy.allow:
        took_effect, words = effects.get(name, (False, ""))
        if took_effect:
            yield f"--allow {name}: {words}"
    if "unfinished" in plan.policy.allow and record.status in ("RUNNING", "SCHEDULED"):
        yield f"--allow unfinished: the recorded run is {record.status}"
    for file in workspace_inputs(plan, rerun):
        if file.held_by in (None, CACHE) and "cached" in plan.policy.allow:
            yield f"--allow cached: {file.path} is in no remote that answered, only in the local cache"
    yield from _supplied_otherwise(plan, rerun)
    for dataset, path in sorted(plan.policy.inputs.items()):
        yield f"inputs in runner.yaml: that {path} is the dataset {dataset} which the run read"
    for path in plan.policy.allow_existing:
        yield f"--allow existing:{path}: the training may read it before it writes anything"
    for path in given_outputs(plan, rerun):
        yield f"--allow evaluation: evaluated, not trained, the recorded {path} was given to the command"
    for path in plan.policy.warm_start:
        yield f"--warm-start {path}: the training started from it"


def _supplied_otherwise(plan: Plan, rerun: Rerun) -> Iterator[str]:
    """Yield what the workspace had that is not as the commit and its stores have it."""
    for file in rerun.inputs:
        if file.mended is not None and file.place == "workspace":
            yield f"--allow line-endings: {file.path} has the recorded digest with {file.mended}; its store has others"
    if plan.prefetch:
        count, total = len(rerun.prefetched), sum(file.size_bytes for file in rerun.prefetched)
        commands = " && ".join(plan.prefetch)
        yield f"prefetch in runner.yaml: `{commands}` left {count} files, {total} bytes, before the training"
    allowed = "line-endings" in plan.policy.allow
    for committed in plan.committed:
        if committed.mended is not None:
            has = f"{committed.path} has {committed.digest} ({committed.source}) with {committed.mended}"
            yield f"--allow line-endings: {has}, not as git holds it" if allowed else f"line endings: {has} alone"
    for pinned in plan.supplied:
        if pinned.kind == "input":
            yield f"inputs in runner.yaml: {pinned.path} ({pinned.digest}) is from {pinned.source}"


def _environment(plan: Plan, rerun: Rerun, comparison: Comparison) -> Iterator[str]:
    specification = plan.environment
    if specification.kind == "none":
        yield "environment: nothing names any package"
    elif not specification.exact and specification.image is None:
        moment = rerun.environment.as_of or specification.as_of
        when = "" if moment is None else f", as of {moment:%Y-%m-%d}"
        count = specification.constrained(rerun.environment.packages)
        recorded = f" but for {count} version{'s' * (count > 1)} as recorded" if count else ""
        yield f"environment: not pinned{recorded}{when} ({specification.source})"
    yield from specification.notes
    yield from rerun.environment.notes
    if rerun.environment.redated is not None:
        yield f"--allow redate: {redated(plan, rerun)}: {rerun.environment.redated}"
    elif rerun.environment.built_from_source and plan.run.start_time is None and specification.as_of is None:
        yield "built from source with the packages of today: the run records no start"
    if specification.overrides:
        more = rerun.environment.as_of if specification.exact else None
        besides = "" if more is None else f", what that needs besides as of {more:%Y-%m-%d}"
        yield f"environment: changed by --with {' '.join(specification.overrides)}{besides}"
    if rerun.environment.built_from_source:
        yield f"built from source: {', '.join(rerun.environment.built_from_source)}"
    yield from _images(plan)
    differing = comparison.environment.differing
    # A lock is complete: what it lacks came with what was given in addition to it.
    came_along = [package for package in differing if package.outcome == "added" and specification.overrides]
    if came_along:
        names = ", ".join(f"{package.name} {package.rerun}" for package in came_along[:_TOLD])
        others = f" and {len(came_along) - _TOLD} more" if len(came_along) > _TOLD else ""
        packages = f"{len(came_along)} package{'s' * (len(came_along) > 1)}"
        yield f"environment: {packages} beyond {specification.main}, with --with and what it needs: {names}{others}"
    for package in differing:
        if package not in came_along:
            yield f"environment: {package.words}"
    python = comparison.environment.python
    if python is not None and python.differs and not _other_python(plan):
        yield f"environment: Python {python.original} recorded, {python.rerun} ran"
    elif python is None or python.original is None or python.original.count(".") < _WITH_PATCH:
        yield f"Python patch version: not recorded, {rerun.environment.python} ran"


def redated(plan: Plan, rerun: Rerun) -> str | None:
    """Return that the packages are those of a later day than the run's, None where they are of its own."""
    environment, day = rerun.environment, plan.environment.as_of or plan.run.start_time
    if environment.redated is None or day is None:
        return None
    if environment.as_of is not None:
        return f"packages as of {environment.as_of:%Y-%m-%d}, those of {day:%Y-%m-%d} could not be had"
    return f"built with packages as of {environment.build_as_of or day:%Y-%m-%d}, not of {day:%Y-%m-%d}"


def _images(plan: Plan) -> Iterator[str]:
    images = plan.images
    if images.base_digest is None:
        yield f"base image by name, not by digest: {images.base}"
    elif images.base_origin == GIVEN_BASE and "sha256:" not in images.base:
        yield f"base image by tag, which may be moved: {images.base} was {images.base_digest[:19]}"
    names = {name.partition("=")[0] for name in plan.system_packages.names}
    if names:
        versions = (f"{name} {images.system_packages.get(name, '')}".rstrip() for name in sorted(names))
        yield f"system packages: {', '.join(versions)} by {plan.system_packages.source}; no record names them"


def _files(plan: Plan, rerun: Rerun, comparison: Comparison) -> Iterator[str]:
    for file in workspace_inputs(plan, rerun):
        if file.unchanged is False:
            yield f"data: {file.path}, of unknown role, was written by the training: not compared"
        elif file.opened is False:
            yield f"data: {file.path} was restored and never opened"
        elif file.opened is None:
            yield f"data: whether {file.path} was opened could not be observed"
    for doubt in rerun.doubts:
        yield f"data: {doubt}"
    for file in rerun.inputs:
        if file.role == "output" and file.place == "missing":
            what = f"{file.path} ({file.expected})"
            yield f"reference: no store that answered holds the recorded {what}, compared by digest only"
    for output in comparison.outputs:
        if output.outcome is Outcome.NOT_COMPARED or not output.written:
            yield f"output: {output.path}: {output.note or 'not written by the training'}"
        elif output.outcome in (Outcome.OUTSIDE, Outcome.MISSING):
            yield f"output: {output.path}: {output.note}"


def _registered(plan: Plan, comparison: Comparison) -> Iterator[str]:
    if plan.registered is None:
        return
    if plan.registered.logged_note is not None:
        yield f"registered: the run's own logged model was not compared: {plan.registered.logged_note}"
    if comparison.registered is not None:
        for line in comparison.registered.circumstances:
            yield f"registered: {line}"


def _platform(plan: Plan, rerun: Rerun, comparison: Comparison) -> Iterator[str]:
    here = rerun.hardware.cpu_model or rerun.hardware.platform
    gpus = plan.limits.gpus
    if gives_gpus(gpus) and not rerun.capture.gpus:
        yield f"GPU: {gpus} by {plan.limits.gpus_source}, and no process of the training was seen to use one"
    elif rerun.capture.gpus:
        yield f"GPU: the run does not record which, rerun on {', '.join(rerun.capture.gpus)}"
    yield platform_difference(comparison) or f"hardware: the run does not record it, rerun on {here}"


def platform_difference(comparison: Comparison) -> str | None:
    """Return that the run was recorded on another platform, None where nothing says so (rule 25)."""
    platform = comparison.environment.platform
    if platform is None:
        return None
    words = []
    if platform.outcome == "changed":
        words.append(f"recorded on {platform.original}, rerun on {platform.rerun}")
    if platform.lacks_gpu:
        words.append(f"recorded on a GPU ({platform.gpu_original}), rerun without")
    return "; ".join(words) or None
