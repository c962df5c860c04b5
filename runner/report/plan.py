"""The screen of `runner plan`: what would be rerun, and where each fact was found."""

from __future__ import annotations

from collections.abc import Sequence

from runner.report.phrases import plain, plural, provenance, seconds, short, size
from runner.report.text import NARROWEST, Page
from runner.schema.lineage import Considered, LineageFile
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import Plan

_SHOWN_VERSIONS = 4
_SHOWN_IMPORTS = 12
_SHOWN_LINES = 8
_DIGITS = 19


def render_plan(plan: Plan, *, width: int = 100) -> str:
    """Return the plan as text of a given width, with the provenance of every fact and what else was considered."""
    page = Page(max(width, NARROWEST))
    run = plan.run
    name = f' "{plain(run.name)}"' if run.name else ""
    date = f" ({run.start_time:%Y-%m-%d})" if run.start_time is not None else ""
    page.head(f"PLAN  run {plain(run.id)}{name}{date}, {plain(run.status)}, of {plain(run.experiment)}", "not run yet")
    page.row("tracker", plain(run.uri))
    if plan.registered is not None:
        _registered(page, plan.registered)
    page.row("code", f"{plan.lineage.commit}  {plain(plan.lineage.repository)}")
    for file in plan.lineage.files:
        _file(page, file)
    _beside_git(page, plan)
    page.row("command", plain(plan.command))
    kind = "inferred: " if plan.command_inferred and not plan.command_source.startswith("inferred") else ""
    page.row("", f"{kind}{plain(plan.command_source)}; in {plain(plan.working_directory)}")
    if plan.options_uncovered:
        page.row("", f"nothing pins {plain(', '.join(plan.options_uncovered))}")
    for other in plan.values_elsewhere:
        page.row("", f"other values than the recorded in {plain(other.path)}; commit {other.commit[:12]} has them")
    _environment(page, plan)
    if plan.variables:
        page.row("variables", plain(" ".join(f"{key}={value}" for key, value in sorted(plan.variables.items()))))
    _limits(page, plan)
    _images(page, plan)
    for remote in plan.remotes:
        who = f"host confirmed by {remote.confirmed_by}" if remote.confirmed_by else "without credentials"
        endpoint = remote.options.get("endpointurl")
        where = remote.url + (f" at {endpoint}" if endpoint else "")
        page.row("remote", plain(f"{remote.name} {where}  {remote.source}; {who}"))
    for edit in plan.pointer_edits:
        page.row("pointer", f"{plain(edit.path)}  {'created' if edit.created else 'rewritten'} in the rerun's clone")
    if plan.expected_outputs:
        page.row("outputs", f"absent before, written by the training: {plain(', '.join(plan.expected_outputs))}")
    _policy(page, plan)
    _provenance(page, plan)
    _list(page, "notes", plan.lineage.notes)
    _list(page, "not verified", plan.not_verified)
    page.row("digest", f"{plan.digest[:_DIGITS]}…  (how: {plan.execution_digest[:_DIGITS]}…)")
    return page.text()


def _registered(page: Page, registered: RegisteredModel) -> None:
    count = len(registered.artifact.files)
    page.row("model", f"{plain(registered.title)}  {plain(registered.reference)}  of {plain(registered.registry)}")
    page.row("", f"its run from {plain(registered.run_source)}")
    page.row("", f"{plural(count, 'file')} {registered.digest[:_DIGITS]}…  at {plain(registered.place)}")
    own = "they are the run's own logged model" if registered.same_place else "equal to the run's own logged model"
    page.row("", own if registered.logged_note is None else plain(f"the run's own: {registered.logged_note}"))


def _file(page: Page, file: LineageFile) -> None:
    label = {"input": "data", "output": "output", "unknown": "file"}[file.role]
    page.row(label, f"{plain(file.path)}  {short(file.digest)} {size(file.size_bytes)}  {plain(file.source)}")
    state = {"matches": "has it", "rewritten": "is stale, rewritten", "created": "is not there, created"}
    held = f" (it holds {file.pointer_digest.short}…)" if file.pointer_digest is not None else ""
    page.row("", f"pointer {plain(file.pointer)} at the commit {state[file.pointer_state]}{held}")
    if file.maybe_previous:
        page.row("", "may be the digest of an earlier version: compared only if the rerun's is the same")
    _considered(page, file.considered)


def _beside_git(page: Page, plan: Plan) -> None:
    in_lfs = [file for file in plan.supplied if file.kind == "lfs"]
    if in_lfs:
        total = sum({str(file.digest): file.size_bytes or 0 for file in in_lfs}.values())
        page.row("Git LFS", f"{plural(len(in_lfs), 'file')} {size(total)}, such as {plain(in_lfs[0].path)}")
    for file in plan.supplied:
        if file.kind != "lfs":
            what = "input" if file.kind == "input" else "data"
            page.row(what, f"{plain(file.path)}  {short(file.digest)}  {plain(file.source)}")
    for submodule in plan.submodules:
        page.row("submodule", f"{plain(submodule.path)}  {submodule.commit[:12]}  {plain(submodule.place)}")
    for committed in plan.committed:
        mended = f" with {committed.mended}" if committed.mended else ""
        where = f"{plain(committed.source)}: in git{mended}"
        page.row("data", f"{plain(committed.path)}  {short(committed.digest)}  {where}")
    for command in plan.prefetch:
        page.row("prefetch", f"{plain(command)}  with the network, before the training")


def _environment(page: Page, plan: Plan) -> None:
    specification = plan.environment
    page.row("environment", f"Python {plain(specification.python)}  {plain(specification.python_source)}")
    pinned = "exact" if specification.exact else "by name" if specification.image is not None else "not pinned"
    as_of = f", as of {specification.as_of:%Y-%m-%d %H:%M} UTC" if specification.as_of is not None else ""
    page.row("", f"{plain(specification.source)}: {pinned}{as_of}")
    if specification.constraints:
        count = len(specification.constraints)
        shown = " ".join(specification.constraints[:_SHOWN_VERSIONS]) + (" …" if count > _SHOWN_VERSIONS else "")
        source = plain(specification.constraints_source or "")
        page.row("", f"where it pins none: {plural(count, 'recorded version')} ({plain(shown)})  {source}")
    if specification.recorded_overrides:
        shown = " ".join(specification.recorded_overrides)
        page.row("", f"where it asks for others: {plain(shown)}  {plain(specification.constraints_source or '')}")
    if specification.install_project:
        page.row("", "the repository itself is built and installed")
    for address in specification.repositories:
        page.row("", f"packages of {plain(address)} are fetched without credentials, built and installed")
    if specification.overrides:
        page.row("", f"--with {plain(' '.join(specification.overrides))}")
    if specification.lines:
        count = len(specification.lines)
        shown = " ".join(specification.lines[:_SHOWN_LINES]) + (" …" if count > _SHOWN_LINES else "")
        page.row("", f"asks for {plain(shown)}")
    if any(module.at_once for module in specification.imports) and specification.kind != "imports":
        names = [module.name for module in specification.imports if module.at_once]
        shown = ", ".join(names[:_SHOWN_IMPORTS]) + (" …" if len(names) > _SHOWN_IMPORTS else "")
        lacking = "is added as of the day" if specification.adds_imports else "stops the rerun before the training"
        page.row("", f"imports {plain(shown)}: what these packages lack of it {lacking}")
    _system_packages(page, plan)
    for note in specification.notes:
        page.row("", plain(note))


def _system_packages(page: Page, plan: Plan) -> None:
    packages = plan.system_packages
    if packages.names:
        versions = plan.images.system_packages
        shown = [f"{name} {versions[name]}" if name in versions else name for name in packages.names]
        page.row("", f"system packages: {plain(', '.join(shown))}  {plain(packages.source or '')}")
    for offer in packages.offered:
        asked = "" if set(offer.names) - set(packages.names) else ": given"
        page.row("", f"offered: --system-packages {plain(','.join(offer.names))}  {plain(offer.source)}{asked}")


def _limits(page: Page, plan: Plan) -> None:
    limits = plan.limits
    page.row("time limit", f"{seconds(limits.timeout_s)} s  {plain(limits.timeout_source)}")
    memory = "unlimited" if limits.memory_bytes is None else f"{limits.memory_bytes / (1 << 30):.3g} GiB"
    cpus = f"CPUs {limits.cpuset}" if limits.cpuset else "all CPUs"
    page.row("limits", f"memory {memory}, {cpus}, {limits.pids} processes")
    if limits.gpus is not None:
        page.row("", f"GPUs: {plain(limits.gpus)}  {plain(limits.gpus_source or '')}".rstrip())
    network = "open (--allow network)" if "network" in plan.policy.allow else "none while training"
    page.row("network", f"{network}; no credentials")


def _images(page: Page, plan: Plan) -> None:
    trains = "the run's own" if plan.environment.image is not None else "with system packages"
    for label, name, digest, note in (
        ("base image", plan.images.base, plan.images.base_digest, plan.images.base_origin),
        ("tools image", plan.images.tools, plan.images.tools_digest, ""),
        *((("train image", plan.images.train, plan.images.train_digest, trains),) * bool(plan.images.train)),
    ):
        shown = "not made yet" if digest is None else f"{digest[:_DIGITS]}…"
        page.row(label, plain(f"{name}  {shown}  {note}".rstrip()))


def _policy(page: Page, plan: Plan) -> None:
    policy = plan.policy
    words = [f"rtol {policy.rtol:g}, atol {policy.atol:g}"]
    for metric, own in sorted(policy.metrics.items()):
        rtol, atol = policy.tolerance(metric)
        extra = ", ignored" if own.ignore else ", last value only" if own.last_only else ""
        words.append(f"{metric}: rtol {rtol:g}, atol {atol:g}{extra}")
    words += [f"only {', '.join(policy.only)}"] if policy.only else []
    words += [f"ignores {', '.join(policy.ignore)}"] if policy.ignore else []
    words += [f"--allow {','.join(policy.allow)}"] if policy.allow else []
    page.row("policy", plain("; ".join(words)) + f"  ({plain(policy.source)})")


def _provenance(page: Page, plan: Plan) -> None:
    for index, fact in enumerate(provenance(plan)):
        page.row(
            "found" if index == 0 else "", f"{plain(fact.fact)}: {plain(fact.value, 80)}  from {plain(fact.source)}"
        )
        _considered(page, fact.considered)


def _considered(page: Page, considered: Sequence[Considered]) -> None:
    for other in considered:
        page.row("", f"  not {plain(other.value, 80)} of {plain(other.source)}: {plain(other.reason)}")


def _list(page: Page, label: str, lines: Sequence[str]) -> None:
    for index, line in enumerate(lines):
        page.row(label if index == 0 else "", plain(line))
