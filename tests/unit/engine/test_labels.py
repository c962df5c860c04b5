"""Who owns what in an engine."""

from __future__ import annotations

import os
import subprocess

from runner.engine import labels


def test_this_process_is_alive_and_a_dead_one_is_not() -> None:
    assert not labels.owner_is_dead(labels.owner())
    child = subprocess.Popen(["sleep", "60"])
    mark = f"{labels.host_id()}:{child.pid}:{labels.process_start(child.pid)}"
    assert not labels.owner_is_dead(mark)
    child.kill()
    child.wait()
    assert labels.owner_is_dead(mark)


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["sleep", "0"])
    mark = f"{labels.host_id()}:{child.pid}:{labels.process_start(child.pid) or 'gone'}"
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert labels.owner_is_dead(mark)
    child.wait()


def test_a_reused_process_id_is_another_process() -> None:
    assert labels.owner_is_dead(f"{labels.host_id()}:{os.getpid()}:00000000-1")


def test_other_hosts_and_unreadable_owners_count_as_alive() -> None:
    for mark in ("0123456789ab:1:x", "", "nonsense", f"{labels.host_id()}:x:y"):
        assert not labels.owner_is_dead(mark)


def test_sessions_differ_and_labels_name_session_owner_purpose_and_run() -> None:
    assert labels.new_session() != labels.new_session()
    assert labels.session_labels("abc", "train", "run1") == {
        "reproducibility-runner": "abc",
        "reproducibility-runner.owner": labels.owner(),
        "reproducibility-runner.purpose": "train",
        "reproducibility-runner.run": "run1",
    }


def test_the_cache_volume_can_be_named_otherwise() -> None:
    assert labels.cache_volume({}) == "reproducibility-runner-cache"
    assert labels.cache_volume({"REPRO_CACHE_VOLUME": "mine"}) == "mine"
