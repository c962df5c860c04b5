"""Environment variables of the training (VERDICTS rule 25), and what the record does not say of circumstances."""

from __future__ import annotations

from runner.lineage.recorded import like
from runner.schema.notation import cpus_in
from runner.schema.run_record import RunRecord

_FIXED = {"TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TAKEN = (
    *_FIXED,
    *_THREADS,
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "NUMEXPR_NUM_THREADS",
)


def set_variables(record: RunRecord, cpuset: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables, and a sentence for each circumstance that the record lacks.

    Recorded values are taken from tags and params of the variable's own name (also after `env.`). Threads that are not
    recorded are those of the CPU set; without one, the libraries count the processors that they see.
    """
    recorded = {name: value for name in _TAKEN if (value := _recorded(record, name)) is not None}
    variables = {**_FIXED, **recorded}
    lacking = []
    if "TZ" not in recorded:
        lacking.append("time zone: not recorded, UTC here")
    if not {"LANG", "LC_ALL"} & recorded.keys():
        lacking.append("locale: not recorded, C.UTF-8 here")
    if "PYTHONHASHSEED" not in recorded:
        lacking.append("hash seed of Python: not recorded, random here")
    if not set(_THREADS) & recorded.keys():
        if cpuset is None:
            lacking.append("threads of BLAS and OpenMP: not recorded, one per processor here")
        else:
            count = str(cpus_in(cpuset))
            variables.update(dict.fromkeys(_THREADS, count))
            lacking.append(f"threads of BLAS and OpenMP: not recorded, {count} here")
    if cpuset is not None:
        variables["PYTHON_CPU_COUNT"] = str(cpus_in(cpuset))  # os.cpu_count() sees no CPU set
    lacking.append(f"processors: not recorded, {'all' if cpuset is None else cpuset} here")
    return dict(sorted(variables.items())), tuple(lacking)


def _recorded(record: RunRecord, variable: str) -> str | None:
    names = {variable.lower(), f"env_{variable.lower()}"}
    found = like(record, names.__contains__)
    value = found[0].value if found else None
    return value if value is not None and len(value) <= 64 and value.isprintable() else None
