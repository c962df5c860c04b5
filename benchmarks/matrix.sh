#!/usr/bin/env bash
# The author of the matrix' runs: one small project, the same training recorded by one MLflow in each kind of store.
#
#     matrix.sh author FOLDER [HTTP_URI]    makes FOLDER/project and FOLDER/remote, and writes both as an archive
#     matrix.sh server FOLDER MLFLOW PORT   serves MLflow's tracking API; MLFLOW is a requirement
set -euo pipefail
files=/author
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null DVC_NO_ANALYTICS=1
export GIT_AUTHOR_NAME="Ada Author" GIT_AUTHOR_EMAIL="ada@diabetes.example"
export GIT_COMMITTER_NAME="Ada Author" GIT_COMMITTER_EMAIL="ada@diabetes.example"
export MLFLOW_ALLOW_FILE_STORE=true MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

install() { # FOLDER REQUIREMENT...
  uv venv --quiet --python "$(command -v python3)" "$1/.venv"
  uv pip install --quiet --python "$1/.venv/bin/python" "${@:2}"
}

if [ "$1" = server ]; then
  mkdir -p "$2" && cd "$2"
  install . $3 >&2
  export PATH="$PWD/.venv/bin:$PATH"  # where it looks for its own servers
  exec mlflow server --host 127.0.0.1 --port "$4" --workers 1 \
    --backend-store-uri sqlite:///server.db --serve-artifacts --artifacts-destination "$2/artifacts" >&2
fi

mkdir -p "$2/project" "$2/remote"
cd "$2/project"
cp -R "$files/project/." .
cp "$files/requirements.txt" .
install . --requirement requirements.txt "sqlalchemy<2" "alembic<2" >&2 # the latter for the database alone
export PATH="$PWD/.venv/bin:$PATH"
{
  # The store is the variable's: one commit, recorded in several.
  sed -i '/^mlflow.set_tracking_uri/d' scripts/train.py
  printf '%s\n' .venv/ runs/mlruns/ 'runs/*.db' __pycache__/ > .gitignore
  python -c 'import sys; print("%d.%d" % sys.version_info[:2])' > .python-version
  git init --quiet --initial-branch main
  dvc init --quiet
  dvc remote add --quiet --default storage ../remote
  python scripts/prepare_data.py --patients 300
  dvc add --quiet data/diabetes.csv
  git add .
  git commit --quiet --message "Train on the diabetes study"
  dvc push --quiet
  mkdir -p runs/diabetes
  for uri in file:runs/mlruns sqlite:///runs/mlflow.db ${3:-}; do
    for _ in $(seq 600); do
      case $uri in http*) ! python -c "import urllib.request as r; r.urlopen('$uri/health')" 2>/dev/null || break; sleep 0.5 ;; *) break ;; esac
    done
    MLFLOW_TRACKING_URI=$uri python scripts/train.py --run-name matrix
  done
  dvc add --quiet runs/diabetes/model.joblib
  git add runs/diabetes
  git commit --quiet --message "Train model"
  dvc push --quiet
  rm -rf .venv
} >&2
tar -C "$2" -cf - project remote
