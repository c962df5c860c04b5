"""What most likely moved the numbers of a divergence, most likely first. Reports name it, and offer to try it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.lineage.packages import PYTHON
from runner.redact import redact
from runner.schema.comparison import Comparison, EnvironmentDifference
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.statements import platform_difference

_SHOWN = 4
_NUMERICAL = (
    *("numpy", "scipy", "scikit-learn", "torch", "xgboost", "lightgbm", "pandas"),
    *("catboost", "tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "flax", "statsmodels", "numba", "polars"),
    *("pyarrow", "imbalanced-learn", "torchvision", "torchaudio", "transformers", "accelerate", "pytorch-lightning"),
    *("lightning", "sentence-transformers", "tokenizers", "datasets", "timm", "optuna", "hyperopt"),
    *("scikit-image", "opencv-python", "opencv-python-headless", "pillow", "gensim", "nltk", "spacy", "prophet"),
)
"""Packages that compute, or that cut and order data: by how often their versions move numbers."""
_BESIDE = re.compile(
    r"mlflow(?:-.*)?|dvc(?:-.*)?|wandb|cloudpickle|psutil|click|typer|rich|tqdm|pyyaml|requests|urllib3|jinja2|gunicorn"
    r"|flask|fastapi|uvicorn|pydantic(?:-.*)?|matplotlib|seaborn|plotly|boto3|botocore|ipython|ipykernel|jupyter.*"
    r"|pytest.*|black|ruff|typing-extensions|defusedxml|protobuf|sqlalchemy|alembic|colorama|packaging"
)
"""Packages that record, draw or serve."""
_SEED = re.compile(r"(?i)(?:.*[_./-])?(?:random_?state|seed|random_?seed|rng)")
_UNSEEDED = frozenset({"none", "null", ""})


def changed_packages(comparison: Comparison) -> tuple[EnvironmentDifference, ...]:
    """Return the recorded packages that ran otherwise: those that compute first, those that record or draw last."""
    changed = [package for package in comparison.environment if package.outcome != "same" and package.name != PYTHON]
    return tuple(sorted(changed, key=_likelihood))


def unseeded_params(record: RunRecord) -> tuple[str, ...]:
    """Return the recorded params that say themselves that nothing fixed the random numbers (`random_state=None`)."""
    return tuple(
        f"{name}={value}"
        for name, value in sorted(record.params.items())
        if _SEED.fullmatch(name) and value.strip().lower() in _UNSEEDED
    )


def suspects(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> tuple[str, ...]:
    """Return in a sentence each what may have moved the numbers, most likely first."""
    words = []
    unseeded = unseeded_params(record)
    if unseeded:
        words.append(f"random numbers: recorded as unseeded ({_listed(unseeded)})")
    changed = changed_packages(comparison)
    if changed:
        pairs = [f"{package.name} {package.original} recorded, {package.rerun or 'none'} ran" for package in changed]
        words.append(f"environment: {_listed(pairs)} ({plan.environment.source})")
    elif not plan.environment.exact:
        told = "only some of the versions that the run had are recorded" if plan.environment.constraints else None
        words.append(
            f"environment: {told or 'nothing tells which versions the run had'} ({_guessed(plan.environment, rerun)})"
        )
    platform = platform_difference(record, rerun)
    if platform is not None:
        words.append(f"platform: {platform}")
    python = next((item for item in comparison.environment if item.name == PYTHON and item.outcome != "same"), None)
    if python is not None:
        words.append(f"Python: {python.original} recorded, {python.rerun} ran")
    return tuple(redact(text) for text in words)


def _guessed(environment: EnvironmentSpec, rerun: Rerun) -> str:
    moment = rerun.environment.as_of or environment.as_of
    when = "" if moment is None else f", as of {moment:%Y-%m-%d} here"
    return f"{environment.source}{when}; Python {environment.python}: {environment.python_source}"


def _likelihood(package: EnvironmentDifference) -> tuple[int, str]:
    if package.name in _NUMERICAL:
        return _NUMERICAL.index(package.name), package.name
    return len(_NUMERICAL) + (_BESIDE.fullmatch(package.name) is not None), package.name


def _listed(texts: Sequence[str]) -> str:
    """Return texts with commas, as many as a line holds."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
