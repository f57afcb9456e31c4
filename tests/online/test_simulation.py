"""The simulated detector, as programs see it that know nothing of crystint."""

from __future__ import annotations

import json
import time
from threading import Event

import h5py
import hdf5plugin
import numpy as np
import pytest

import crystint
from crystint.errors import SettingError, StreamError
from crystint.online import Simulator
from crystint.online.exposures import detector_shape, exposures_of, synthetic
from crystint.online.outlet import Outlet, Pace
from crystint.online.truth import SeriesTruth, ranges
from crystint.online.wire import Wire
from crystint.simulate import simulate
from crystint.stream import SeriesKey, Start, read_message
from tests.online.pulling import Puller, read, unpacked

FREE = "tcp://127.0.0.1:*"


def _frames(n=4, dtype=np.uint16, shape=(20, 33)):
    return np.random.default_rng(1).poisson(3.0, (n, *shape)).astype(dtype)


def _sent(frames, ends=1, quiet=0.05, **settings):
    """Messages of a simulation as they came, and its truth."""
    with Simulator(frames, stream=FREE, **{"fps": 2000, **settings}) as detector, Puller(*detector.addresses) as puller:
        messages = puller.all(ends, quiet)
        truth = detector.wait(30)
    return messages, truth


def test_another_program_reads_what_is_sent():
    frames = _frames()
    messages, truth = _sent(frames, images=10)
    start, *images, end = map(read, messages)
    assert (start["type"], end["type"]) == ("start", "end")
    assert (start["image_size_y"], start["image_size_x"], start["number_of_images"]) == (20, 33, 10)
    assert start["channels"] == ("threshold_1",)
    assert start["image_dtype"] == "uint16"
    assert "pixel_mask" not in start
    assert [image["image_id"] for image in images] == list(range(10))
    for number, image in enumerate(images):
        assert list(image)[-1] == "data"
        np.testing.assert_array_equal(image["data"]["threshold_1"], frames[number % 4])
        assert {image["series_id"], start["series_id"], end["series_id"]} == {1}
        assert image["series_unique_id"] == start["series_unique_id"] == end["series_unique_id"]
        begin, clock = image["start_time"]
        assert begin / clock == pytest.approx(number / 2000, abs=3e-8)
    books = truth.series[0].books
    assert (books.expected, books.received, books.missing) == (10, 10, 0)
    json.dumps(truth.to_dict(), allow_nan=False)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32"])
@pytest.mark.parametrize("compression", ["bslz4", "lz4", "none"])
def test_types_and_compressions(dtype, compression):
    frames = _frames(2, dtype)
    messages, _ = _sent(frames, compression=compression)
    for frame, parts in zip(frames, messages[1:-1], strict=True):
        image = read(parts)["data"]["threshold_1"]
        assert image.dtype == dtype
        np.testing.assert_array_equal(image, frame)


def test_channels_and_the_mask_of_all():
    data = simulate((40, 50), frames=2, background=9.0, modules=(15, 20), dtype="uint16", seed=3)
    names = ("threshold_1", "threshold_2", "difference")
    messages, _ = _sent(data, channels=names, header_detail="all")
    start, image = read(messages[0]), read(messages[1])
    for name in names:
        np.testing.assert_array_equal(start["pixel_mask"][name], data.mask)
    assert tuple(image["data"]) == names
    first, second = image["data"]["threshold_1"], image["data"]["threshold_2"]
    dead = data[0] == 65535
    assert dead.sum() >= 5
    np.testing.assert_array_equal(first, data[0])
    np.testing.assert_array_equal(second, np.where(dead, 65535, data[0] // 2))
    distance = data.geometry.distance
    assert start["detector_translation"][2] == pytest.approx(-distance)
    assert start["beam_center_y"] == pytest.approx(data.geometry.beam_center[0])
    assert start["incident_wavelength"] == 1.0


def test_a_start_may_tell_next_to_nothing():
    data = simulate((20, 20), frames=1, dtype="uint16")
    messages, _ = _sent(data, header_detail="none")
    assert set(read(messages[0])) == {
        "type", "series_id", "series_unique_id", "channels", "image_size_x", "image_size_y", "image_dtype",
        "number_of_images",
    }  # fmt: skip


def test_jungfraujoch_has_a_socket_for_each_writer():
    frames = _frames(8, np.int32)
    two = [FREE, FREE]
    with Simulator(frames, fps=2000, dialect="jungfraujoch", stream=two, images_per_file=2) as detector:
        pullers = [Puller(address) for address in detector.addresses]
        both = [[read(parts) for parts in puller.all(1, 0.05)] for puller in pullers]
        for puller in pullers:
            puller.close()
    for place, messages in enumerate(both):
        assert [message["type"] for message in messages] == ["start", *["image"] * 4, "end"]
        assert [message["image_id"] // 2 % 2 for message in messages[1:-1]] == [place] * 4
        assert messages[0]["error_value"] == np.iinfo(np.int32).min
    with pytest.raises(SettingError, match="Jungfraujoch does not send"):
        Simulator(frames, dialect="jungfraujoch", compression="lz4", stream=FREE)


def test_the_legacy_dialect_has_parts():
    frames = _frames(2)
    messages, truth = _sent(frames, dialect="legacy", header_detail="all", faults={"truncated": [1]}, images=3)
    start, first, cut, third, end = messages
    assert json.loads(start[0])["htype"] == "dheader-1.0"
    assert json.loads(end[0]) == {"htype": "dseries_end-1.0", "series": 1}
    about = json.loads(first[1])
    assert (about["shape"], about["type"], about["encoding"]) == ([33, 20], "uint16", "bs16-lz4<")
    assert json.loads(first[0])["frame"] == 0
    assert about["size"] == len(first[2])
    np.testing.assert_array_equal(np.frombuffer(unpacked("bslz4", 2, first[2]), "<u2").reshape(20, 33), frames[0])
    np.testing.assert_array_equal(read_message(third).frame(), frames[0])
    with pytest.raises(StreamError):
        read_message(cut)
    assert truth.series[0].damaged == {"truncated": [1]}
    with pytest.raises(SettingError, match="the legacy stream has one"):
        Simulator(frames, dialect="legacy", channels=["a", "b"], stream=FREE)


FAULTS = {
    "drop": [3],
    "duplicate": [4],
    "differing": [5],
    "corrupt_cbor": [6],
    "truncated": [7],
    "wrong_shape": [8],
    "corrupt_lz4": [9],
    "huge_total": [10],
    "unknown_algorithm": [11],
    "lz4": [12],
    "raw": [13],
    "late": [14],
    "late_s": 0.05,
    "end": "twice",
}


def test_the_truth_says_what_a_slow_receiver_finds():
    frames = _frames()
    messages, truth = _sent(frames, ends=2, quiet=0.5, images=20, faults=FAULTS)
    whole, failed, damaged, ends = [], [], 0, 0
    for parts in messages[1:]:
        try:
            message = read(parts)
        except Exception:  # of any kind that cbor2, the codec and NumPy have
            damaged += 1
            continue
        if message["type"] == "end":
            ends += 1
        elif message["data"]["threshold_1"].shape != (20, 33):
            failed.append(message["image_id"])
        else:
            whole.append((message["image_id"], message["data"]["threshold_1"]))
    series = truth.series[0]
    assert ends == series.ends == 2
    assert failed == series.failed["wrong_shape"] == [8]
    assert damaged == 5
    assert [number for number, _ in whole][-1] == 14
    assert series.after_end == [14]
    numbers = [number for number, _ in whole]
    assert sorted(numbers) == sorted([*range(20), 4, 5][i] for i in range(22) if i not in (3, 6, 7, 8, 9, 10, 11))
    for number, frame in whole:
        assert number == 5 or np.array_equal(frame, frames[number % 4])
    first, second = [frame for number, frame in whole if number == 5]
    assert (first != second).sum() == 1
    books = series.books
    assert books.to_dict() == {
        "expected": 20, "received": 17, "analysed": 13, "skipped": 0, "failed": 4, "duplicate": 2, "differing": 1,
        "late": 0, "foreign": 0, "damaged": 2, "second_ends": 1, "dropped": 0, "ended": True, "in_flight": 0,
        "missing": 3, "last": 19,
    }  # fmt: skip
    assert series.to_dict()["sent"] == [[0, 2], [4, 5], [8, 19]]


def test_a_wrong_byte_in_the_head_damages_the_message():
    made = exposures_of(_frames(1))
    wire = Wire(made.images, Start(SeriesKey(0), made.shape, "stream2"))
    for byte in range(3, 25):
        parts = wire.image(SeriesKey(1, "a"), 0, "corrupt_cbor", origin=0, exposed=(0, 20), damaged_byte=byte)
        with pytest.raises(StreamError):
            read_message(parts)


@pytest.mark.parametrize("fault", ["corrupt_lz4", "huge_total", "unknown_algorithm"])
def test_damaged_frames_still_tell_their_number(fault):
    messages, _ = _sent(_frames(2), faults={fault: [1]})
    with pytest.raises(StreamError) as error:
        read_message(messages[2]).frame()
    assert getattr(error.value, "number", 1) == 1


def test_series_restart_and_abort():
    messages, truth = _sent(_frames(), images=9, faults={"restart_at": 4})
    kinds = [(m["type"], m["series_id"]) for m in map(read, messages)]
    assert kinds == [("start", 1), *[("image", 1)] * 4, ("start", 2), *[("image", 2)] * 9, ("end", 2)]
    assert [series.early for series in truth.series] == [True, False]
    messages, truth = _sent(_frames(), images=9, faults={"abort_at": 4, "announced": 10**9})
    assert read(messages[0])["number_of_images"] == 10**9
    assert [read(parts)["type"] for parts in messages[1:]] == ["image"] * 4 + ["end"]
    assert truth.series[0].early
    messages, _ = _sent(_frames(), ends=2, series=2, faults={"same_id": True})
    starts = [m for m in map(read, messages) if m["type"] == "start"]
    assert [start["series_id"] for start in starts] == [1, 1]
    assert starts[0]["series_unique_id"] != starts[1]["series_unique_id"]


def test_what_nobody_fetches_is_thrown_away_and_counted():
    frames = _frames(1, np.uint16, (500, 700))  # 700 kB as they are: no socket holds many
    with Simulator(
        frames, fps=2000, images=100, stream=FREE, compression="none", queue=1, wait=30
    ) as detector, Puller(detector.address, queue=1) as puller:  # fmt: skip
        deadline = time.monotonic() + 30
        while not detector.truth.series or detector.truth.series[0].images < 100:
            assert time.monotonic() < deadline
            Event().wait(0.05)
        numbers = [read(parts)["image_id"] for parts in puller.all(1)[1:-1]]
        series = detector.wait(30).series[0]
    assert len(series.not_taken) > 20
    assert series.books.dropped == len(series.not_taken) == series.books.missing
    assert sorted(numbers) == series.sent.values.tolist()
    assert sorted([*numbers, *series.not_taken.values]) == list(range(100))


def test_a_detector_that_is_killed_comes_back():
    with Simulator(
        _frames(), fps=500, images=40, stream=FREE, faults={"vanish_at": 20, "vanish_s": 0.1}
    ) as detector, Puller(detector.address) as puller:  # fmt: skip
        numbers = [m["image_id"] for m in map(read, puller.all(1, 0.05)) if m["type"] == "image"]
        series = detector.wait(30).series[0]
    assert numbers[-20:] == list(range(20, 40))
    assert series.unsure == [[0, 19]]


def test_nobody_pulls_and_that_is_told():
    with Simulator(_frames(), stream=FREE, wait=0.1) as detector, pytest.raises(StreamError, match="nobody pulled"):
        detector.wait(30)


def test_it_stops_with_an_end_message():
    with Simulator(_frames(), fps=100, images=10**6, stream=FREE) as detector, Puller(detector.address) as puller:
        for _ in range(3):
            puller.next()
        detector.stop()
        assert read(puller.all(1)[-1])["type"] == "end"
        series = detector.wait(30).series[0]
    assert series.early
    assert series.images < 10**6
    assert series.books.expected == 10**6


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"dialect": "morse"}, "dialect is 'morse'"),
        ({"header_detail": "most"}, "header_detail is 'most'"),
        ({"stream": "tcp://nowhere.invalid:1"}, "cannot be bound"),
        ({"simplon": "here"}, "HOST:PORT"),
        ({"faults": {"dorp": 1}}, "did you mean drop"),
    ],
)
def test_wrong_settings_are_refused(settings, text):
    with pytest.raises(SettingError, match=text):
        Simulator(_frames(), **{"stream": FREE, **settings})


@pytest.mark.parametrize("frames", [np.zeros((2, 3, 4)), [], [np.zeros((3, 4), int), np.zeros((4, 3), int)], ["a"]])
def test_what_no_detector_sends_is_refused(frames):
    with pytest.raises((SettingError, ValueError)):
        Simulator(frames, stream=FREE)


def test_moments_depend_on_the_first_one_alone():
    now = [100.0]

    class Waiter:
        def __init__(self):
            self.waits = []

        def wait(self, seconds):
            self.waits.append(seconds)
            now[0] += seconds + 0.0005  # it always wakes late
            return False

        def is_set(self):
            return False

    pace, waiter = Pace(1000.0, clock=lambda: now[0]), Waiter()
    for _ in range(1001):
        assert pace.wait(waiter)
    assert now[0] == pytest.approx(101.0, abs=0.002)
    pace.delay(2.0)
    assert pace.wait(waiter)
    assert now[0] == pytest.approx(103.001, abs=0.002)


def test_an_outlet_says_where_it_is_bound(tmp_path):
    with Outlet([FREE, f"ipc://{tmp_path}/s"]) as outlet:
        first, second = outlet.addresses
        assert first.startswith("tcp://127.0.0.1:")
        assert not first.endswith("*")
        with Puller(second) as puller:
            outlet.wait_for_pullers(30, Event())
            assert outlet.send([b"a", b"b"])
            assert puller.next() == [b"a", b"b"]


def test_made_frames_have_peaks_where_the_truth_says():
    made = synthetic((64, 80), frames=10, hit_rate=0.3, peaks=6, seed=4)
    assert len(made.images) == 10
    assert set(made.truth["frame"]) == {3, 6, 9}
    counts = [image["threshold_1"].decode().astype(int) for image in made.images]
    assert min(counts[i][counts[i] < 65535].max() for i in (3, 6, 9)) > 30
    assert max(counts[i][counts[i] < 65535].max() for i in (0, 1, 2, 4, 5, 7, 8)) < 25
    assert detector_shape("4M") == (2167, 2070)
    assert detector_shape("12x34") == (12, 34)
    with pytest.raises(SettingError, match="expected SLOWxFAST"):
        detector_shape("4X")


def test_packed_frames_of_files_go_out_as_they_are(tmp_path):
    frames, path = _frames(5), tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data", data=frames, chunks=(1, 20, 33), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        chunks = [data.id.read_direct_chunk((i, 0, 0))[1] for i in range(5)]
    with crystint.open_frames(path) as opened:
        made = exposures_of(opened)
        assert [bytes(image["threshold_1"].data) for image in made.images] == chunks
        messages, _ = _sent(opened)
    for frame, parts in zip(frames, messages[1:-1], strict=True):
        np.testing.assert_array_equal(read(parts)["data"]["threshold_1"], frame)
    with crystint.open_frames(frames) as opened:
        np.testing.assert_array_equal(exposures_of(opened).images[2]["threshold_1"].decode(), frames[2])


def test_ranges_of_numbers():
    assert ranges([]) == []
    assert ranges([5]) == [[5, 5]]
    assert ranges({9, 1, 2, 3, 8}) == [[1, 3], [8, 9]]


def test_without_an_end_nothing_is_expected_after_the_last_image_that_came():
    for announced, ends, expected in ((100, 1, 100), (100, 0, 40), (0, 1, 40), (None, 1, 40), (30, 1, 40)):
        series = SeriesTruth(1, "a", announced=announced, images=60, ends=ends)
        series.sent.add(39)
        assert series.books.expected == expected
