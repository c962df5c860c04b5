"""What made the `.wandb` files beside it: run offline, in a repository with a remote, by each version of W&B.

WANDB_MODE=offline python author.py --foo 1
"""

import wandb

config = {"lr": 0.1, "deep": {"x": 1, "y": [1, 2]}, "flag": True, "none": None, "big": 2**60, "whole": 1.0}
run = wandb.init(
    project="proj", name="exp one", group="g", job_type="jt", notes="some notes", tags=["a", "b"], config=config
)
wandb.config.update({"late": 3, "text": "as it is"})
run.define_metric("val/*", step_metric="epoch")
run.define_metric("acc", summary="max")
for i in range(5):
    wandb.log(
        {"loss": 1 / (i + 1), "acc": [0.1, 0.9, 0.3, 0.2, 0.5][i], "epoch": i, "nest": {"a": i * 0.1, "b": {"c": i}}}
    )
wandb.log({"val/l": 0.5, "epoch": 1})
wandb.log(
    {
        "nan": float("nan"),
        "inf": float("inf"),
        "ninf": -float("inf"),
        "bool": True,
        "text": "hello",
        "e": 1e22,
        "tiny": 5e-324,
        "neg0": -0.0,
        "third": 0.1 + 0.2,
        "big": 2**60,
    }
)
wandb.log({"part": 1}, commit=False)
wandb.log({"part2": 2})
wandb.log({"at": 7}, step=20)
wandb.log({"a.b": 1.5, "table": wandb.Table(columns=["a"], data=[[1]])})
run.summary["best"] = 0.75
run.summary["nested"] = {"k": 1.25}
run.finish()
