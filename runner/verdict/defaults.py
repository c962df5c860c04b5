"""Params that autologging takes from an estimator: other defaults are another version's, and no other experiment."""

from __future__ import annotations

import re

from runner.redact import redact
from runner.schema.comparison import Comparison, Outcome, ParamComparison
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.remedy import again

_AUTOLOGGING, _CLASS = "mlflow.autologging", "estimator_class"
_PACKAGES = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm", "statsmodels": "statsmodels"}
_UNSET = frozenset({"none", "deprecated", "warn", "auto", "auto_deprecated", "nan"})
"""What libraries have as a default where nobody sets anything, and change from one version to another."""


def other_defaults(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> Missing | None:
    """Return that the library's version is another than the run's, where nothing but its defaults differs.

    That holds of params that no option of the command gives and of which one side is no value that anybody sets, and
    where nothing shows that the version is the run's. None for all else, which is another experiment.
    """
    library = record.tags.get(_AUTOLOGGING) or record.tags.get(_CLASS, "").partition(".")[0]
    package = _PACKAGES.get(library)
    different = [
        param for param in comparison.params if param.decisive and param.outcome in (Outcome.OUTSIDE, Outcome.MISSING)
    ]
    if package is None or not different or not all(_is_default(plan, param) for param in different):
        return None
    ran = rerun.environment.packages.get(package, "no version")
    told = next((each for each in comparison.environment.recorded if each.name == package), None)
    if told is not None and told.outcome == "same":
        return None
    version = None if told is None else told.original
    if version is None and plan.environment.exact:
        return None
    names = ", ".join(f"{param.name}={param.original}" for param in different[:3])
    whose = "nothing tells which version the run had" if version is None else f"the run had {version}"
    return Missing(
        fact="environment",
        cause=redact(
            f"{package} {ran} has other defaults than were recorded ({names}), no option of the command sets them, and "
            f"{whose}"
        ),
        remedy=again(plan, "--with", f"{package}=={version or 'VERSION'}")
        + ("" if version else f"    the {package} that the run had"),
        looked_in=(plan.environment.source,),
    )


def _is_default(plan: Plan, param: ParamComparison) -> bool:
    words = re.split(r"[\s=]+", " ".join((plan.command, *plan.options_uncovered)))
    own = param.name.replace("_", "-").lower()
    if any(word.lstrip("-").replace("_", "-").lower() == own for word in words):
        return False
    return any((value or "").strip("\"' ").lower() in _UNSET for value in (param.original, param.rerun))
