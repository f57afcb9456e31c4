"""Messages of results, as cbor2 and a message that is pinned have them."""

from __future__ import annotations

import math

import cbor2
import numpy as np
import pytest

from crystint.errors import StreamError
from crystint.model.peaks import PEAK_DTYPE
from crystint.online.result import ONLINE_COLUMNS, RESULT_DTYPE
from crystint.online.results_message import (
    Notice,
    ResultsBatch,
    end_message,
    event_message,
    read_results_message,
    results_message,
    start_message,
)
from crystint.online.sink import Event
from crystint.stream.messages import SeriesKey
from tests.online.made_up import made_up_run, result

TYPES = {64: "u1", 69: "<u2", 70: "<u4", 71: "<u8", 72: "i1", 77: "<i2", 78: "<i4", 79: "<i8", 85: "<f4", 86: "<f8"}

PINNED = bytes.fromhex(
    "d9d9f7af647479706567726573756c74736776657273696f6e01697365726965735f696407707365726965735f756e697175655f696478"
    "1a3031484256334a50463954345a445041445836454d4b36584d5a6873657175656e63650c68696d6167655f6964d84758180500000000"
    "0000000600000000000000070000000000000067745f7374617274d84f581880af1fcb3d719c1780b85ccb3d719c1780c199cb3d719c17"
    "676e5f73706f7473d8464c03000000000000000100000063686974d840430100006a6261636b67726f756e64d8554c0000003fcdcccc3e"
    "0000003f65645f6d696ed8554c3333f33f0000c07f0000c07f6a73706f745f636f756e74d8464c0300000000000000010000006573706f"
    "7473a664736c6f77d85550000060409a99014166661e41000080406466617374d8555000009040cdcc0c40000070410000e84069696e74"
    "656e73697479d85550003c1c460000f0420000a04200005c42657369676d61d855500000c842000040410000204100001041646e706978"
    "d84548040005000300030065666c616773d84548000000000800000064726f6973a1646265616da26373756dd84f58187b000000000000"
    "0082000000000000007700000000000000666e706978656cd8464c1900000019000000190000007073657474696e67735f76657273696f"
    "6ed8464c010000000100000001000000"
)
"""A message of three images as the specification pins it: names, order and types of what it has."""


def array(values):
    """A typed array, or one of several axes, as cbor2 leaves it."""
    if values.tag == 40:
        shape, flat = values.value
        return array(flat).reshape(shape)
    return np.frombuffer(values.value, TYPES[values.tag])


def same(pinned, made, path=""):
    for key, value in pinned.items():
        if hasattr(value, "items"):
            same(value, made[key], f"{path}{key}.")
        elif isinstance(value, cbor2.CBORTag):
            assert (value.tag, value.value) == (made[key].tag, made[key].value), path + key
        else:
            assert value == made[key], path + key


def test_the_pinned_message_is_read_and_made_again_byte_for_byte():
    batch = read_results_message(PINNED)
    assert isinstance(batch, ResultsBatch)
    assert batch.series == SeriesKey(7, "01HBV3JPF9T4ZDPADX6EMK6XMZ")
    assert batch.sequence == 12
    assert batch.rows["frame"].tolist() == [5, 6, 7]
    assert batch.rows["n_spots"].tolist() == [3, 0, 1]
    assert batch.rows["roi_version"].tolist() == [-1, -1, -1]  # which it does not have
    assert batch.peaks["frame"].tolist() == [5, 5, 5, 7]
    results = list(batch.results())
    assert [len(each.peaks) for each in results] == [3, 0, 1]
    assert results[1].rois["sum"].tolist() == [130]
    made = cbor2.loads(results_message(batch.series, results, 12))
    same(cbor2.loads(PINNED), made)
    keys = [key for key in made if key in cbor2.loads(PINNED)]
    assert keys == list(cbor2.loads(PINNED))


def test_another_program_finds_every_column_and_every_peak():
    run = made_up_run()
    results = [result(run, 4, 2, frame_sum=2**40 + 1, shells=range(8), d_min=1.5), result(run, 5)]
    message = results_message(run.key, results, 3)
    assert message[:3] == b"\xd9\xd9\xf7"
    made = cbor2.loads(message)
    assert next(iter(made)) == "type"
    assert (made["type"], made["version"], made["sequence"]) == ("results", 1, 3)
    assert (made["series_id"], made["series_unique_id"]) == (7, "abc")
    assert {column.name for column in ONLINE_COLUMNS} - {"frame"} <= set(made)
    assert array(made["image_id"]).tolist() == [4, 5]
    assert array(made["frame_sum"])[0] == 2**40 + 1
    assert array(made["shells"]).tolist() == [list(range(8)), [2**32 - 1] * 8]
    assert array(made["n_ice"]).tolist() == [2**32 - 1] * 2
    assert array(made["hit"]).tolist() == [1, 0]
    assert array(made["spot_count"]).tolist() == [2, 0]
    spots = {name: array(values) for name, values in made["spots"].items()}
    assert {name: values.dtype.str for name, values in spots.items()} == {
        "slow": "<f4", "fast": "<f4", "intensity": "<f4", "sigma": "<f4", "snr": "<f4", "npix": "<u2",
        "maximum": "<i8", "d": "<f4", "flags": "<u2",
    }  # fmt: skip
    assert spots["fast"].tolist() == [11.5, 11.5]
    assert spots["maximum"].tolist() == [2**40] * 2
    assert array(made["rois"]["beam"]["sum"]).tolist() == [20, 25]


def test_what_is_not_known_stays_so():
    run = made_up_run()
    batch = read_results_message(results_message(run.key, [result(run, 0)], 0))
    row = batch.rows[0]
    assert row["n_ice"] == -1
    assert row["saturated"] == -1
    assert math.isnan(row["background"])
    assert row["shells"].tolist() == [-1] * 8


def test_exact_messages_lose_nothing():
    run = made_up_run()
    first = result(run, 1, 3, score=1 / 3, background=0.1)
    first.peaks["slow"] = 1 / 3
    first.peaks["slow0"] = -5
    batch = read_results_message(results_message(run.key, [first, result(run, 2, 1)], 0, exact=True))
    back, _ = batch.results()
    for name in RESULT_DTYPE.names:
        np.testing.assert_array_equal(back.row[name], first.row[name], name)
    for name in PEAK_DTYPE.names:
        np.testing.assert_array_equal(back.peaks[name], first.peaks[name], name)
    assert back.rois.tobytes() == first.rois.tobytes()


def test_regions_that_an_image_does_not_have_are_empty():
    run = made_up_run()
    without = result(run, 1)
    object.__setattr__(without, "roi_names", ())
    batch = read_results_message(results_message(run.key, [without, result(run, 2)], 0))
    assert batch.rois["beam"]["npixel"].tolist() == [0, 12]
    assert math.isnan(batch.rois["beam"]["mean"][0])


def test_why_an_image_failed_is_told():
    run = made_up_run()
    failed = result(run, 3, status=4)
    object.__setattr__(failed, "error", "the frame is damaged")
    made = read_results_message(results_message(run.key, [result(run, 2), failed], 0))
    assert [each.error for each in made.results()] == ["", "the frame is damaged"]


def test_start_end_and_events_are_readable_by_others():
    run = made_up_run()
    run.user = {"grid": {"n_fast": 3}, "tokens": ["secret"]}
    start = cbor2.loads(start_message(run, 0))
    assert start["geometry"]["beam_center"] == (20.5, 15.25) or start["geometry"]["beam_center"] == [20.5, 15.25]
    assert dict(start["user"]) == {"grid": {"n_fast": 3}}
    assert start["settings"]["1"]["snr"] == 5.0
    about = {column["name"]: column for column in start["columns"]}
    assert about["d_min"]["unit"] == "angstrom"
    assert about["image_id"]["type"] == "u8"
    assert len(about["shells"]["parts"]) == 8
    end = cbor2.loads(end_message(run, 1))
    assert end["books"]["expected"] == 3
    event = read_results_message(event_message(Event("alarm", {"text": "x"}, 5, 9), 2))
    assert isinstance(event, Notice)
    assert (event.type, event.series, event.sequence) == ("event", None, 2)
    assert event.data == {"name": "alarm", "data": {"text": "x"}, "time": 5, "number": 9}


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\xd9\xd9\xf7", b"\x01", PINNED[:-3], cbor2.dumps({"type": "results", "version": 2}),
        cbor2.dumps({"type": "image", "version": 1}), cbor2.dumps({"type": "results", "version": 1, "series_id": 1}),
        cbor2.dumps({"type": "results", "version": 1, "series_id": 1, "image_id": 5}),
        cbor2.dumps({"type": "results", "version": 1, "series_id": 1, "image_id": cbor2.CBORTag(71, b"123")}),
        PINNED.replace(bytes.fromhex("d8464c0300000000000000"), bytes.fromhex("d8464c0900000000000000")),
    ],
)  # fmt: skip
def test_damaged_messages_are_refused(message):
    with pytest.raises(StreamError):
        read_results_message(message)
