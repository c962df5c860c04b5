"""Settings: flags > environment > `runner.yaml` in the current directory (policy: `--policy FILE`) > defaults.

`load_settings` reads the files; all else is pure. `facts_of_commit` reads the `runner.yaml` of the *run's* commit: the
audited party supplies facts there (command, pointers, Python), never the terms of its audit.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from runner.errors import InvalidConfiguration
from runner.redact import redact
from runner.schema.base import Value
from runner.schema.configuration import (
    Configuration,
    PinnedInput,
    PolicySection,
    Section,
    TagNames,
    checked_allowance,
    checked_pull,
    checked_python,
)
from runner.schema.index_dates import IndexDates, read_index_dates
from runner.schema.invocation import Invocation
from runner.schema.notation import (
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_gpus,
    parse_pointer,
    parse_relative_path,
    parse_system_package,
)
from runner.schema.plan import MetricPolicy, Policy
from runner.schema.yaml_text import UnreadableYaml, read_model

FILE_NAME = "runner.yaml"
PASTED = "the pasted address"
"""The source of a tracker that the address of a page names."""

Parsed = TypeVar("Parsed")
AnySection = TypeVar("AnySection", bound=Section)


class Flags(Value):
    """What was typed, as text; None and empty where a flag was not given. `argv` is what followed `--`."""

    tracker: str | None = None
    registry_uri: str | None = None
    run_of_model: str | None = None
    repo: str | None = None
    commit: str | None = None
    remote: str | None = None
    pull: str | None = None
    command: str | None = None
    argv: tuple[str, ...] = ()
    python: str | None = None
    rtol: str | None = None
    atol: str | None = None
    metric: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    require: str | None = None
    require_complete: bool = False
    policy: str | None = None
    offline: bool = False
    timeout: str | None = None
    memory: str | None = None
    cpus: str | None = None
    pids_limit: str | None = None
    shm_size: str | None = None
    gpus: str | None = None
    lfs_limit: str | None = None
    base_image: str | None = None
    pointer: tuple[str, ...] = ()
    warm_start: tuple[str, ...] = ()
    with_packages: tuple[str, ...] = ()
    index_dates: str | None = None
    system_packages: tuple[str, ...] = ()
    out: str | None = None
    keep: bool = False


_MANY = {"metric": "--metric", "allow": "--allow", "pointer": "--pointer", "warm_start": "--warm-start"}
_MANY |= {"with_packages": "--with"}
_NAMES = {"run_of_model": "--run", **_MANY}


def invocation_of(flags: Flags) -> Invocation:
    """Return what was typed, without its secrets."""
    options: list[tuple[str, ...]] = []
    for field in Flags.model_fields:
        value = getattr(flags, field)
        flag = _NAMES.get(field, "--" + field.replace("_", "-"))
        if field == "argv" or not value:
            continue
        if value is True:
            options.append((flag,))
        else:
            options += [(flag, redact(text)) for text in (value if isinstance(value, tuple) else (value,))]
    return Invocation(options=tuple(options), command=tuple(redact(word) for word in flags.argv))


class Settings(Value):
    """What the auditor wants, resolved. `sources` tells for each set field where it was set (`--repo`).

    `run_of_model` is what `--run` names, `model` the reference to a model that was asked for; `folder` is the absolute
    directory from which relative local paths are meant; `remote_of_file` is asked beside `remote`; `pointers` maps
    digests (`md5:…`) to paths; `index_dates` names a file, `upload_times` are what it holds; `invocation` is what was
    typed; `base_python` is what `base_image` has, once that was looked into. None leaves the matter to the record or
    the engine.
    """

    tracker: str | None = None
    registry_uri: str | None = None
    run_of_model: str | None = None
    model: str | None = None
    repo: str | None = None
    commit: str | None = None
    remote: str | None = None
    pull: str = "needed"
    remote_of_file: str | None = None
    command: str | None = None
    working_directory: str | None = None
    python: str | None = None
    environment: str | None = None
    image: str | None = None
    with_packages: tuple[str, ...] = ()
    index_dates: str | None = None
    upload_times: IndexDates | None = None
    system_packages: tuple[str, ...] = ()
    pointers: dict[str, str] = {}  # noqa: RUF012  # pydantic copies defaults
    commit_tags: tuple[str, ...] = ()
    data_tags: tuple[str, ...] = ()
    model_tags: tuple[str, ...] = ()
    policy: Policy = Policy()
    timeout_s: float | None = None
    memory_bytes: int | None = None
    cpuset: str | None = None
    pids: int | None = None
    shm_bytes: int | None = None
    gpus: str | None = None
    output_bytes: int | None = None
    log_bytes: int | None = None
    lfs_bytes: int | None = None
    inputs: dict[str, PinnedInput] = {}  # noqa: RUF012  # pydantic copies defaults
    prefetch: tuple[str, ...] = ()
    base_image: str | None = None
    base_python: str | None = None
    offline: bool = False
    out: str | None = None
    keep: bool = False
    folder: str = "/"
    invocation: Invocation = Invocation()
    sources: dict[str, str] = {}  # noqa: RUF012  # pydantic copies defaults

    def source(self, name: str) -> str:
        """Return where a field was set, in the user's words; `default` where it was not."""
        return self.sources.get(name, "default")

    @property
    def remotes_named(self) -> tuple[tuple[str, str], ...]:
        """The remotes that the auditor names, each with where; the first to ask first."""
        both = ((self.remote, self.source("remote")), (self.remote_of_file, self.source("remote_of_file")))
        return tuple({text: (text, source) for text, source in reversed(both) if text}.values())[::-1]

    def allows(self, name: str) -> bool:
        """Tell whether the auditor lowered assurance in this way."""
        return name in self.policy.allow


class CommitFacts(Value):
    """Facts that `runner.yaml` at the run's commit supplies. `problem` says why the file was not used.

    `policy` is None unless the auditor said `--allow policy`.
    """

    command: str | None = None
    working_directory: str | None = None
    python: str | None = None
    environment: str | None = None
    image: str | None = None
    system_packages: tuple[str, ...] = ()
    pointers: dict[str, str] = {}  # noqa: RUF012  # pydantic copies defaults
    data_tags: tuple[str, ...] = ()
    model_tags: tuple[str, ...] = ()
    policy: Policy | None = None
    problem: str | None = None


def read_configuration(text: str, name: str = FILE_NAME) -> Configuration:
    """Return the text of a `runner.yaml` as a value. Raises InvalidConfiguration with every problem and its line."""
    return _read(text, name, Configuration)


def read_policy(text: str, name: str) -> PolicySection:
    """Return the text of a `--policy` file: the keys of `policy`, at the top or under `policy:`.

    Raises InvalidConfiguration with every problem and its line.
    """

    class PolicyFile(Section):
        policy: PolicySection

    if any(line.startswith("policy:") for line in text.splitlines()):
        return _read(text, name, PolicyFile).policy
    return _read(text, name, PolicySection)


def _read(text: str, name: str, model: type[AnySection]) -> AnySection:
    try:
        return read_model(text, model)
    except UnreadableYaml as error:
        count = len(error.problems)
        head = f"{name} has a problem" if count == 1 else f"{name} has {count} problems"
        raise InvalidConfiguration(
            redact(f"{head}: " + "; ".join(map(str, error.problems))),
            f"correct {name}; docs/reference/runner-yaml.md lists every key",
        ) from None


def facts_of_commit(text: str | None, *, allow_policy: bool = False) -> CommitFacts:
    """Return what `runner.yaml` at the run's commit supplies; nothing where there is none.

    A file that is not ours (many projects own one of that name) supplies nothing either; `problem` then says why.
    With `allow_policy` (`--allow policy`) its tolerances and ignore lists are returned too, never its `allow`.
    """
    if text is None:
        return CommitFacts()
    try:
        found = read_model(text, Configuration)
    except UnreadableYaml as error:
        return CommitFacts(problem=redact(f"{FILE_NAME} at the commit was not used: {error.problems[0]}"))
    policy = None
    if allow_policy and found.policy != PolicySection():
        policy = _policy_of(found.policy, f"{FILE_NAME} at the commit (--allow policy)")
        policy = policy.model_copy(update={"allow": (), "allow_existing": (), "warm_start": ()})
    return CommitFacts(
        command=found.command,
        working_directory=found.working_directory,
        python=found.python,
        environment=found.environment,
        image=found.image,
        system_packages=found.system_packages,
        pointers=found.pointers,
        data_tags=found.tags.data,
        model_tags=found.tags.model,
        policy=policy,
    )


def with_policy_of_commit(policy: Policy, facts: CommitFacts) -> Policy:
    """Return the auditor's policy, with what it leaves open filled in from the commit's, if that is allowed."""
    theirs, default = facts.policy, Policy()
    if theirs is None:
        return policy
    update: dict[str, Any] = {
        name: getattr(theirs, name)
        for name in ("rtol", "atol", "only", "ignore", "require")
        if getattr(policy, name) == getattr(default, name)
    }
    update["metrics"] = {**theirs.metrics, **policy.metrics}
    update["require_complete"] = policy.require_complete or theirs.require_complete
    update["source"] = ", ".join(part for part in (policy.source, theirs.source) if part != "default")
    return policy.model_copy(update=update)


def load_settings(flags: Flags, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Resolve the settings of a command that is run in `folder` (the current directory).

    Raises InvalidConfiguration with all that is wrong in flags and files.
    """
    folder = folder or Path.cwd()
    configuration = folder / FILE_NAME
    text = _text_of(configuration) if configuration.is_file() else None
    policy_text = None if flags.policy is None else _text_of(folder / Path(flags.policy).expanduser())
    settings = resolve_settings(
        flags,
        os.environ if environment is None else environment,
        configuration=text,
        policy=policy_text,
        folder=str(folder.absolute()),
    )
    if settings.index_dates is None:
        return settings
    return settings.model_copy(update={"upload_times": _upload_times(settings.index_dates, folder)})


def _upload_times(name: str, folder: Path) -> IndexDates:
    try:
        return read_index_dates(_text_of(folder / Path(name).expanduser()))
    except ValueError as error:
        raise InvalidConfiguration(
            redact(f"--index-dates {name}: {error}"),
            "correct the file; docs/how-to/work-behind-a-proxy.md tells its form",
        ) from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidConfiguration(f"{path} cannot be read: {reason}", f"ls -l {shlex.quote(str(path))}") from error


def resolve_settings(
    flags: Flags,
    environment: Mapping[str, str],
    *,
    configuration: str | None = None,
    policy: str | None = None,
    folder: str = "/",
) -> Settings:
    """Return the settings from flags, environment variables and the texts of `runner.yaml` and `--policy FILE`.

    Raises InvalidConfiguration that lists every problem of all of them.
    """
    return _Resolver(flags, environment, configuration, policy, folder).resolve()


class _Resolver:
    """Collects values, their sources and all problems; lives for one call."""

    def __init__(
        self, flags: Flags, environment: Mapping[str, str], configuration: str | None, policy: str | None, folder: str
    ) -> None:
        self.flags = flags
        self.environment = environment
        self.folder = folder
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.file = Configuration() if configuration is None else self.attempt(read_configuration, configuration)
        self.file = self.file or Configuration()
        self.policy_text = policy

    def attempt(self, function: Callable[[str], Parsed], text: str, flag: str | None = None) -> Parsed | None:
        try:
            return function(text)
        except InvalidConfiguration as error:
            self.problems.append(error.cause)
        except ValueError as error:
            self.problems.append(f"{flag}: {error}" if flag else str(error))
        return None

    def take(self, name: str, *candidates: tuple[Any, str]) -> None:
        """Set a field to the first value that was given."""
        for value, source in candidates:
            if value:  # empty means not given: none of these fields has a meaning for zero
                self.values[name], self.sources[name] = value, source
                return

    def resolve(self) -> Settings:
        flags, file = self.flags, self.file
        assert file is not None  # noqa: S101  # set in the constructor
        variable = self.environment.get
        self.take(
            "tracker",
            (flags.tracker, "--tracker"),
            (variable("MLFLOW_TRACKING_URI"), "MLFLOW_TRACKING_URI"),
            (file.tracker, f"tracker in {FILE_NAME}"),
        )
        self.take(
            "registry_uri",
            (flags.registry_uri, "--registry-uri"),
            (variable("MLFLOW_REGISTRY_URI"), "MLFLOW_REGISTRY_URI"),
            (file.registry_uri, f"registry_uri in {FILE_NAME}"),
        )
        self.take("remote_of_file", (file.remote, f"remote in {FILE_NAME}"))
        for name in ("repo", "remote", "base_image", "out", "offline"):
            flag = "--" + name.replace("_", "-")
            self.take(name, (getattr(flags, name), flag), (getattr(file, name), f"{name} in {FILE_NAME}"))
        self.take("commit", (flags.commit, "--commit"))
        self.take("run_of_model", (flags.run_of_model, "--run"))
        self.take("keep", (flags.keep, "--keep"))
        pull = self.attempt(checked_pull, self.flags.pull, "--pull") if self.flags.pull else None
        self.take("pull", (pull, "--pull"), (file.pull, f"pull in {FILE_NAME}"))
        self.take_command(file)
        self.take_environment(file)
        self.take_limits(file)
        self.take_pointers(file)
        pinned = {name: pin for name, pin in file.inputs.items() if not isinstance(pin, str)}
        self.take("inputs", (pinned, f"inputs in {FILE_NAME}"))
        self.take("prefetch", (file.prefetch, f"prefetch in {FILE_NAME}"))
        for kind in ("commit", "data", "model"):
            self.take(f"{kind}_tags", (getattr(file.tags, kind), f"tags.{kind} in {FILE_NAME}"))
        self.values["policy"] = self.policy(file)
        if self.problems:
            raise InvalidConfiguration(
                redact("; ".join(self.problems)), "correct what is named; `runner reproduce --help` lists every flag"
            )
        return Settings(**self.values, folder=self.folder, invocation=invocation_of(self.flags), sources=self.sources)

    def take_command(self, file: Configuration) -> None:
        if self.flags.command and self.flags.argv:
            self.problems.append("--command and a command after -- were both given: give one of them")
        self.take(
            "command",
            (self.flags.command, "--command"),
            (shlex.join(self.flags.argv), "the command after --"),
            (file.command, f"command in {FILE_NAME}"),
        )
        self.take("working_directory", (file.working_directory, f"working_directory in {FILE_NAME}"))

    def take_environment(self, file: Configuration) -> None:
        python = self.attempt(checked_python, self.flags.python, "--python") if self.flags.python else None
        self.take("python", (python, "--python"), (file.python, f"python in {FILE_NAME}"))
        self.take("environment", (file.environment, f"environment in {FILE_NAME}"))
        self.take("image", (file.image, f"image in {FILE_NAME}"))
        self.take(
            "index_dates", (self.flags.index_dates, "--index-dates"), (file.index_dates, f"index_dates in {FILE_NAME}")
        )
        self.take("with_packages", (self.flags.with_packages, "--with"), (file.with_packages, f"with in {FILE_NAME}"))
        names = [part for text in self.flags.system_packages for part in text.split(",") if part.strip()]
        typed = [self.attempt(parse_system_package, name, "--system-packages") for name in names]
        self.take(
            "system_packages",
            (tuple(dict.fromkeys(name for name in typed if name)), "--system-packages"),
            (file.system_packages, f"system_packages in {FILE_NAME}"),
        )

    def take_limits(self, file: Configuration) -> None:
        rows: tuple[tuple[str, str, str | None, str | None, Callable[[str], Any]], ...] = (
            ("timeout_s", "timeout", self.flags.timeout, file.limits.timeout, parse_duration),
            ("memory_bytes", "memory", self.flags.memory, file.limits.memory, parse_bytes),
            ("cpuset", "cpus", self.flags.cpus, file.limits.cpus, parse_cpus),
            ("shm_bytes", "shm_size", self.flags.shm_size, file.limits.shm_size, parse_bytes),
            ("gpus", "gpus", self.flags.gpus, file.limits.gpus, parse_gpus),
            ("lfs_bytes", "lfs_limit", self.flags.lfs_limit, file.limits.lfs, parse_bytes),
        )
        for name, key, typed, written, parse in rows:
            flag = "--" + key.replace("_", "-")
            value = None if typed is None else self.attempt(parse, typed, flag)
            source = f"limits.{key.removesuffix('_limit')} in {FILE_NAME}"
            self.take(name, (value, flag), (parse(written) if written else None, source))
        pids = None if self.flags.pids_limit is None else self.attempt(_positive, self.flags.pids_limit, "--pids-limit")
        for name, key, size in (
            ("output_bytes", "output", file.limits.output),
            ("log_bytes", "log", file.limits.log),
        ):
            self.take(name, (None, ""), (parse_bytes(size) if size else None, f"limits.{key} in {FILE_NAME}"))
        self.take("pids", (pids, "--pids-limit"), (file.limits.pids, f"limits.pids in {FILE_NAME}"))

    def take_pointers(self, file: Configuration) -> None:
        typed = [self.attempt(parse_pointer, text, "--pointer") for text in self.flags.pointer]
        pointers = {**file.pointers, **dict(pair for pair in typed if pair)}
        both = " and ".join(
            text for text, given in (("--pointer", typed), (f"pointers in {FILE_NAME}", file.pointers)) if given
        )
        self.take("pointers", (pointers, both))

    def policy(self, file: Configuration) -> Policy:
        """Return the terms: a `--policy` file replaces those of `runner.yaml` as a whole, flags win by the key."""
        section, source = file.policy, FILE_NAME if file.policy != PolicySection() else None
        if self.policy_text is not None:
            name = self.flags.policy or "the policy file"
            section = self.attempt(lambda text: read_policy(text, name), self.policy_text) or PolicySection()
            source = f"--policy {name}"
        base = _policy_of(section, "default")
        update: dict[str, Any] = {}
        used: list[str] = []
        for name in ("rtol", "atol"):
            typed = getattr(self.flags, name)
            if typed is not None and (value := self.attempt(_tolerance, typed, f"--{name}")) is not None:
                update[name] = value
                used.append(f"--{name}")
        if self.flags.metric:
            update["only"] = self.flags.metric
            used.append("--metric")
        if self.flags.warm_start:
            update["warm_start"] = tuple(
                path
                for path in (self.attempt(parse_relative_path, text, "--warm-start") for text in self.flags.warm_start)
                if path
            )
            used.append("--warm-start")
        if self.flags.require is not None:
            if self.flags.require in ("identical", "reproduced"):
                update["require"] = self.flags.require
                used.append("--require")
            else:
                self.problems.append(f"--require: {self.flags.require!r} is neither identical nor reproduced")
        if self.flags.require_complete:
            update["require_complete"] = True
            used.append("--require-complete")
        allowances = [
            allowance
            for text in self.flags.allow
            for part in text.split(",")
            if part.strip() and (allowance := self.attempt(checked_allowance, part.strip(), "--allow"))
        ]
        if allowances:
            # Added to those of the file: each one used is printed beside the verdict, so none passes unseen.
            names, existing = _split_allowances(allowances)
            update["allow"] = tuple(dict.fromkeys((*base.allow, *names)))
            update["allow_existing"] = tuple(dict.fromkeys((*base.allow_existing, *existing)))
            used.append("--allow")
        if file.inputs:
            update["inputs"] = {
                name: path if isinstance(path, str) else path.path for name, path in file.inputs.items()
            }
        update["source"] = ", ".join((*used, *([source] if source else ()))) or "default"
        return base.model_copy(update=update)


def _policy_of(section: PolicySection, source: str) -> Policy:
    default = Policy()
    names, existing = _split_allowances(section.allow)
    return Policy(
        rtol=default.rtol if section.rtol is None else section.rtol,
        atol=default.atol if section.atol is None else section.atol,
        metrics={name: MetricPolicy(**terms.model_dump()) for name, terms in section.metrics.items()},
        only=section.only,
        ignore=section.ignore,
        allow=cast("Any", names),
        allow_existing=existing,
        warm_start=section.warm_start,
        require=section.require,
        require_complete=section.require_complete,
        source=source,
    )


def _split_allowances(allowances: tuple[str, ...] | list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = tuple(dict.fromkeys(allowance.partition(":")[0] for allowance in allowances))
    paths = tuple(dict.fromkeys(path for name, _, path in (text.partition(":") for text in allowances) if path))
    return names, paths


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number, such as 1e-6") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{text!r} must be finite and not below zero")
    return value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number above zero")
    return int(text)


__all__ = [
    "FILE_NAME",
    "CommitFacts",
    "Flags",
    "Settings",
    "TagNames",
    "facts_of_commit",
    "load_settings",
    "read_configuration",
    "read_policy",
    "resolve_settings",
    "with_policy_of_commit",
]
