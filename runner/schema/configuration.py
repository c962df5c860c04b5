"""The model of `runner.yaml`: every key that an auditor, or the author of a run, may write.

Numbers and digests arrive as their text, since YAML would read `python: 3.10` as 3.1 and `rtol: 1e-6` as text anyway.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from runner.schema.digest import DigestValue
from runner.schema.notation import (
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_gpus,
    parse_relative_path,
    parse_system_package,
)
from runner.schema.plan import Allowance

ALLOWANCES = tuple("existing:PATH" if name == "existing" else name for name in get_args(Allowance))


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, such as 1e-6")  # noqa: TRY004  # pydantic collects ValueErrors only
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number, such as 1e-6") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"\d+", value)):
        raise ValueError("a whole number")
    return value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(part.strip() for item in value for part in item.split(",") if part.strip())
    return value


def checked_allowance(text: str) -> str:
    """Return an allowance as it was written. Raises ValueError where `--allow` does not take it."""
    if text in ALLOWANCES and text != "existing:PATH":
        return text
    name, separator, path = text.partition(":")
    if name == "existing":
        if not separator:
            raise ValueError("existing needs the path that may exist before the training: existing:PATH")
        return f"existing:{parse_relative_path(path)}"
    nearest = difflib.get_close_matches(text, ALLOWANCES, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ValueError(f"{text!r} is none of {', '.join(ALLOWANCES)}{hint}")


def _allowances(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(checked_allowance(value) for value in values)


def checked_python(text: str) -> str:
    """Return the minor version (`3.11`) of a Python version as people write it. Raises ValueError."""
    match = re.fullmatch(r"\s*(3\.\d{1,2})(\.\d+)?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a Python version such as 3.11")
    return match[1]


def checked_pull(text: str) -> str:
    """Return how much is pulled of what DVC names: `needed` or `all`. Raises ValueError."""
    if text not in ("needed", "all"):
        raise ValueError(f"{text!r} is neither needed nor all")
    return text


def _system_packages(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parse_system_package(value) for value in values))


def _pointers(values: dict[str, str]) -> dict[str, str]:
    return {str(DigestValue.parse(digest)): parse_relative_path(path) for digest, path in values.items()}


def _bytes(text: str) -> str:
    parse_bytes(text)
    return text


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _hexadecimal(algorithm: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        return DigestValue(algorithm, text.strip().lower()).hexdigest

    return checked


Sha256 = Annotated[str, AfterValidator(_hexadecimal("sha256"))]
Md5 = Annotated[str, AfterValidator(_hexadecimal("md5"))]
YamlNumber = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str), Field(ge=0)]
Path = Annotated[str, AfterValidator(parse_relative_path)]
# The schemas of these admit numbers: an editor sees `python: 3.10` as one, we read its text.
Python = Annotated[
    str, AfterValidator(checked_python), WithJsonSchema({"type": ["string", "number"], "examples": ["3.11"]})
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Allowances = Annotated[
    tuple[str, ...],
    BeforeValidator(_comma_separated, json_schema_input_type=str | list[str]),
    AfterValidator(_allowances),
]
SystemPackages = Annotated[
    tuple[str, ...],
    BeforeValidator(_comma_separated, json_schema_input_type=str | list[str]),
    AfterValidator(_system_packages),
]
Pull = Annotated[str, AfterValidator(checked_pull), WithJsonSchema({"type": "string", "enum": ["needed", "all"]})]
Bytes = Annotated[
    str, AfterValidator(_bytes), WithJsonSchema({"type": ["string", "integer"], "examples": ["8g", "512m"]})
]
Duration = Annotated[
    str, AfterValidator(_duration), WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "1h30m"]})
]
Cpus = Annotated[
    str, AfterValidator(parse_cpus), WithJsonSchema({"type": ["string", "integer"], "examples": ["4", "0-3"]})
]

Gpus = Annotated[
    str,
    AfterValidator(parse_gpus),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["all", "1", "device=0"]}),
]


class Section(BaseModel):
    """Base of all sections: immutable, and closed, so that a misspelt key is an error and not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        # `policy:` with nothing under it says nothing; an unknown key stays to be refused.
        if isinstance(data, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            return {key: value for key, value in data.items() if value is not None or key not in known}
        return data


class TagNames(Section):
    """The names of the tags (or params) that hold a fact, where they are not the usual ones."""

    commit: Texts = Field(default=(), description="Tags that hold the commit.")
    data: Texts = Field(default=(), description="Tags that hold digests of data.")
    model: Texts = Field(default=(), description="Tags that hold digests of models.")


class MetricSection(Section):
    """What is allowed for one metric."""

    rtol: YamlNumber | None = Field(default=None, description="Relative tolerance of this metric.")
    atol: YamlNumber | None = Field(default=None, description="Absolute tolerance of this metric.")
    last_only: bool = Field(default=False, description="Compare the last value only, not the curve.")
    ignore: bool = Field(default=False, description="Do not compare this metric.")


class PolicySection(Section):
    """The auditor's terms: abs(rerun - original) <= atol + rtol * abs(original)."""

    rtol: YamlNumber | None = Field(default=None, description="Relative tolerance of all metrics; 1e-6 by default.")
    atol: YamlNumber | None = Field(default=None, description="Absolute tolerance of all metrics; 0 by default.")
    metrics: dict[str, MetricSection] = Field(default={}, description="Terms for single metrics, by name.")
    only: Texts = Field(default=(), description="Compare these metrics only.")
    ignore: Texts = Field(default=(), description="Do not compare these metrics.")
    allow: Allowances = Field(default=(), description=f"What may lower assurance: {', '.join(ALLOWANCES)}.")
    warm_start: Paths = Field(default=(), description="Recorded outputs to put at their own path before training.")
    require: Literal["identical", "reproduced"] | None = Field(default=None, description="The verdict to insist on.")
    require_complete: bool = Field(default=False, description="Insist on nothing under `not_verified`.")


class LimitsSection(Section):
    """What the training may use, in docker's notations."""

    timeout: Duration | None = Field(default=None, description="Longest wall time of the training.")
    memory: Bytes | None = Field(default=None, description="Memory, without swap.")
    cpus: Cpus | None = Field(default=None, description="Number of processors, or the set of them.")
    pids: Annotated[int, BeforeValidator(_whole), Field(gt=0)] | None = Field(
        default=None, description="Most processes and threads."
    )
    shm_size: Bytes | None = Field(default=None, description="Size of /dev/shm.")
    gpus: Gpus | None = Field(default=None, description="GPUs of the training: all, none, a number, device=0,1.")
    output: Bytes | None = Field(default=None, description="Most that the training may write; 16g by default.")
    lfs: Bytes | None = Field(
        default=None, description="Most that is fetched from Git LFS for a run; 2g by default (`--lfs-limit`)."
    )
    log: Bytes | None = Field(default=None, description="Most that is kept of the training's log; 64m by default.")


class PinnedInput(Section):
    """A file that stands for data of a database or a service: its place in the workspace, its bytes, their digest."""

    path: Path = Field(description="Where the training reads it, in the repository.")
    source: str = Field(
        description="A file of this machine, from the current directory, or an https address.", min_length=1
    )
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of its bytes.")
    md5: Md5 | None = Field(default=None, description="MD5 of its bytes.")

    @model_validator(mode="after")
    def _has_one_digest(self) -> PinnedInput:
        if (self.sha256 is None) == (self.md5 is None):
            raise ValueError("an input has one digest, sha256 or md5")
        return self

    @property
    def digest(self) -> DigestValue:
        """The digest that its bytes must have."""
        return DigestValue("sha256", self.sha256) if self.sha256 else DigestValue("md5", self.md5 or "")


class Configuration(Section):
    """`runner.yaml`: what flags say, for every run of a project. Flags win."""

    tracker: str | None = Field(default=None, description="Tracking URI (`--tracker`).")
    registry_uri: str | None = Field(default=None, description="Registry URI (`--registry-uri`).")
    repo: str | None = Field(default=None, description="Repository of the run's code (`--repo`).")
    remote: str | None = Field(default=None, description="DVC remote to restore from, name or URL (`--remote`).")
    pull: Pull | None = Field(default=None, description="What DVC names: what the run needs, or all (`--pull`).")
    command: str | None = Field(default=None, description="The training command (`--command`).", min_length=1)
    working_directory: Path | None = Field(default=None, description="Where the command runs, in the repository.")
    python: Python | None = Field(default=None, description="Python version of the run (`--python`).")
    environment: Path | None = Field(default=None, description="Dependency file to install from, in the repository.")
    image: str | None = Field(
        default=None, description="Image that the run trained in, best by digest: NAME@sha256:...", min_length=1
    )
    with_packages: Texts = Field(default=(), alias="with", description="Package versions that replace (`--with`).")
    index_dates: str | None = Field(
        default=None,
        description="File with upload times, for an index that gives none (`--index-dates`).",
        min_length=1,
    )
    system_packages: SystemPackages = Field(
        default=(), description="Debian packages that the training's image has beside (`--system-packages`)."
    )
    pointers: Annotated[dict[str, str], AfterValidator(_pointers)] = Field(
        default={}, description="Which file a recorded digest is of: DIGEST: PATH (`--pointer`)."
    )
    inputs: dict[str, PinnedInput | Path] = Field(
        default={},
        description="What stands for data that a run read from a service: DATASET: PATH, which DVC pins, or a file "
        "with its digest.",
    )
    prefetch: Texts = Field(
        default=(), description="Commands that fetch data before the training, with the network and no credentials."
    )
    tags: TagNames = Field(default=TagNames(), description="Names of the tags that hold facts.")
    policy: PolicySection = Field(default=PolicySection(), description="The auditor's terms.")
    limits: LimitsSection = Field(default=LimitsSection(), description="What the training may use.")
    base_image: str | None = Field(default=None, description="Python base image (`--base-image`).")
    offline: bool = Field(default=False, description="Use only what is on this machine (`--offline`).")
    out: str | None = Field(default=None, description="Where evidence goes (`--out`).")
