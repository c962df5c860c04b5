"""Sets tags on runs that are made already, by the user's own MLflow in the user's own Python.

python -c "from reproducibility_runner.recording.relabel import main; main()"  < [{"uri", "run", "tags", "remove"}]
"""

from __future__ import annotations

import json
import sys


def relabel(orders: list[dict[str, object]]) -> None:
    """Set and remove tags of runs. Raises what MLflow raises."""
    from mlflow.tracking import MlflowClient

    for order in orders:
        client = MlflowClient(tracking_uri=order["uri"])
        for name, value in dict(order["tags"]).items():  # type: ignore[call-overload]
            client.set_tag(order["run"], name, value)
        for name in list(order["remove"]):  # type: ignore[call-overload]
            client.delete_tag(order["run"], name)


def main() -> None:
    """Do what stands on standard input."""
    relabel(json.load(sys.stdin))
