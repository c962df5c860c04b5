"""Stages as we read them are those that DVC itself makes of the same files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from runner.lineage.pipeline import stages_of
from tests.support.capture_environments import DVC_TODAY, program_of
from tests.support.facts import snapshot

_RESOLVE = """
import json
from dvc.parsing import DataResolver
from dvc.repo import Repo
from dvc.utils.serialize import load_path
repo = Repo(".")
print(json.dumps(DataResolver(repo, repo.root_dir, load_path("dvc.yaml", repo.fs)).resolve()["stages"]))
"""
TEXTS = {
    "dvc.yaml": r"""
vars: [more.json, 'some.toml:table', consts.py, {local: {deep: [1, {x: two}]}}]
stages:
  plain: {cmd: 'python a.py ${lr} ${flag} ${word} ${zeros} ${local.deep[1].x} \${HOME} ${none}', deps: ['${data.raw}']}
  several: {cmd: ['a ${lr}', 'b ${big}'], outs: ['${data.raw}.out', '${word}/x': {persist: true}]}
  options: {cmd: 'python a.py ${model}'}
  listed: {foreach: [a, 1, true, 2.50], do: {cmd: 'x ${item}', outs: ['o-${item}']}}
  mapped: {foreach: '${grid}', do: {cmd: 'x ${key} ${item.depth}', wdir: '${key}', outs: ['o-${key}']}}
  composite: {foreach: [{k: 1}, {k: 2}], do: {cmd: 'x ${item.k}'}}
  crossed: {matrix: {m: [cnn, rnn], lr: '${rates}', c: [{d: 3}]}, cmd: 'x ${item.m} ${item.lr} ${item.c.d} ${key}'}
  inner: {vars: [{own: 5}, wd/extra.yaml], cmd: 'x ${own} ${extra}'}
  consts: {cmd: 'x ${SEED} ${Train.epochs} ${table.k} ${j.k}'}
""",
    "params.yaml": """
lr: 1e-3
flag: on
word: 'no'
zeros: 010
none: null
big: 1_000
data: {raw: data/raw.csv}
model: {depth: 3, rate: 0.10, name: 'a b', verbose: true, quiet: false, layers: [1, 'two x'], nested: {k: v}}
grid: {small: {depth: 1}, large: {depth: 9}}
rates: [1e-5, 0.1]
""",
    "more.json": '{"j": {"k": 1.0}}',
    "some.toml": "other = 1\n[table]\nk = 'v'\n",
    "consts.py": "SEED = 42\nclass Train:\n    epochs = 3\n",
    "wd/extra.yaml": "extra: .5\n",
}


def test_each_stage_is_the_one_that_dvc_makes(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    python, dvc = (program_of(DVC_TODAY, name) for name in ("python", "dvc"))
    subprocess.run([dvc, "init", "-q", "--no-scm"], cwd=tmp_path, env=environ, check=True)
    told = subprocess.run(
        [python, "-c", _RESOLVE], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    theirs = json.loads(told.stdout.splitlines()[-1])
    ours = {stage.name: stage for stage in stages_of(snapshot(TEXTS))}
    assert ours.keys() == theirs.keys()
    for name, stage in theirs.items():
        command = stage["cmd"]
        assert ours[name].command == (" && ".join(command) if isinstance(command, list) else command), name
        assert ours[name].problem is None
        folder = stage.get("wdir", "")
        outs = [out if isinstance(out, str) else next(iter(out)) for out in stage.get("outs", [])]
        assert list(ours[name].outs) == [f"{folder}/{out}".lstrip("/") for out in outs]
        assert list(ours[name].deps) == stage.get("deps", [])
