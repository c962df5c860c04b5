#!/usr/bin/env bash
# What a person does by hand to reproduce a run of the DVC + MLflow pattern, as fast as a person would: the yardstick.
#
#     pattern.sh REPOSITORY COMMIT DATA_MD5 MODEL_MD5 FOLDER -- TRAINING...
#
# Clones, rewrites the pointers with sed, pulls, makes a fresh environment, trains. It compares nothing, trusts whatever
# arrives, and lets the training write to the network and the original's store. The DVC remote lies beside the clone, as
# it lies beside the repository.
set -euo pipefail

repository=$1 commit=$2 data_md5=$3 model_md5=$4 folder=$5
shift 6

mkdir -p "$folder"
cd "$folder"
ln -s "$(dirname "$repository")/remote" remote
git clone --quiet "$repository" project
cd project
git -c advice.detachedHead=false checkout --quiet "$commit"
sed -i "s/md5: [0-9a-f]\{32\}/md5: $data_md5/" data/diabetes.csv.dvc
sed -i "s/md5: [0-9a-f]\{32\}/md5: $model_md5/" runs/diabetes/model.joblib.dvc
dvc pull --quiet data/diabetes.csv.dvc runs/diabetes/model.joblib.dvc
uv venv --quiet .venv
uv pip install --quiet --python .venv/bin/python --requirement requirements.txt
PATH="$PWD/.venv/bin:$PATH" "$@"
