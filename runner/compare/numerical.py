"""Which packages can move numbers by their version, and which cannot by themselves."""

from __future__ import annotations

import re
from typing import Literal

MovesNumbers = Literal["can", "perhaps", "not by itself"]

_NUMERICAL = (
    *("numpy", "scipy", "scikit-learn", "torch", "xgboost", "lightgbm", "pandas"),
    *("catboost", "tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "flax", "statsmodels", "numba", "polars"),
    *("mkl", "intel-openmp", "scipy-openblas64", "openblas", "triton", "cupy", "numexpr", "bottleneck", "llvmlite"),
    *("pyarrow", "imbalanced-learn", "torchvision", "torchaudio", "transformers", "accelerate", "pytorch-lightning"),
    *("lightning", "sentence-transformers", "tokenizers", "datasets", "timm", "optuna", "hyperopt"),
    *("scikit-image", "opencv-python", "opencv-python-headless", "pillow", "gensim", "nltk", "spacy", "prophet"),
)
"""Packages that compute, or that cut and order data: by how often their versions move numbers."""
_FAMILIES = re.compile(r"nvidia-.*|cupy-cuda.*|tensorflow-.*|onnxruntime.*|mkl-.*|cuml.*|pytorch-.*|torch-.*")
_BESIDE = re.compile(
    r"mlflow(?:-.*)?|dvc(?:-.*)?|wandb|cloudpickle|psutil|click|typer|rich|tqdm|pyyaml|requests|urllib3|jinja2|gunicorn"
    r"|flask|fastapi|uvicorn|pydantic(?:-.*)?|matplotlib|seaborn|plotly|boto3|botocore|ipython|ipykernel|jupyter.*"
    r"|pytest.*|black|ruff|typing-extensions|defusedxml|protobuf|sqlalchemy|alembic|colorama|packaging"
    r"|pywin32(?:-.*)?|pypiwin32|pyobjc.*|pywinpty|windows-curses|wmi"
    r"|setuptools|wheel|pip|six|certifi|charset-normalizer|idna|docker|gitpython|gitdb|smmap|markupsafe|werkzeug"
    r"|importlib-metadata|zipp|pytz|tzdata|python-dateutil|sqlparse|databricks-.*|opentelemetry-.*|querystring-parser"
)
"""Packages that record, draw, serve or install, or that are for another system."""


def moves_numbers(name: str) -> MovesNumbers:
    """Tell whether another version of a package, by its normalised name, can move numbers."""
    if name in _NUMERICAL or _FAMILIES.fullmatch(name):
        return "can"
    return "not by itself" if _BESIDE.fullmatch(name) else "perhaps"


def likelihood(name: str) -> tuple[int, str]:
    """Return a key that sorts packages: those first whose versions move numbers most often."""
    if name in _NUMERICAL:
        return _NUMERICAL.index(name), name
    order: tuple[MovesNumbers, ...] = ("can", "perhaps", "not by itself")
    return len(_NUMERICAL) + order.index(moves_numbers(name)), name
