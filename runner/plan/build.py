"""RunRecord, RepositorySnapshot, Lineage and Settings in, Plan out: all that is decided before a container starts."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runner.credentials.host import NO_ACCESS, HostAccess
from runner.errors import MissingFact
from runner.lineage.files import NO_POINTERS
from runner.lineage.notebook import NEEDED, is_notebook, with_code
from runner.lineage.pipeline import Stage, is_repro
from runner.lineage.remedy import command_again
from runner.lineage.resolve import commit_facts
from runner.plan.code import code_changed_soon
from runner.plan.command import Command, as_installed, params_given, resolve_command
from runner.plan.commands.started import started_scripts
from runner.plan.edits import edit_pointers
from runner.plan.environment import specify_environment
from runner.plan.gpus import recorded_gpu
from runner.plan.inputs import pinned_inputs
from runner.plan.limits import recorded_duration_s, set_limits
from runner.plan.line_endings import mended_files
from runner.plan.outside import choose_beside_git
from runner.plan.python import PythonChoice
from runner.plan.remotes import choose_remotes
from runner.plan.stages import earlier_stages, needs_of, stages_run
from runner.plan.system_packages import about_system_packages, choose_system_packages
from runner.plan.variables import set_variables
from runner.redact import redact
from runner.schema.lineage import Considered, Lineage, Provenance
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import EarlierStage, EnvironmentSpec, Images, Plan, Remote, RunSummary, ValuesElsewhere
from runner.schema.run_record import CONTINUED, UNFINISHED, RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import CommitFacts, Settings, with_policy_of_commit

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def build_plan(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    lineage: Lineage,
    settings: Settings,
    images: Images,
    baseline_digest: str,
    *,
    registered: RegisteredModel | None = None,
    host: HostAccess = NO_ACCESS,
    passed_over: Mapping[str, str] | None = None,
    imported: tuple[Remote, ...] = (),
    held_by_imports: Collection[str] = (),
) -> Plan:
    """Return the sealed plan of a run; `passed_over` are Pythons that a guess cannot be, with the reason.

    `imported` are folders with what was imported from other repositories, which hold the paths `held_by_imports`.

    Raises MissingFact, or AmbiguousFact, where the command, the environment, a remote or anything to compare with is
    not known; each names the flag or the key of `runner.yaml` that supplies it.
    """
    check_comparable(record, settings)
    facts = commit_facts(snapshot, settings)
    command = resolve_command(record, snapshot, settings, facts)
    beside = choose_beside_git(record, snapshot, lineage, settings, command)
    own = stages_run(command, snapshot)
    needs = needs_of(own, lineage, snapshot, command.script)
    earlier = earlier_stages(own, needs, lineage, snapshot)
    environment, python, considered = _environment_of(
        command,
        earlier,
        record,
        snapshot,
        settings,
        facts,
        registered=registered,
        machine=_MACHINES.get((images.platform or "").partition("/")[2], "x86_64"),
        passed_over=passed_over,
    )
    command = as_installed(command, environment)
    system_packages = choose_system_packages(
        snapshot, settings, facts, (command.working_directory, posixpath.dirname(command.script or ""))
    )
    limits = set_limits(record, settings)
    variables, circumstances = set_variables(record, limits.cpuset)
    variables = dict(sorted({**command.variables, **variables}.items()))
    others = [file for file in lineage.files if file.path not in held_by_imports]
    remotes, about_remotes = choose_remotes(
        record, snapshot, lineage.model_copy(update={"files": tuple(others)}), settings, host
    )
    remotes = (*remotes, *imported)
    notes = [note for note in lineage.notes if note != NO_POINTERS]
    return Plan(
        run=summarise(record, baseline_digest),
        invocation=settings.invocation,
        registered=registered,
        lineage=lineage,
        command=command.line,
        command_source=command.source,
        command_inferred=command.inferred,
        recorded_command=None if command.recorded is None else redact(command.recorded),
        gpu_recorded=recorded_gpu(record),
        code_changed=code_changed_soon(record, snapshot, command),
        options_uncovered=command.uncovered,
        values_elsewhere=tuple(
            ValuesElsewhere(path=path, commit=commit) for path, commit in sorted(snapshot.agreeing.items())
        ),
        params_given=params_given(command, record),
        working_directory=command.working_directory,
        environment=environment,
        system_packages=system_packages,
        variables=variables,
        policy=with_policy_of_commit(settings.policy, facts),
        limits=limits,
        images=images,
        remotes=remotes,
        pointer_edits=edit_pointers(lineage.files, record, snapshot, settings),
        supplied=(*beside.supplied, *mended_files(snapshot.committed, settings), *pinned_inputs(settings)),
        committed=snapshot.committed,
        submodules=beside.submodules,
        prefetch=settings.prefetch,
        expected_outputs=expected_outputs(lineage, command, own),
        needs=needs,
        earlier_stages=earlier,
        reference_files=tuple(file.path for file in lineage.files if file.role == "output"),
        provenance=(
            *_about_registered(registered),
            Provenance(
                fact="command", value=redact(command.line), source=command.source, considered=command.considered
            ),
            Provenance(
                fact="working directory",
                value=command.working_directory,
                source=command.working_directory_source,
                considered=command.places_considered,
            ),
            *command.found,
            Provenance(
                fact="environment",
                value=environment.image.reference if environment.image is not None else environment.main or "none",
                source=environment.source,
                considered=considered,
            ),
            Provenance(fact="python", value=python.minor, source=python.source, considered=python.considered),
            *about_system_packages(system_packages),
            Provenance(fact="timeout", value=f"{limits.timeout_s:.0f} s", source=limits.timeout_source),
            *(Provenance(fact="remote", value=redact(remote.url), source=remote.source) for remote in remotes),
        ),
        not_verified=tuple(
            dict.fromkeys(redact(line) for line in (*notes, *beside.notes, *about_remotes, *circumstances))
        ),
    ).sealed()


def missing_facts(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    lineage: Lineage,
    settings: Settings,
    *,
    registered: RegisteredModel | None = None,
    host: HostAccess = NO_ACCESS,
) -> tuple[MissingFact, ...]:
    """Return every fact that a plan lacks, in the order in which `build_plan` would stop at them; it stops at one."""
    facts = commit_facts(snapshot, settings)
    found: list[MissingFact] = []
    command: Command | None = None
    try:
        check_comparable(record, settings)
    except MissingFact as missing:
        found.append(missing)
    try:
        command = resolve_command(record, snapshot, settings, facts)
        choose_beside_git(record, snapshot, lineage, settings, command)
    except MissingFact as missing:
        found.append(missing)
    try:
        _environment_of(command, (), record, snapshot, settings, facts, registered=registered)
    except MissingFact as missing:
        # Without a script there are no imports that could stand in for a list.
        if command is not None or missing.fact != "environment":
            found.append(missing)
    try:
        choose_remotes(record, snapshot, lineage, settings, host)
    except MissingFact as missing:
        found.append(missing)
    return tuple(found)


def _environment_of(
    command: Command | None,
    earlier: Sequence[EarlierStage],
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    **options: Any,
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the environment of a command and of the stages before it, None where there is none yet."""
    if command is None:
        return specify_environment(record, snapshot, settings, facts, None, ".", **options)
    return specify_environment(
        record,
        with_code(snapshot, command.script),
        settings,
        facts,
        command.script,
        command.working_directory,
        needed=NEEDED if is_notebook(command.script) else (),
        scripts=[
            *started_scripts(command.line, command.working_directory, snapshot),
            *(path for stage in earlier for path in started_scripts(stage.command, stage.working_directory, snapshot)),
        ],
        **options,
    )


def _about_registered(registered: RegisteredModel | None) -> tuple[Provenance, ...]:
    if registered is None:
        return ()
    return (
        Provenance(fact="model", value=registered.title, source=registered.reference),
        Provenance(fact="run", value=registered.run_id, source=registered.run_source),
    )


def check_comparable(record: RunRecord, settings: Settings) -> None:
    """Raise MissingFact for a run that has not finished (VERDICTS rule 13), or that recorded nothing to compare."""
    if record.status in UNFINISHED and not settings.allows("unfinished"):
        raise MissingFact(
            f"the run is {record.status}: what it records may still change",
            command_again(record, settings, "--allow unfinished"),
            fact="finished run",
            looked_in=("status of the run",),
        )
    earlier = record.tags.get(CONTINUED)
    if earlier is not None:
        raise MissingFact(
            f"the run continues an earlier one, which is not rerun with it: {earlier}",
            "name the run that it continues, or one that starts from the beginning",
            fact="earlier run",
            looked_in=(f"tag {CONTINUED}",),
        )
    if not any(history.points for history in record.metrics):
        raise MissingFact(
            "the run recorded no metric: there is nothing to compare a rerun with",
            "name another run of the experiment, one that logged metrics",
            fact="metrics",
            looked_in=("metrics of the run",),
        )


def summarise(record: RunRecord, baseline_digest: str) -> RunSummary:
    """Return the run in a line."""
    return RunSummary(
        id=record.run_id,
        uri=redact(record.uri),
        experiment=record.experiment_name,
        name=record.name,
        status=record.status,
        start_time=record.start_time,
        duration_s=recorded_duration_s(record),
        baseline_digest=baseline_digest,
    )


def expected_outputs(lineage: Lineage, command: Command, own: Sequence[Stage]) -> tuple[str, ...]:
    """Return what must be absent before the training and written by it: recorded outputs, and outs of its stages.

    Never an input: a stage that declares a recorded output as its dependency gets it by `--warm-start` alone.
    """
    inputs = {file.path for file in lineage.files if file.role == "input"}
    paths = [file.path for file in lineage.files if file.role == "output"]
    if is_repro(command.line) or len(own) == 1:
        paths += [out for stage in own for out in stage.outs]
    return tuple(sorted(set(paths) - inputs))
