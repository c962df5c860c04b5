"""W&B's files, as five versions of it wrote them: read whole, cut at every byte, changed at every byte."""

from __future__ import annotations

import io
import math
import random
import struct
import zlib
from pathlib import Path

import pytest

from runner.inside.wandb import values
from runner.inside.wandb.log import BLOCK_BYTES, HEADER, read_log
from runner.inside.wandb.records import RunFile, read_run_file
from runner.inside.wandb.wire import Malformed, Message

DATA = Path(__file__).parents[2] / "data" / "wandb"
VERSIONS = ("0.12.21", "0.15.12", "0.17.9", "0.19.11", "0.31.0")


def read(data: bytes) -> RunFile:
    return read_run_file(io.BytesIO(data))


def points_of(run: RunFile) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for name, value, step, _ in values.history_points(run.history, run.start_ms)[0]:
        found.setdefault(name, []).append((step, value))
    return found


def facts(run: RunFile) -> set[tuple[str, ...]]:
    """All that a run says, each fact by itself: what a cut or changed file may only have fewer of."""
    found = {("param", *pair) for pair in values.params(run.config).items()}
    found |= {("point", name, repr(value), str(step)) for name, all_ in points_of(run).items() for step, value in all_}
    found |= {("tag", tag) for tag in run.tags} | {("project", run.project), ("name", run.name)}
    return found | {("commit", run.git_commit), ("exit", str(run.exit_code))}


STEP = 7  # bytes; the full tier looks at each


@pytest.fixture(params=VERSIONS)
def written(request: pytest.FixtureRequest) -> bytes:
    """A file of each version."""
    return (DATA / f"{request.param}.wandb").read_bytes()


class TestWhole:
    def test_every_version_says_the_same_of_the_same_run(self, written: bytes) -> None:
        run = read(written)
        assert (run.project, run.name, run.group, run.job_type, run.notes) == (
            "proj",
            "exp one",
            "g",
            "jt",
            "some notes",
        )
        assert (run.tags, run.exit_code, run.complete, run.problems) == (("a", "b"), 0, True, [])
        assert run.git_remote == "https://github.com/o/p.git"
        assert len(run.git_commit) == 40
        assert run.step_metrics["val/*"] == "epoch"
        assert values.params(run.config) == {
            "lr": "0.1",
            "deep.x": "1",
            "deep.y": "[1, 2]",
            "flag": "True",
            "none": "None",
            "big": "1152921504606846976",
            "whole": "1.0",
            "late": "3",
            "text": "as it is",
        }

    def test_every_number_is_the_one_that_was_logged_to_its_last_bit(self, written: bytes) -> None:
        found = points_of(read(written))
        assert found["loss"] == [(i, 1 / (i + 1)) for i in range(5)]
        assert found["acc"] == list(enumerate([0.1, 0.9, 0.3, 0.2, 0.5]))
        assert found["nest.a"] == [(i, i * 0.1) for i in range(5)]
        assert found["nest.b.c"] == [(i, float(i)) for i in range(5)]
        assert found["third"] == [(6, 0.1 + 0.2)]
        assert found["tiny"] == [(6, 5e-324)]
        assert found["e"] == [(6, 1e22)]
        assert found["big"] == [(6, float(2**60))]
        assert found["inf"] == [(6, math.inf)]
        assert found["ninf"] == [(6, -math.inf)]
        assert math.isnan(found["nan"][0][1])
        assert math.copysign(1.0, found["neg0"][0][1]) == -1.0
        assert (found["part"], found["part2"]) == ([(7, 1.0)], [(7, 2.0)])
        assert found["at"] == [(20, 7.0)]
        assert [value for _, value in found["a.b"]] == [1.5]

    def test_the_summary_is_metrics_of_its_own(self, written: bytes) -> None:
        found = {name: value for name, value, _, _ in values.summary_points(read(written).summary, 0)[0]}
        assert found["acc.max (summary)"] == 0.9
        assert found["loss (summary)"] == 0.2
        assert found["best (summary)"] == 0.75
        assert found["nested.k (summary)"] == 1.25
        assert not any(name.startswith("_") for name in found)

    def test_what_is_no_number_is_named(self, written: bytes) -> None:
        run = read(written)
        assert values.history_points(run.history, run.start_ms)[1] == {"table", "text"}


class TestCut:
    def test_a_file_cut_at_any_byte_gives_what_is_whole_and_is_never_complete(self, written: bytes) -> None:
        whole = facts(read(written))
        places = range(0, len(written), STEP)
        for place in places:
            run = read(written[:place])
            assert not run.complete, place
            assert run.problems, place
            assert facts(run) - whole <= {("exit", "None"), ("project", ""), ("name", ""), ("commit", "")}, place
            assert run.exit_code in (None, 0)

    def test_one_without_its_exit_is_of_a_run_that_may_go_on(self, written: bytes) -> None:
        run = read(written[:-400])
        assert run.exit_code is None or not run.complete


class TestChanged:
    def test_a_file_changed_at_any_byte_never_gives_another_value(self, written: bytes) -> None:
        whole = facts(read(written))
        chance = random.Random(7)
        for place in range(0, len(written), STEP):
            changed = bytearray(written)
            changed[place] ^= chance.randrange(1, 256)
            run = read(bytes(changed))
            assert not run.complete, place
            assert facts(run) - whole <= {("exit", "None"), ("project", ""), ("name", ""), ("commit", "")}, place

    def test_zeros_are_no_records(self) -> None:
        run = read(HEADER + b"\0" * 64)
        assert run.unreadable
        assert run.problems

    @pytest.mark.parametrize("data", [b"", b":W", b":W&B\xe1\xbe\x01", b"PK\3\4" * 10, b"\0" * 100])
    def test_what_is_no_file_of_wandb_gives_nothing(self, data: bytes) -> None:
        run = read(data)
        assert (run.history, run.config, run.exit_code, run.complete) == ([], {}, None, False)


def chunk(data: bytes, kind: int = 1, length: int | None = None) -> bytes:
    checksum = zlib.crc32(bytes([kind]) + data)
    return struct.pack("<IHB", checksum, len(data) if length is None else length, kind) + data


def framed(*records: bytes) -> bytes:
    """As W&B's own writer frames them."""
    out = bytearray(HEADER)
    for record in records:
        left, first = record, True
        while True:
            room = BLOCK_BYTES - len(out) % BLOCK_BYTES
            if room < 7:
                out += b"\0" * room
                room = BLOCK_BYTES
            part, left = left[: room - 7], left[room - 7 :]
            out += chunk(part, (1 if first else 4) if not left else (2 if first else 3))
            first = False
            if not left:
                break
    return bytes(out)


@pytest.mark.full
@pytest.mark.parametrize("version", VERSIONS)
def test_no_byte_of_a_file_can_be_lost_or_changed_unnoticed(version: str) -> None:
    written = (DATA / f"{version}.wandb").read_bytes()
    whole = facts(read(written))
    allowed = {("exit", "None"), ("project", ""), ("name", ""), ("commit", "")}
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 1 << place % 8
        for data in (written[:place], bytes(changed)):
            run = read(data)
            assert not run.complete, place
            assert facts(run) - whole <= allowed, place


class TestFraming:
    @pytest.mark.parametrize("size", [0, 1, 32746, 32747, 32748, 32753, 32754, 32755, 32760, 65000, 200_000])
    def test_records_of_any_size_come_back_in_order(self, size: int) -> None:
        records = [b"a" * size, b"b" * 10, b"c" * size, b""]
        log = read_log(io.BytesIO(framed(*records)), 1 << 30)
        assert (log.records, log.cut, log.problem) == (records, False, None)

    def test_a_length_that_leaves_its_block_is_refused(self) -> None:
        log = read_log(io.BytesIO(HEADER + chunk(b"x" * 10, length=65535)), 1 << 30)
        assert log.problem is not None

    def test_a_file_over_the_limit_is_read_up_to_it(self) -> None:
        log = read_log(io.BytesIO(framed(*[b"x" * 1000] * 100)), 50_000)
        assert log.problem is not None
        assert 40 < len(log.records) < 50

    def test_a_record_without_its_beginning_or_end_is_refused(self) -> None:
        for kinds in ((3,), (4,), (2, 1), (2, 2)):
            log = read_log(io.BytesIO(HEADER + b"".join(chunk(b"x", kind) for kind in kinds)), 1 << 30)
            assert log.problem is not None, kinds
            assert log.records == []


class TestWire:
    @pytest.mark.parametrize(
        "data",
        [
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x0a\x05abc",
            b"\x80" * 11,
            b"\x08",
            b"\x00\x01",
            b"\x0b",
            b"\x09\0\0",
            b"\xff" * 20,
        ],
    )
    def test_what_is_no_message_is_refused(self, data: bytes) -> None:
        with pytest.raises(Malformed):
            Message(data)

    def test_any_bytes_are_a_message_or_refused(self) -> None:
        chance = random.Random(3)
        for _ in range(3000):
            data = chance.randbytes(chance.randrange(40))
            try:
                message = Message(data)
                message.text(1), message.integer(2), message.message(3), message.zigzag(5), message.double(6)
            except Malformed:
                continue

    def test_a_record_that_is_nested_without_end_is_refused(self) -> None:
        deep = b'{"a":' * 100_000
        item = b"\x0a\x01k" + b"\x82\x01" + _varint(len(deep)) + deep
        update = b"\x0a" + _varint(len(item)) + item
        run = read(framed(b"\x2a" + _varint(len(update)) + update))
        assert run.problems
        assert run.config == {}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
