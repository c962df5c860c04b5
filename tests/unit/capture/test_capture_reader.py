"""The reader of a capture: what it makes of good events, and that no file that a training could leave harms it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from reproducibility_runner.events import encode
from runner.inside.capture.reader import CaptureLimits, read_capture
from runner.schema.rerun import CaptureReport

START = {"event": "start", "time_ns": 1_000, "observed": True, "python": "3.11.2"}
RUN = {
    "event": "run",
    "run": "a1",
    "experiment": "exp",
    "experiment_id": "7",
    "name": "first",
    "parent": None,
    "tags": {"mlflow.runName": "first"},
    "on_demand": False,
}
RUN_SIZE = 2  # events of START and RUN


def write_events(folder: Path, *events: dict[str, Any], numbered: bool = True) -> None:
    """Write events as the capture does, with their numbers."""
    number = 0
    with (folder / "events.jsonl").open("w") as file:
        for event in events:
            document = {"seq": number, "pid": 10, **event} if numbered else {"pid": 10, **event}
            file.write(encode(document) + "\n")
            number += len(event["points"]) if "points" in event else 1
    (folder / "events.counter").write_bytes(number.to_bytes(8, "big") + bytes(8))


def read(folder: Path, limits: CaptureLimits | None = None) -> CaptureReport:
    """Read a capture and bring it through JSON into its type, as the host does."""
    return CaptureReport.model_validate_json(json.dumps(read_capture(str(folder), limits), allow_nan=False))


def metrics(*points: list[Any], run: str = "a1") -> dict[str, Any]:
    return {"event": "metrics", "run": run, "points": list(points)}


def opened(path: str, mode: str = "r", changed_ns: int | None = 1) -> dict[str, Any]:
    return {"event": "open", "path": path, "mode": mode, "changed_ns": changed_ns}


def artifact(
    path: str, digit: str = "0", *, run: str | None = "a1", model: str | None = None, text: str | None = None
) -> dict[str, Any]:
    digests = {"md5": digit * 32, "sha256": digit * 64, "size": 7}
    return {"event": "artifact", "run": run, "model": model, "path": path, **digests, "text": text}


def md5s(files: dict[str, Any]) -> dict[str, str]:
    return {path: str(file.md5) for path, file in files.items()}


class TestWhatWasCaptured:
    def test_a_run_comes_back_with_all_that_was_logged_in_order(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            {"event": "mlflow", "version": "2.22.0"},
            RUN,
            {"event": "params", "run": "a1", "params": {"depth": "3"}},
            metrics(["loss", 0.5, 0, 11], ["loss", 0.25, 1, 12]),
            metrics(["auc", 0.1 + 0.2, 0, 13]),
            {"event": "tags", "run": "a1", "tags": {"a": "b", "gone": "x"}},
            {"event": "tag deleted", "run": "a1", "key": "gone"},
            artifact("m/model.bin"),
            {"event": "ended", "run": "a1", "status": "FINISHED", "name": None},
        )
        report = read(tmp_path)
        assert report.problems == ()
        assert (report.processes, report.mlflow_processes) == (1, 1)
        (run,) = report.runs
        assert (run.run_id, run.experiment, run.experiment_id, run.name) == ("a1", "exp", "7", "first")
        assert (run.status, run.resumed, run.started, run.ended) == ("FINISHED", False, 2, 10)
        assert [(point.sequence, point.name, point.value, point.step) for point in run.metrics] == [
            (4, "loss", 0.5, 0),
            (5, "loss", 0.25, 1),
            (6, "auc", 0.1 + 0.2, 0),
        ]
        assert run.params == {"depth": "3"}
        assert run.tags == {"mlflow.runName": "first", "a": "b"}
        assert md5s(run.artifacts) == {"m/model.bin": "md5:" + "0" * 32}

    def test_every_float_survives_bit_for_bit(self, tmp_path: Path) -> None:
        values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.pi, math.inf, -math.inf, math.nan, 1e16, 3.0]
        write_events(tmp_path, START, RUN, metrics(*([f"m{i}", value, 0, 0] for i, value in enumerate(values))))
        found = [point.value for point in read(tmp_path).runs[0].metrics]
        assert [value.hex() for value in found] == [value.hex() for value in values]

    def test_a_run_that_was_never_ended_has_no_status(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN)
        assert (read(tmp_path).runs[0].status, read(tmp_path).runs[0].ended) == (None, None)

    def test_a_run_that_was_only_looked_at_is_none_of_the_reruns(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, {**RUN, "on_demand": True}, {"event": "read", "what": "get_run", "detail": "a1"})
        report = read(tmp_path)
        assert report.runs == ()
        assert [(found.sequence, found.what) for found in report.reads] == [(2, "get_run")]

    def test_a_run_that_was_continued_is_marked(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, {**RUN, "on_demand": True}, metrics(["m", 1.0, 0, 0]))
        assert read(tmp_path).runs[0].resumed

    def test_a_files_of_a_model_are_the_runs_that_logged_it(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            RUN,
            {"event": "logged model", "model": "m-1", "run": "a1", "name": "model"},
            artifact("MLmodel", run=None, model="m-1", text="run_id: a1"),
            artifact("other.bin"),
        )
        (run,) = read(tmp_path).runs
        assert sorted(run.artifacts) == ["model/MLmodel", "other.bin"]
        assert run.artifacts["model/MLmodel"].text == "run_id: a1"

    def test_datasets_that_a_run_was_given_are_its_own_and_each_is_there_once(self, tmp_path: Path) -> None:
        given = {"name": "train", "digest": "9f3c2e1", "context": "training"}
        other = {**given, "context": None}
        write_events(tmp_path, START, RUN, {"event": "inputs", "run": "a1", "datasets": [given, other, given]})
        (run,) = read(tmp_path).runs
        assert [dataset.model_dump() for dataset in run.datasets] == [given, other]

    def test_it_can_be_read_although_no_run_was_made(self, tmp_path: Path) -> None:
        write_events(tmp_path, START)
        assert read(tmp_path).processes == 1
        assert read(tmp_path).runs == ()


class TestFilesReadBeforeOutput:
    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            ([opened("data.csv"), metrics(["m", 1.0, 0, 0])], ["data.csv"]),
            ([metrics(["m", 1.0, 0, 0]), opened("plot.csv")], []),
            ([metrics(["m", 1.0, 0, 0]), opened("results.json"), metrics(["n", 1.0, 0, 0])], ["results.json"]),
            ([opened("model.bin", "w"), opened("model.bin"), metrics(["m", 1.0, 0, 0])], []),
            ([opened("model.bin"), opened("model.bin", "w"), metrics(["m", 1.0, 0, 0])], ["model.bin"]),
            ([opened("made.bin", changed_ns=2_000), metrics(["m", 1.0, 0, 0])], []),
            ([opened("linked.csv", changed_ns=None), metrics(["m", 1.0, 0, 0])], ["linked.csv"]),
            ([opened("data.csv")], ["data.csv"]),
        ],
        ids=[
            "read before a value",
            "read after the last value",
            "read between values",
            "made by the training",
            "read and then overwritten",
            "made by another program of the training",
            "linked",
            "nothing was logged",
        ],
    )
    def test_what_could_have_fed_a_value_counts(
        self, tmp_path: Path, events: list[dict[str, Any]], expected: list[str]
    ) -> None:
        write_events(tmp_path, START, RUN, *events)
        assert list(read(tmp_path).files_opened_before_output) == expected


class TestHostileInput:
    def test_no_capture_at_all_is_a_problem(self, tmp_path: Path) -> None:
        assert read(tmp_path).problems == ("no Python of the training loaded the capture",)
        assert "cannot be read" in read(tmp_path / "missing").problems[0]

    def test_a_symbolic_link_is_not_followed(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.jsonl"
        secret.write_text(json.dumps({"seq": 0, **START, "pid": 1}) + "\n")
        folder = tmp_path / "capture"
        folder.mkdir()
        (folder / "events.jsonl").symlink_to(secret)
        assert read(folder).processes == 0
        assert "cannot be read" in read(folder).problems[0]

    def test_a_folder_that_is_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        write_events(tmp_path / "real", START)
        (tmp_path / "capture").symlink_to(tmp_path / "real")
        assert read(tmp_path / "capture").processes == 0

    def test_a_hard_link_is_refused(self, tmp_path: Path) -> None:
        write_events(tmp_path, START)
        os.link(tmp_path / "events.jsonl", tmp_path / "other")
        assert "no regular file" in read(tmp_path).problems[0]

    @pytest.mark.timeout(10)
    def test_a_pipe_does_not_hold_the_reader_up(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "events.jsonl")
        assert "no regular file" in read(tmp_path).problems[0]

    def test_a_folder_in_the_files_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "events.jsonl").mkdir()
        assert "no regular file" in read(tmp_path).problems[0]

    def test_a_torn_last_line_leaves_the_others(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN)
        with (tmp_path / "events.jsonl").open("a") as file:
            file.write('{"seq":2,"event":"metr')
        report = read(tmp_path)
        assert len(report.runs) == 1
        assert "the last line of the capture was not written whole" in report.problems

    def test_a_line_that_is_too_long_is_left_out(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, {"event": "problem", "text": "x" * 5_000}, RUN)
        report = read(tmp_path, CaptureLimits(line_bytes=1_000))
        assert len(report.runs) == 1
        assert any("longer than 1000 bytes" in problem for problem in report.problems)
        assert any("gap" in problem for problem in report.problems)

    def test_a_file_that_is_too_large_is_read_up_to_the_limit(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN, *(metrics(["m", 1.0, i, 0]) for i in range(100)))
        report = read(tmp_path, CaptureLimits(file_bytes=2_000))
        assert 0 < len(report.runs[0].metrics) < 100
        assert any("larger than 2000 bytes" in problem for problem in report.problems)

    def test_too_many_points_are_cut_and_said(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN, metrics(*(["m", 1.0, i, 0] for i in range(10))))
        report = read(tmp_path, CaptureLimits(points=4))
        assert len(report.runs[0].metrics) == 4
        assert any("more than 4 values" in problem for problem in report.problems)

    @pytest.mark.parametrize(
        ("limits", "events"),
        [
            (CaptureLimits(runs=1), [RUN, {**RUN, "run": "b2"}]),
            (CaptureLimits(values=2), [RUN, {"event": "params", "run": "a1", "params": {"a": "1", "b": "2"}}]),
            (CaptureLimits(text=3), [{"event": "read", "what": "get_run", "detail": "long"}]),
        ],
    )
    def test_every_limit_is_a_problem_and_not_an_error(
        self, tmp_path: Path, limits: CaptureLimits, events: list[dict[str, Any]]
    ) -> None:
        write_events(tmp_path, START, *events)
        assert len(read(tmp_path, limits).problems) == 1

    @pytest.mark.parametrize(
        ("limits", "events"),
        [
            (CaptureLimits(paths=1), [opened("a"), opened("b")]),
            (CaptureLimits(), [{"event": "cut", "what": "files opened"}]),
            (CaptureLimits(), [{**START, "observed": False}]),
        ],
    )
    def test_files_that_went_unseen_leave_the_logged_values_whole(
        self, tmp_path: Path, limits: CaptureLimits, events: list[dict[str, Any]]
    ) -> None:
        write_events(tmp_path, START, *events)
        report = read(tmp_path, limits)
        assert (len(report.unobserved), report.problems) == (1, ())

    def test_problems_themselves_are_limited(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, *({"event": "problem", "text": f"problem {i}"} for i in range(500)))
        assert len(read(tmp_path).problems) == CaptureLimits().problems

    @pytest.mark.parametrize(
        "line",
        [
            b"\xff\xfe\x00 not utf-8",
            b"[" * 200_000,
            b'{"seq": NaN}',
            b'{"seq": ' + b"9" * 10_000 + b"}",
            b"null",
            b"[1, 2]",
            b'"text"',
            b"{}",
            b'{"seq":2,"event":["metrics"],"pid":1}',
            b'{"seq":2,"event":"unheard of","pid":1}',
            b'{"event":"metrics","run":"a1","points":[]}',
            b'{"seq":true,"event":"host","host":"x"}',
            b'{"seq":-5,"event":"host","host":"x"}',
            b'{"seq":99999999999999999999999,"event":"host","host":"x"}',
            b'{"seq":2,"event":"metrics","run":"a1","points":{"a":1}}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m",1.0]]}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m","1.0",0,0]]}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m",1e999,0,0]]}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m",true,0,0]]}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m",1.0,0.5,0]]}',
            b'{"seq":2,"event":"metrics","run":"a1","points":[["m",1.0,9999999999999999999999,0]]}',
            b'{"seq":2,"event":"metrics","run":["a1"],"points":[["m",1.0,0,0]]}',
            b'{"seq":2,"event":"metrics","run":"nobody","points":[["m",1.0,0,0]]}',
            b'{"seq":2,"event":"params","run":"a1","params":[1]}',
            b'{"seq":2,"event":"params","run":"a1","params":{"a":1}}',
            b'{"seq":2,"event":"tag deleted","run":"a1","key":3}',
            b'{"seq":2,"event":"ended","run":"a1","status":null}',
            b'{"seq":2,"event":"start","pid":"1","time_ns":1,"observed":true}',
            b'{"seq":2,"event":"run","run":7}',
            b'{"seq":2,"event":"run","run":"a1","tags":{}}',
            b'{"seq":2,"event":"artifact","run":"a1","path":"../../x","md5":"00000000000000000000000000000000"}',
            b'{"seq":2,"event":"artifact","run":"a1","path":"/etc/x","md5":"00000000000000000000000000000000"}',
            b'{"seq":2,"event":"artifact","run":"a1","path":"x","md5":"zz"}',
            b'{"seq":2,"event":"open","path":"","mode":"r"}',
            b'{"seq":2,"event":"read","what":"x","detail":{}}',
            b'{"seq":2,"event":"host","host":null}',
        ],
    )
    def test_what_the_capture_never_writes_is_a_problem_and_leaves_the_rest(self, tmp_path: Path, line: bytes) -> None:
        write_events(tmp_path, START, RUN)
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(line + b"\n")
            file.write(encode({"seq": 3, "pid": 1, **metrics(["after", 2.0, 0, 0])}).encode() + b"\n")
        report = read(tmp_path)
        assert [point.name for point in report.runs[0].metrics] == ["after"]
        assert report.problems

    def test_half_a_surrogate_pair_becomes_text(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, {**RUN, "name": "\ud800", "tags": {}})
        assert read(tmp_path).runs[0].name == "?"


class TestNumbers:
    def test_a_missing_number_is_a_problem(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN, {"seq": 5, **metrics(["m", 1.0, 0, 0])})
        (tmp_path / "events.counter").unlink()
        assert any("gap" in problem for problem in read(tmp_path).problems)

    def test_a_number_that_comes_twice_is_a_problem_and_order_is_kept(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN, {"seq": 1, **metrics(["a", 1.0, 0, 0])}, metrics(["b", 1.0, 0, 0]))
        report = read(tmp_path)
        assert [point.sequence for point in report.runs[0].metrics] == [2, 3]
        assert any("twice" in problem for problem in report.problems)

    def test_events_lost_at_the_end_are_a_problem(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN)
        (tmp_path / "events.counter").write_bytes((RUN_SIZE + 3).to_bytes(8, "big") + bytes(8))
        assert read(tmp_path).problems == ("events of the capture are missing at its end",)

    def test_a_batch_takes_a_number_for_each_value(self, tmp_path: Path) -> None:
        write_events(
            tmp_path, START, RUN, metrics(*(["m", 1.0, i, 0] for i in range(5))), {"event": "host", "host": "h"}
        )
        report = read(tmp_path)
        assert report.problems == ()
        assert report.hosts_tried == ("h",)


def logged_model(model: str, name: str) -> dict[str, Any]:
    return {"event": "logged model", "run": "a1", "model": model, "name": name}


def version_made(name: str, version: str, **fields: Any) -> dict[str, Any]:
    made = {"run": None, "model": None, "path": None, **fields}
    return {"event": "registry", "what": "create_model_version", "name": name, "version": version, **made}


class TestModels:
    """Which bytes a logged model and a registered version have, in the ways of MLflow 3 and of the versions before."""

    def test_before_mlflow_3_a_model_is_a_folder_of_its_run(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            RUN,
            artifact("net/MLmodel", "0"),
            artifact("net/model.pkl", "1"),
            artifact("network/plot.png", "2"),
            version_made("fraud", "1", run="a1", path="net"),
        )
        report = read(tmp_path)
        (model,) = report.models
        assert (model.model_id, model.run_id, model.name) == (None, "a1", "net")
        assert md5s(model.files) == {
            "MLmodel": "md5:" + "0" * 32,
            "model.pkl": "md5:" + "1" * 32,
        }
        (version,) = report.versions
        assert (version.name, version.version, version.run_id, version.path) == ("fraud", "1", "a1", "net")
        assert version.files == model.files

    def test_in_mlflow_3_a_model_has_an_id_and_its_version_points_at_that(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            RUN,
            logged_model("m-1", "net"),
            artifact("MLmodel", "0", run=None, model="m-1"),
            version_made("fraud", "1", model="m-1"),
            {
                "event": "registry",
                "what": "set_registered_model_alias",
                "name": "fraud",
                "alias": "best",
                "version": "1",
            },
            {
                "event": "registry",
                "what": "transition_model_version_stage",
                "name": "fraud",
                "version": "1",
                "stage": "Staging",
            },
        )
        report = read(tmp_path)
        (model,), (version,), (run,) = report.models, report.versions, report.runs
        assert (model.model_id, model.run_id, list(model.files)) == ("m-1", "a1", ["MLmodel"])
        assert (version.model_id, version.run_id, version.files) == ("m-1", "a1", model.files)
        assert (version.stage, version.aliases) == ("Staging", ("best",))
        assert list(run.artifacts) == ["net/MLmodel"]

    def test_two_models_of_one_name_are_never_mixed(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            RUN,
            logged_model("m-1", "net"),
            artifact("MLmodel", "0", run=None, model="m-1"),
            artifact("extra.bin", "1", run=None, model="m-1"),
            logged_model("m-2", "net"),
            artifact("MLmodel", "2", run=None, model="m-2"),
            version_made("fraud", "1", model="m-1"),
        )
        report = read(tmp_path)
        (run,), (version,) = report.runs, report.versions
        assert md5s(run.artifacts) == {"net/MLmodel": "md5:" + "2" * 32}
        assert sorted(version.files) == ["MLmodel", "extra.bin"]

    def test_an_alias_that_moves_is_where_it_was_put_last(self, tmp_path: Path) -> None:
        write_events(
            tmp_path,
            START,
            RUN,
            version_made("fraud", "1"),
            version_made("fraud", "2"),
            {
                "event": "registry",
                "what": "set_registered_model_alias",
                "name": "fraud",
                "alias": "best",
                "version": "1",
            },
            {
                "event": "registry",
                "what": "set_registered_model_alias",
                "name": "fraud",
                "alias": "best",
                "version": "2",
            },
        )
        assert [version.aliases for version in read(tmp_path).versions] == [(), ("best",)]

    def test_a_version_of_what_the_rerun_did_not_log_has_no_files(self, tmp_path: Path) -> None:
        write_events(tmp_path, START, RUN, artifact("net/MLmodel", "0"), version_made("fraud", "1", model="m-9"))
        (version,) = read(tmp_path).versions
        assert version.files == {}


def test_a_file_that_was_not_there_is_absent_unless_the_training_made_it(tmp_path: Path) -> None:
    absent = [opened(path, "a") for path in ("data/x.csv", "cache.pkl", "late.csv")]
    write_events(tmp_path, START, *absent, opened("cache.pkl", "w"), opened("late.csv"))
    report = read(tmp_path)
    assert (report.files_absent, report.problems) == (("data/x.csv",), ())


def loaded(*libraries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"libraries": list(libraries), "variables": {}, "gpus": [], **fields}


def leave(folder: Path, *documents: Any) -> None:
    """A capture, with what its processes had loaded as they ended."""
    write_events(folder, START)
    (folder / "loaded.jsonl").write_text("".join(f"{encode(document)}\n" for document in documents))


OPENBLAS = {"name": "numpy.libs/libopenblas.so", "threads": 2, "kernel": "Haswell", "version": "OpenBLAS 0.3.23"}


def test_what_each_process_had_loaded_is_listed_once(tmp_path: Path) -> None:
    openmp = {"name": "lib/libgomp.so.1", "threads": 4}
    variables = {"OMP_NUM_THREADS": "2"}
    leave(
        tmp_path,
        loaded(OPENBLAS, openmp, variables=variables),
        loaded(OPENBLAS, {**openmp, "threads": 1}, gpus=["NVIDIA A100", "NVIDIA A100"]),
    )
    report = read(tmp_path)
    assert [(library.name, library.threads, library.kernel) for library in report.libraries] == [
        ("lib/libgomp.so.1", 1, None),
        ("lib/libgomp.so.1", 4, None),
        ("numpy.libs/libopenblas.so", 2, "Haswell"),
    ]
    assert (report.variables, report.gpus, report.problems, report.unobserved) == (variables, ("NVIDIA A100",), (), ())


@pytest.mark.parametrize(
    "document",
    [
        loaded(libraries="x"),
        loaded(gpus=None),
        loaded("x"),  # type: ignore[arg-type]  # hostile
        loaded({"name": "x", "threads": "2"}),
        loaded({"name": 3}),
        loaded(variables=[]),
        loaded(gpus=[3]),
        [],
        "[" * 100_000,
    ],
)
def test_libraries_of_another_shape_are_not_observed_and_no_problem(tmp_path: Path, document: Any) -> None:
    leave(tmp_path, document, loaded(OPENBLAS))
    report = read(tmp_path)
    assert report.problems == (), "nothing that was logged is in doubt"
    assert report.unobserved == ("which libraries the training had loaded was not observed whole",)
    assert [library.threads for library in report.libraries][-1:] == [2]


def test_a_process_that_was_killed_at_its_end_takes_half_a_line_with_it_and_nothing_else(tmp_path: Path) -> None:
    leave(tmp_path, loaded(OPENBLAS))
    with (tmp_path / "loaded.jsonl").open("a") as file:
        file.write('{"libraries": [{"na')
    report = read(tmp_path)
    assert (len(report.libraries), report.problems, report.unobserved) == (1, (), ())


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
def test_a_list_of_libraries_that_is_no_regular_file_is_not_read(tmp_path: Path, kind: str) -> None:
    leave(tmp_path)
    path, other = tmp_path / "loaded.jsonl", tmp_path / "other"
    path.rename(other)
    other.write_text(encode(loaded(OPENBLAS)) + "\n")
    make = {
        "link": lambda: path.symlink_to(other),
        "second name": lambda: os.link(other, path),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    report = read(tmp_path)
    assert (report.libraries, report.problems) == ((), ())
    assert "no regular file" in report.unobserved[0]


def test_what_a_training_forges_of_libraries_and_variables_is_limited(tmp_path: Path) -> None:
    many = [{"name": f"lib{number}", "threads": None} for number in range(50)]
    names = {"X" * 500: "1", "a b": "2", "LD_PRELOAD": "3"}
    leave(tmp_path, loaded(*many, variables=names))
    report = read(tmp_path, CaptureLimits(libraries=10))
    assert (len(report.libraries), report.variables) == (10, {"LD_PRELOAD": "3"})
    assert read(tmp_path, CaptureLimits(loaded_bytes=100)).libraries == ()
