"""Export the diabetes study that scikit-learn ships, as it was measured, to data/diabetes.csv.

442 patients; ten variables at the start of the study, and the progression of the disease a year later (Efron, Hastie,
Johnstone, Tibshirani: Least Angle Regression, 2004).
"""

import argparse
import csv
from pathlib import Path

from sklearn.datasets import load_diabetes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=442, help="take the first N patients")
    args = parser.parse_args()

    study = load_diabetes(scaled=False)
    target = Path("data/diabetes.csv")
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*study.feature_names, "progression"])
        for row, progression in list(zip(study.data.tolist(), study.target.tolist()))[: args.patients]:
            writer.writerow([*row, progression])


if __name__ == "__main__":
    main()
