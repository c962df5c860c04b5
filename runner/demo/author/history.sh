#!/usr/bin/env bash
# The whole life of the demo's project, each command as its author would have typed it.
#
#     history.sh FOLDER    makes FOLDER/project and FOLDER/remote; needs git, dvc and uv on the PATH
#
# Dates and names are fixed, so that the commits are the same each time. Lines that begin with "==" tell of progress,
# FOLDER/history.txt has the commits with their dates, newest last.
set -euo pipefail

files=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/project" "$1/remote"
cd "$1/project"

export GIT_AUTHOR_NAME="Ada Author" GIT_AUTHOR_EMAIL="ada@diabetes.example"
export GIT_COMMITTER_NAME="Ada Author" GIT_COMMITTER_EMAIL="ada@diabetes.example"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null DVC_NO_ANALYTICS=1

commit() { # DATE MESSAGE
  GIT_AUTHOR_DATE="$1T09:30:00+00:00" GIT_COMMITTER_DATE="$1T09:30:00+00:00" git commit --quiet --message "$2"
}

echo "== installing the project's requirements"
uv venv --quiet --python "$(command -v python3)" .venv
uv pip install --quiet --python .venv/bin/python --requirement "$files/project/requirements.txt"
export PATH="$PWD/.venv/bin:$PATH"

echo "== first commits: scripts, requirements, DVC remote"
git init --quiet --initial-branch main
cp -R "$files/project/." .
printf '%s\n' .venv/ runs/mlruns/ __pycache__/ > .gitignore
python -c 'import sys; print("%d.%d" % sys.version_info[:2])' > .python-version
git add .gitignore .python-version README.md requirements.in requirements.txt scripts
commit 2025-02-03 "Train on the diabetes study, track with MLflow"

dvc init --quiet
dvc remote add --quiet --default storage ../remote
dvc config core.autostage true
git add .dvc .dvcignore
commit 2025-02-04 "Configure DVC remote"

echo "== pilot on the first 150 patients"
python scripts/prepare_data.py --patients 150
dvc add --quiet data/diabetes.csv
commit 2025-02-05 "Data of the pilot: first 150 patients"
dvc push --quiet
pilot=$(sed -n 's/.*md5: //p' data/diabetes.csv.dvc)
python scripts/train.py --run-name pilot
dvc add --quiet runs/diabetes/model.joblib
commit 2025-02-05 "Train model of the pilot"
dvc push --quiet

echo "== experiment_v1 on the first 300 patients"
python scripts/prepare_data.py --patients 300
dvc add --quiet data/diabetes.csv
commit 2025-03-10 "Data v1: first 300 patients"
dvc push --quiet
python scripts/train.py --run-name experiment_v1
dvc add --quiet runs/diabetes/model.joblib
commit 2025-03-10 "Train model on data v1"
dvc push --quiet

echo "== experiment_v2 on all 442 patients"
python scripts/prepare_data.py --patients 442
dvc add --quiet data/diabetes.csv
commit 2025-04-14 "Data v2: all 442 patients"
dvc push --quiet
python scripts/train.py --run-name experiment_v2 --n-estimators 160 --learning-rate 0.04
dvc add --quiet runs/diabetes/model.joblib
commit 2025-04-14 "Train model on data v2"
dvc push --quiet

echo "== later changes to the script"
sed -i 's/"--learning-rate", type=float, default=0.05/"--learning-rate", type=float, default=0.02/' scripts/train.py
git add scripts/train.py
commit 2025-05-19 "Learn more slowly by default"
sed -i 's/    return table\[:, :-1\], table\[:, -1\]/    features = np.column_stack([table[:, :-1], table[:, 2] ** 2])\n    return features, table[:, -1]/' scripts/train.py
git add scripts/train.py
commit 2025-06-02 "Add the square of the body mass index"

echo "== making room: the pilot's data goes from the remote"
rm -f "../remote/files/md5/${pilot:0:2}/${pilot:2}" ".dvc/cache/files/md5/${pilot:0:2}/${pilot:2}"

git log --reverse --date=short --format='%h  %ad  %s' > ../history.txt
rm -rf .venv .dvc/tmp
