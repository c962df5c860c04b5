"""Values of a run that reproduces bit for bit, to be spoilt one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from runner.compare.build import compare
from runner.schema.base import Value
from runner.schema.digest import DigestValue
from runner.schema.lineage import Considered, Lineage, LineageFile, Provenance
from runner.schema.plan import EnvironmentSpec, Images, Limits, Plan, Policy, RunSummary
from runner.schema.reproduction import Decision, Reproduction, RunIdentity
from runner.schema.rerun import (
    CapturedPoint,
    CapturedRun,
    CaptureReport,
    Ending,
    Hardware,
    OutputFile,
    Rerun,
    ResolvedEnvironment,
    RestoredFile,
)
from runner.schema.run_record import MetricHistory, MetricPoint, RunRecord, StoreKind, TextFile
from runner.verdict.decide import decide

RUN_ID = "ab12cd34ef56ab12cd34ef56ab12cd34"
RERUN_ID = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
START = datetime(2025, 3, 2, 10, 0, tzinfo=timezone.utc)
START_MS = int(START.timestamp() * 1000)
COMMIT = "9f3c2e1d0b4a59687766554433221100aabbccdd"
DATA = "data/train.csv"
MODEL = "models/model.joblib"

Kind = TypeVar("Kind", bound=Value)


def md5(text: str) -> DigestValue:
    """The MD5 of a text."""
    return DigestValue("md5", hashlib.md5(text.encode()).hexdigest())


def changed(value: Kind, **fields: Any) -> Kind:
    """A value with other fields, validated as if it were new."""
    return type(value).model_validate({**dict(value), **fields})


def history(name: str, values: Sequence[float], *, steps: Sequence[int] | None = None, **options: Any) -> MetricHistory:
    """A recorded curve with a point a second, or at `times_ms` after the start."""
    times = options.pop("times_ms", [1000 * index for index in range(len(values))])
    return MetricHistory(
        name=name,
        points=tuple(
            MetricPoint(step=step, timestamp_ms=START_MS + time, value=value)
            for step, time, value in zip(steps or range(len(values)), times, values, strict=True)
        ),
        **options,
    )


def captured(
    name: str, values: Sequence[float], *, steps: Sequence[int] | None = None, first: int = 10, **options: Any
) -> tuple[CapturedPoint, ...]:
    """A captured curve with a point a second, or at `times_ms` after its own start."""
    times = options.pop("times_ms", [1000 * index for index in range(len(values))])
    return tuple(
        CapturedPoint(sequence=first + index, name=name, value=value, step=step, timestamp_ms=START_MS + 10**10 + time)
        for index, (step, time, value) in enumerate(zip(steps or range(len(values)), times, values, strict=True))
    )


LOSS = (0.9, 0.5, 0.30000000000000004, 0.25)
AUC = (0.912874131,)


def make_record(**fields: Any) -> RunRecord:
    """The record of a finished run in a file store."""
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "uri": "file:///srv/acme/mlruns",
        "store": StoreKind.MLFLOW_FILE,
        "experiment_id": "955874916381101783",
        "experiment_name": "fraud",
        "name": "rf-depth-8",
        "status": "FINISHED",
        "start_time": START,
        "end_time": START + timedelta(minutes=2),
        "params": {"depth": "8", "rate": "0.1"},
        "tags": {"git_commit": COMMIT, "dvc_data_md5": md5("data").hexdigest},
        "metrics": (history("auc", AUC), history("loss", LOSS)),
        "artifact_root": "file:///srv/acme/mlruns/1/artifacts",
        "environment_files": (
            TextFile(path="model/requirements.txt", text="scikit-learn==1.4.2\nnumpy==1.26.4\n"),
            TextFile(path="model/python_env.yaml", text="python: 3.9.18\n"),
        ),
    }
    return RunRecord(**{**values, **fields})


def data_file(**fields: Any) -> LineageFile:
    """The recorded data, with a pointer that is stale at the commit."""
    values: dict[str, Any] = {
        "path": DATA,
        "digest": md5("data"),
        "role": "input",
        "source": "tag dvc_data_md5",
        "pointer": f"{DATA}.dvc",
        "pointer_state": "rewritten",
        "pointer_digest": md5("older data"),
        "size_bytes": 212_000_000,
        "considered": (
            Considered(
                source=f"{DATA}.dvc at the commit", value=str(md5("older data")), reason="the run's tag comes first"
            ),
        ),
    }
    return LineageFile(**{**values, **fields})


def model_file(**fields: Any) -> LineageFile:
    """The recorded model, whose pointer was committed later."""
    values: dict[str, Any] = {
        "path": MODEL,
        "digest": md5("model"),
        "role": "output",
        "source": "tag dvc_model_md5",
        "pointer": f"{MODEL}.dvc",
        "pointer_state": "created",
    }
    return LineageFile(**{**values, **fields})


LOCK = "version = 1\n" + "".join(
    f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
    for name, version in (("scikit-learn", "1.4.2"), ("numpy", "1.26.4"), ("mlflow", "2.22.0"))
)


def make_plan(**fields: Any) -> Plan:
    """A plan of which every fact was recorded. `files` and `policy` may be given alone."""
    files = fields.pop("files", (data_file(), model_file()))
    values: dict[str, Any] = {
        "run": RunSummary(
            id=RUN_ID,
            uri="file:///srv/acme/mlruns",
            experiment="fraud",
            name="rf-depth-8",
            status="FINISHED",
            start_time=START,
            duration_s=120.0,
            baseline_digest="sha256:" + "0" * 64,
        ),
        "lineage": Lineage(
            repository="https://git.example/acme/fraud.git",
            commit=COMMIT,
            files=files,
            provenance=(
                Provenance(fact="repository", value="https://git.example/acme/fraud.git", source="tag git_repo_url"),
                Provenance(
                    fact="commit",
                    value=COMMIT,
                    source="tag git_commit",
                    considered=(Considered(source="tag mlflow.source.git.commit", value=COMMIT, reason="agrees"),),
                ),
            ),
        ),
        "command": "python train.py --depth 8",
        "command_source": 'stage "train" of dvc.yaml',
        "command_inferred": False,
        "environment": EnvironmentSpec(
            kind="uv.lock",
            source="uv.lock at the commit",
            main="uv.lock",
            files={"uv.lock": LOCK},
            exact=True,
            as_of=None,
            python="3.9",
            python_source=".python-version at the commit",
            python_recorded="3.9.18",
        ),
        "policy": Policy(),
        "limits": Limits(timeout_s=960.0, timeout_source="three times the recorded duration, and ten minutes"),
        "images": Images(
            base="python:3.9-slim-bookworm",
            base_digest="sha256:" + "1" * 64,
            base_origin="registry",
            tools="reproducibility-runner/tools:0.1.0",
            tools_digest="sha256:" + "2" * 64,
        ),
        "expected_outputs": (MODEL,),
        "not_verified": ("BLAS threads: not recorded, 2 used",),
    }
    return Plan(**{**values, **fields}).sealed()


def make_run(**fields: Any) -> CapturedRun:
    """The captured counterpart of the record."""
    values: dict[str, Any] = {
        "run_id": RERUN_ID,
        "experiment": "fraud",
        "name": "rf-depth-8",
        "status": "FINISHED",
        "parent_run_id": None,
        "resumed": False,
        "started": 1,
        "ended": 100,
        "params": {"depth": "8", "rate": "0.1"},
        "tags": {"git_commit": COMMIT, "dvc_data_md5": md5("data").hexdigest},
        "metrics": (*captured("auc", AUC, first=10), *captured("loss", LOSS, first=20)),
    }
    return CapturedRun(**{**values, **fields})


def restored(**fields: Any) -> RestoredFile:
    """The data as it was restored, read and left alone."""
    values: dict[str, Any] = {
        "path": DATA,
        "expected": md5("data"),
        "digest": md5("data"),
        "sha256": hashlib.sha256(b"data").hexdigest(),
        "size_bytes": 212_000_000,
        "role": "input",
        "place": "workspace",
        "held_by": "main",
        "opened": True,
        "unchanged": True,
    }
    return RestoredFile(**{**values, **fields})


def written(**fields: Any) -> OutputFile:
    """The model as the training wrote it."""
    values: dict[str, Any] = {
        "path": MODEL,
        "digest": md5("model"),
        "sha256": hashlib.sha256(b"model").hexdigest(),
        "size_bytes": 5000,
        "written": True,
    }
    return OutputFile(**{**values, **fields})


def make_rerun(*runs: CapturedRun, **fields: Any) -> Rerun:
    """A rerun that finished; `capture` fields may be given as a dictionary."""
    capture = {"runs": runs or (make_run(),), "processes": 1, "mlflow_processes": 1, **fields.pop("capture", {})}
    values: dict[str, Any] = {
        "ending": Ending.FINISHED,
        "exit_code": 0,
        "timings": {"restore": 0.6, "provision": 0.04, "train": 14.1, "collect": 0.3},
        "capture": CaptureReport(**capture),
        "inputs": (restored(),),
        "outputs": (written(),),
        "environment": ResolvedEnvironment(
            key="k" * 16,
            python="3.9.18",
            lock="scikit-learn==1.4.2\n",
            packages={"scikit-learn": "1.4.2", "numpy": "1.26.4", "mlflow": "2.22.0"},
            cached=True,
        ),
        "hardware": Hardware(
            platform="Linux-6.1-x86_64", cpu_model="EPYC 7B13", cpu_flags_digest=None, cpus=2, libc="2.36", kernel="6.1"
        ),
        "remotes_asked": ("main",),
        "log_tail": ("epoch 1", "epoch 2"),
    }
    return Rerun(**{**values, **fields})


def judge(
    record: RunRecord | None = None, plan: Plan | None = None, rerun: Rerun | None = None, **options: Any
) -> Decision:
    """Compare and decide, with what reproduces in place of what is not given."""
    record, plan, rerun = record or make_record(), plan or make_plan(), rerun or make_rerun()
    return decide(plan, record, rerun, compare(record, plan, rerun), **options)


def make_reproduction(
    record: RunRecord | None = None, plan: Plan | None = None, rerun: Rerun | None = None, **fields: Any
) -> Reproduction:
    """The whole evidence; identical unless something else is given."""
    record, plan, rerun = record or make_record(), plan or make_plan(), rerun or make_rerun()
    comparison = compare(record, plan, rerun)
    decision = decide(plan, record, rerun, comparison)
    values: dict[str, Any] = {
        "tool_version": "0.1.0",
        "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        "verdict": decision.verdict,
        "reason": decision.reason,
        "verified": decision.verified,
        "not_verified": decision.not_verified,
        "missing": decision.missing,
        "run": RunIdentity.of(record),
        "record": record,
        "lineage": plan.lineage,
        "plan": plan,
        "rerun": rerun,
        "comparison": comparison,
        "timings": {"restore": 0.6, "provision": 0.04, "train": 14.1, "collect": 0.3, "total": 16.2},
    }
    return Reproduction(**{**values, **fields})
