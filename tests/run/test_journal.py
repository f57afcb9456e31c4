"""Records and the journal that keeps them: what was written whole comes back, whatever happens to its end."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord
from crystint.io.outputs import _temporary
from crystint.run.journal import Journal, check_free, journal_of, records_in

HEADER = {"command": ["crystint"], "same": {"snr": 3.0, "rings": 60}}
RECORDS = [bytes([i]) * (17 * i + 1) for i in range(5)]


def filled(output: Path, records: list[bytes] = RECORDS) -> Path:
    """A journal with records in it, closed as by a process that was killed."""
    journal = Journal.open(output, HEADER, resume=False)
    for record in records:
        journal.append(record)
    journal.close(keep=True)
    return journal_of(output)


def test_a_record_comes_back_exactly():
    arrays = {
        "index": np.arange(7, dtype=np.uint32),
        "value": np.array([0, 1, 65535], np.uint16),
        "mean": np.array([[0.1, np.nan], [np.inf, -0.0]], np.float32),
        "none": np.zeros((0, 3), np.int8),
    }
    facts = {"snr": 0.1 + 0.2, "model": "hybrid", "limit": None, "big": 2**53 + 1}
    again = FrameRecord.unpack(FrameRecord(12, None, facts, arrays).pack())
    assert (again.number, again.missing, again.facts) == (12, None, facts)
    assert list(again.arrays) == list(arrays)
    for name, values in arrays.items():
        assert again.arrays[name].dtype == values.dtype
        assert again.arrays[name].shape == values.shape
        assert again.arrays[name].tobytes() == values.tobytes()
    assert FrameRecord.unpack(FrameRecord(3, "it is “damaged”").pack()).missing == "it is “damaged”"


def test_the_layout_is_the_one_described(tmp_path):
    """Read with nothing but struct and zlib."""
    content = filled(tmp_path / "out.h5").read_bytes()
    line, rest = content.split(b"\n", 1)
    assert line == b"crystint journal 1"
    records = []
    while rest:
        length, checksum = struct.unpack("<II", rest[:8])
        record, rest = rest[8 : 8 + length], rest[8 + length :]
        assert zlib.crc32(record) == checksum
        records.append(record)
    assert json.loads(records[0]) == HEADER
    assert records[1:] == RECORDS


def test_records_are_replayed_and_more_may_follow(tmp_path):
    output = tmp_path / "out.h5"
    filled(output)
    assert records_in(output) == 5
    journal = Journal.open(output, {**HEADER, "command": ["another"]}, resume=True)
    assert journal.resumed
    assert journal.header == HEADER
    assert list(journal.replay()) == RECORDS
    journal.append(b"more")
    journal.close(keep=True)
    journal = Journal.open(output, HEADER, resume=True)
    assert list(journal.replay()) == [*RECORDS, b"more"]
    journal.close(keep=False)
    assert os.listdir(tmp_path) == []
    assert records_in(output) == 0


@pytest.mark.parametrize("lost", range(1, 8 + len(RECORDS[-1])))
def test_a_torn_last_record_is_cut_off(tmp_path, lost):
    output = tmp_path / "out.h5"
    path = filled(output)
    path.write_bytes(path.read_bytes()[:-lost])
    assert records_in(output) == 4
    journal = Journal.open(output, HEADER, resume=True)
    assert list(journal.replay()) == RECORDS[:-1]
    journal.append(b"new")
    journal.close(keep=True)
    journal = Journal.open(output, HEADER, resume=True)
    assert list(journal.replay()) == [*RECORDS[:-1], b"new"]
    journal.close(keep=True)


@pytest.mark.parametrize("number", range(5))
def test_a_changed_byte_ends_the_journal_there(tmp_path, number):
    output = tmp_path / "out.h5"
    path = filled(output)
    content = bytearray(path.read_bytes())
    at = len(content) - sum(8 + len(record) for record in RECORDS[number:]) + 8
    content[at] ^= 1
    path.write_bytes(content)
    journal = Journal.open(output, HEADER, resume=True)
    assert list(journal.replay()) == RECORDS[:number]
    journal.close(keep=True)
    assert records_in(output) == number


@pytest.mark.parametrize("length", [0, 5, 19, 20, 30])
def test_a_journal_that_was_torn_in_its_header_is_begun_anew(tmp_path, length):
    output = tmp_path / "out.h5"
    path = filled(output)
    path.write_bytes(path.read_bytes()[:length])
    assert records_in(output) == 0
    journal = Journal.open(output, HEADER, resume=True)
    assert not journal.resumed
    assert list(journal.replay()) == []
    journal.append(b"x")
    journal.close(keep=True)
    assert records_in(output) == 1


def test_another_run_is_refused_with_what_differs(tmp_path):
    path = filled(tmp_path / "out.h5")
    before = path.read_bytes()
    other = {"command": [], "same": {"snr": 4.0, "rings": 60, "mask": "m.npy"}}
    with pytest.raises(
        FileError, match=r"out\.h5\.partial.*snr was 3\.0, is 4\.0; mask was None, is m\.npy.*--overwrite"
    ):
        Journal.open(tmp_path / "out.h5", other, resume=True)
    assert path.read_bytes() == before
    journal = Journal.open(tmp_path / "out.h5", other, resume=False)
    assert not journal.resumed
    journal.close(keep=True)
    assert records_in(tmp_path / "out.h5") == 0


def test_two_runs_cannot_have_the_same_journal(tmp_path):
    output = tmp_path / "out.h5"
    check_free(output)
    journal = Journal.open(output, HEADER, resume=False)
    for resume in (False, True):
        with pytest.raises(FileError, match=r"out\.h5 is being written by another run"):
            Journal.open(output, HEADER, resume=resume)
    with pytest.raises(FileError, match="another run"):
        check_free(output)
    journal.append(b"mine")
    journal.close(keep=True)
    assert records_in(output) == 1
    check_free(output)


def test_what_is_no_journal_is_left_alone(tmp_path):
    journal_of(tmp_path / "out.h5").write_text("my notes about this output, part one")
    for resume in (False, True):
        with pytest.raises(FileError, match="no journal"):
            Journal.open(tmp_path / "out.h5", HEADER, resume=resume)
    assert journal_of(tmp_path / "out.h5").read_text().startswith("my notes")


def test_leftovers_of_a_killed_run_go_and_nothing_else_does(tmp_path):
    mine = [_temporary(tmp_path / "out.h5", drawn) for drawn in ("0123abcd", "ffffffff")]
    (digits,) = re.findall("[0-9a-f]{16}", mine[0])
    others = [f".out.{digits}.cxi", f".other.{digits}.h5", f".out.{digits[:-1]}z.h5", f"out.{digits}.h5", ".out.h5"]
    others += [".out.0123abcd.h5", ".out.0123abcd01234567.h5", _temporary(tmp_path / "out.nxs", "0123abcd")]
    others += [_temporary(tmp_path / f"out.{digits}.h5", "0123abcd")]
    for name in mine + others:
        (tmp_path / name).write_text("x")
    Journal.open(tmp_path / "out.h5", HEADER, resume=False).close(keep=False)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_full_disk_keeps_what_was_there(tmp_path):
    output = tmp_path / "out.h5"
    journal = Journal.open(output, HEADER, resume=False)
    journal.append(b"a" * 100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        with pytest.raises(FileError, match=r"out\.h5 cannot be written: the file is too large"):
            journal.append(b"b" * 10000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    journal.close(keep=True)
    assert journal_of(output).stat().st_size < 1000
    journal = Journal.open(output, HEADER, resume=True)
    assert list(journal.replay()) == [b"a" * 100]
    journal.close(keep=False)
