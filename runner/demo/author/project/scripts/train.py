"""Predict the progression of diabetes a year later, and track the run with MLflow."""

import argparse
import hashlib
import subprocess
from pathlib import Path

import joblib
import mlflow
import numpy as np
import yaml
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

DATA = Path("data/diabetes.csv")
MODEL = Path("runs/diabetes/model.joblib")

mlflow.set_tracking_uri("file:runs/mlruns")
mlflow.set_experiment("diabetes")


def git_commit():
    return subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def pointer_md5(path):
    pointer = yaml.safe_load(Path(f"{path}.dvc").read_text())
    return pointer["outs"][0]["md5"]


def file_md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def load():
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-name", default="experiment")
    parser.add_argument("--n-estimators", type=int, default=120)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--max-depth", type=int, default=3)
    parser.add_argument("--subsample", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    features, progression = load()
    train_x, test_x, train_y, test_y = train_test_split(features, progression, test_size=0.25, random_state=args.seed)

    with mlflow.start_run(run_name=args.run_name):
        mlflow.log_params(
            {
                "n_estimators": args.n_estimators,
                "learning_rate": args.learning_rate,
                "max_depth": args.max_depth,
                "subsample": args.subsample,
                "seed": args.seed,
                "patients": len(features),
            }
        )
        model = GradientBoostingRegressor(
            n_estimators=args.n_estimators,
            learning_rate=args.learning_rate,
            max_depth=args.max_depth,
            subsample=args.subsample,
            random_state=args.seed,
        )
        model.fit(train_x, train_y)

        stages = zip(model.staged_predict(train_x), model.staged_predict(test_x))
        for step, (fitted, predicted) in enumerate(stages):
            mlflow.log_metric("train_mse", mean_squared_error(train_y, fitted), step=step)
            mlflow.log_metric("test_mse", mean_squared_error(test_y, predicted), step=step)
        predicted = model.predict(test_x)
        mlflow.log_metric("test_mae", mean_absolute_error(test_y, predicted))
        mlflow.log_metric("test_r2", r2_score(test_y, predicted))

        MODEL.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, MODEL)
        mlflow.log_artifact(str(MODEL))
        mlflow.set_tags(
            {"git_commit": git_commit(), "dvc_data_md5": pointer_md5(DATA), "dvc_model_md5": file_md5(MODEL)}
        )
        print(f"{args.run_name}: r2 {r2_score(test_y, predicted):.4f} on {len(test_y)} patients held out")


if __name__ == "__main__":
    main()
