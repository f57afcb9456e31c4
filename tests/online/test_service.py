"""The service in one process: results as `crystint peaks` finds them, changes while images come, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from crystint.engine import Engine
from crystint.errors import DeviceError, RefusedError
from crystint.model.frame_table import FRAME_DTYPE, FrameStatus
from crystint.online import AnalysisSettings, Service
from crystint.online.analysis import Analyses, Analysis
from crystint.online.result import Result
from crystint.online.settings import ServeSettings
from crystint.online.sink import Sink
from crystint.separation import find_peaks
from crystint.stream import End, Image, SeriesKey, encode_end, encode_frame, encode_image, encode_start
from crystint.stream.cbor import decode, encode
from tests.online.streams import GEOMETRY, frames_of, image_of, messages_of, start_of

KEY = SeriesKey(1, "a")
RINGS = AnalysisSettings(rings=60)


@pytest.fixture(scope="module")
def one_engine() -> Engine:
    return Engine("cpu")


def run(messages: Any, engine: Engine, settings: AnalysisSettings = RINGS, **more: Any) -> tuple[list[Result], Any]:
    """Results, and the series as it is described, the newest."""
    results: list[Result] = []
    with Service(settings=settings, engine=engine, **more) as service:
        service.on_result(results.append)
        for message in messages:
            service.take(message)
        assert service.wait("idle")
        described = service.series()[0]
    return results, described


def written(path: Path, frames: Any, geometry: crystint.Geometry | None) -> Path:
    writer = crystint.DenseWriter(
        path, frames[0].shape, frames.dtype, geometry=geometry, mask=None, saturation=None, provenance={}
    )
    with writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize(
    ("dtype", "algorithm"),
    [("u1", "bslz4"), ("u2", "bslz4"), ("u2", "lz4"), ("u2", "none"), ("u4", "bslz4"), ("i2", "bslz4"), ("i4", "lz4")],
)
def test_peaks_and_rows_are_those_of_crystint_peaks(dtype, algorithm, one_engine, tmp_path):
    frames = frames_of(dtype)
    GEOMETRY.write(tmp_path / "geometry.json")
    written(tmp_path / "run.h5", frames, None)
    mask = np.zeros(frames[0].shape, np.uint8)
    mask[10:20] = 1
    np.save(tmp_path / "mask.npy", mask)
    common: Any = {"rings": 60, "geometry": tmp_path / "geometry.json", "mask": (tmp_path / "mask.npy",), "snr": 4.5}
    if dtype[0] == "i":  # a file is looked into for measurements below zero, a stream cannot be
        common["min_valid"] = 0
    outcome = find_peaks([tmp_path / "run.h5"], [tmp_path / "peaks.h5"], common, device="cpu")
    batch = crystint.read_peaks(tmp_path / "peaks.h5")
    messages = messages_of(frames, algorithm=algorithm, geometry=None)
    results, described = run(messages, one_engine, AnalysisSettings(**common))
    peaks = np.concatenate([result.peaks for result in results])
    assert len(peaks) > 20
    assert peaks.tobytes() == batch.tobytes()
    rows = np.concatenate([result.row for result in results])
    for name in FRAME_DTYPE.names:
        if name != "time":
            np.testing.assert_array_equal(rows[name], outcome.result.results[name], name)
    assert described["books"]["analysed"] == len(frames)
    assert described["books"]["missing"] == 0
    assert (rows["t_start"] == 10**18 + np.arange(len(frames))).all()
    assert (rows["t_done"] >= rows["t_received"]).all()


def test_a_channel_is_chosen(one_engine):
    frames, others = frames_of(count=2, seed=1), frames_of(count=2, seed=2)
    start = encode_start(start_of(frames, KEY, channels=("threshold_1", "threshold_2")))
    images = [
        encode_image(Image(KEY, n, {"threshold_1": encode_frame(a, "bslz4"), "threshold_2": encode_frame(b, "lz4")}))
        for n, (a, b) in enumerate(zip(frames, others, strict=True))
    ]
    messages = [start, *images, encode_end(End(KEY))]
    by_channel = {}
    for channel in (None, "threshold_1", "threshold_2"):
        results, _ = run(messages, one_engine, ServeSettings(rings=60, channel=channel))
        by_channel[channel] = np.concatenate([result.peaks for result in results]).tobytes()
    first, _ = run(messages_of(frames), one_engine)
    second, _ = run(messages_of(others), one_engine)
    assert by_channel[None] == by_channel["threshold_1"] == np.concatenate([r.peaks for r in first]).tobytes()
    assert by_channel["threshold_2"] == np.concatenate([r.peaks for r in second]).tobytes()
    with Service(settings=ServeSettings(channel="threshold_9"), engine=one_engine) as service:
        results = []
        service.on_result(results.append)
        for message in messages:
            service.take(message)
        assert service.wait("error")
    assert service.series()[0]["books"]["failed"] == 2
    assert "threshold_1, threshold_2" in results[0].error
    assert "threshold_9" in service.status()["reason"]


def test_without_a_geometry_there_are_totals_and_no_guess(one_engine):
    frames = frames_of(count=3)
    with Service(settings=RINGS, engine=one_engine) as service:
        results: list[Result] = []
        service.on_result(results.append)
        for message in messages_of(frames, geometry=None):
            service.take(message)
        assert service.wait("idle")
        told = [event for event in service.events() if event["name"] == "warning"]
    assert [int(result.row["frame_sum"][0]) for result in results] == [
        int(frame.sum(dtype=np.int64)) for frame in frames
    ]
    assert [int(result.row["maximum"][0]) for result in results] == [int(frame.max()) for frame in frames]
    for result in results:
        assert not len(result.peaks)
        assert result.row["n_spots"] == result.row["hit"] == -1
        assert np.isnan(result.row["d_min"][0])
    assert sum("geometry" in event["data"]["text"] for event in told) == 1


def test_a_change_applies_from_the_image_that_it_names(one_engine):
    frames = frames_of(count=8)
    results: list[Result] = []
    start, *images, end = messages_of(np.concatenate([frames] * 25))
    with Service(settings=RINGS, engine=one_engine) as service:
        service.on_result(results.append)
        looked_at = threading.Event()
        service.on_result(lambda result: looked_at.set())
        service.take(start)
        applied = []
        changes: list[dict[str, Any]] = [{"snr": 12.0}, {"rings": 40}, {"cycles": 2, "snr": 5.0}, {"d_min": 2.0}]
        for number, image in enumerate(images):
            service.take(image)
            if number % 50 == 25:
                assert looked_at.wait(30)  # before, it would apply from image 0
                applied.append(service.set(**changes[number // 50]))
        service.take(end)
        assert service.wait("idle")
        history = service.intake.closed[-1].described()["settings"]
    rows = np.concatenate([result.row for result in results])
    assert len(rows) == 200
    assert (rows["frame"] == np.arange(200)).all()
    assert (rows["status"] == 0).all()
    expected = np.ones(200, int)
    for each in applied:
        assert 0 < each.first_image <= 200
        expected[each.first_image :] = each.version
    assert rows["settings_version"].tolist() == expected.tolist()
    assert [entry["first_image"] for entry in history] == [0, *[each.first_image for each in applied]]
    assert history[1]["settings"]["snr"] == 12.0
    # and it is looked at with them, to the last bit
    last = AnalysisSettings(rings=40, cycles=2, snr=5.0, d_min=2.0)
    alone, _ = run(messages_of(frames), one_engine, last)
    for number in range(applied[-1].first_image, 200):
        np.testing.assert_array_equal(results[number].peaks["intensity"], alone[number % 8].peaks["intensity"])


def test_the_user_mask_changes_at_an_image(one_engine):
    frames = frames_of(count=6)
    start, *images, end = messages_of(frames)
    results: list[Result] = []
    mask = np.zeros(frames[0].shape, np.uint8)
    mask[:, :90] = 1
    with Service(settings=RINGS, engine=one_engine) as service:
        service.on_result(results.append)
        looked_at = threading.Event()
        service.on_result(lambda result: looked_at.set())
        for message in (start, *images[:3]):
            service.take(message)
        with pytest.raises(RefusedError, match=r"\(10, 20\).*\(150, 170\)"):
            service.change_mask(np.zeros((10, 20), np.uint8))
        assert looked_at.wait(30)
        applied = service.change_mask(mask)
        assert (service.mask("user") != 0).tolist() == (mask != 0).tolist()
        assert not service.mask("detector").any()
        for message in (*images[3:], end):
            service.take(message)
        assert service.wait("idle")
    for result in results:
        masked = result.number >= applied.first_image
        assert result.row["settings_version"] == (applied.version if masked else 1)
        assert (result.peaks["fast"] > 90).all() == masked


def test_changes_that_cannot_be_are_refused_and_change_nothing(one_engine):
    with Service(settings=RINGS, engine=one_engine) as service:
        before = service.settings()
        refused: list[tuple[Callable[[], Any], str, str | None]] = [
            (lambda: service.change_settings({"sn": 3}), "bad_value", "sn"),
            (lambda: service.change_settings({"snr": -1}), "bad_value", "snr"),
            (lambda: service.change_settings({"snr": "many"}), "bad_value", "snr"),
            (lambda: service.change_settings({"snr": 1.5}), "bad_value", None),
            (lambda: service.change_settings({"dark": "x.npy"}), "bad_value", "dark"),
            (lambda: service.change_settings({"snr": 4.0}, revision=17), "conflict", None),
            (lambda: service.change_rois({"rois": [{"name": "a"}]}), "bad_value", None),
            (lambda: service.start({"prefix": "../x"}), "bad_value", "prefix"),
            (lambda: service.start({"prefix": "a//b"}), "bad_value", "prefix"),
            (lambda: service.start({"prefix": ".hidden"}), "bad_value", "prefix"),
            (lambda: service.start({"prefix": 7}), "bad_value", "prefix"),
            (lambda: service.start({"prefixes": "x"}), "bad_value", "prefixes"),
            (lambda: service.start({"geometry": {"distance": -1}}), "bad_value", "geometry"),
        ]
        for call, reason, field in refused:
            with pytest.raises(RefusedError) as error:
                call()
            assert error.value.reason == reason
            assert field is None or error.value.field == field
        assert service.change_settings({"snr": 4.0}, dry_run=True).version == before["version"]
        assert service.settings() == before
        applied = service.change_settings({"snr": 4.0}, revision=before["revision"])
        assert (applied.version, service.settings()["values"]["snr"]) == (before["version"] + 1, 4.0)
        with pytest.raises(RefusedError, match=r"did you mean sampling"):
            service.change_settings({"samplin": 3})


def test_what_is_asked_for_at_the_start_goes_before_the_message(one_engine):
    frames = frames_of(count=2)
    with Service(settings=RINGS, engine=one_engine) as service:
        results: list[Result] = []
        service.on_result(results.append)
        assert service.start({"prefix": "s/one", "geometry": {"distance": 0.09}, "user": {"x": 1}})["state"] == "arming"
        for message in messages_of(frames):
            service.take(message)
        assert service.wait("idle")
        for message in messages_of(frames, SeriesKey(2, "b")):
            service.take(message)
        assert service.wait("idle")
        second, first = service.series()
    assert (first["name"], first["geometry"]["distance"]) == ("s/one", 0.09)
    assert (second["name"], second["geometry"]["distance"]) == ("2-b", 0.06)
    near, far = results[2].peaks, results[0].peaks
    assert np.median(far["d"]) > np.median(near["d"])


def test_an_abort_ends_the_series_and_the_next_one_is_taken(one_engine):
    frames = frames_of(count=4)
    start, *images, end = messages_of(frames)
    with Service(settings=RINGS, engine=one_engine) as service:
        service.take(start)
        for image in images[:2]:
            service.take(image)
        service.abort()
        assert service.wait("idle")
        for image in (*images[2:], end):
            service.take(image)
        for message in messages_of(frames, SeriesKey(2, "b")):
            service.take(message)
        assert service.wait("idle")
        second, first = service.series()
    books = first["books"]
    assert (books["received"], books["foreign"], books["in_flight"]) == (2, 2, 0)
    assert second["books"]["analysed"] == 4


def test_damaged_images_fail_and_the_others_do_not(one_engine):
    frames = frames_of(count=4)
    start, *images, end = messages_of(frames)
    packed = encode_frame(frames[1], "bslz4")
    cut = replace(packed, data=packed.data[: len(packed.data) // 2])
    damaged = encode_image(Image(KEY, 1, {"threshold_1": cut}))
    other = image_of(frames[2].astype("u4"), KEY, 2)
    results, described = run([start, images[0], damaged, other, images[3], end], one_engine)
    assert [result.status for result in results] == [
        FrameStatus.OK, FrameStatus.FAILED, FrameStatus.FAILED, FrameStatus.OK,
    ]  # fmt: skip
    assert "uint32" in results[2].error
    assert "uint16" in results[2].error
    assert described["books"]["failed"] == 2


def test_every_nth_image_is_looked_at(one_engine):
    results, described = run(messages_of(frames_of(count=6)), one_engine, AnalysisSettings(rings=60, sampling=3))
    assert [result.status.name for result in results] == ["OK", "SKIPPED", "SKIPPED", "OK", "SKIPPED", "SKIPPED"]
    assert (described["books"]["analysed"], described["books"]["skipped"]) == (2, 4)


def test_the_dtype_that_the_start_does_not_tell_is_that_of_the_images(one_engine):
    frames = frames_of("i2", count=3)
    frames[:, 5, 5] = np.iinfo(np.int16).min
    start = start_of(frames, KEY)
    messages = [
        encode_start(type(start)(**{name: getattr(start, name) for name in start.__slots__} | {"dtype": None})),
        *(image_of(frame, KEY, number) for number, frame in enumerate(frames)),
        encode_end(End(KEY)),
    ]
    results, _ = run(messages, one_engine)
    assert [int(result.row["bad"][0]) for result in results] == [1, 1, 1]
    assert all(len(result.peaks) for result in results)


def test_regions_are_summed_from_the_image_that_the_change_names(one_engine):
    frames = frames_of(count=6)
    start, *images, end = messages_of(frames)
    results: list[Result] = []
    looked_at = threading.Event()
    document = {
        "rois": [
            {"name": "box", "type": "box", "slow_min": 10, "slow_max": 40, "fast_min": 5, "fast_max": 60},
            {"name": "ring", "type": "azimuthal", "q_min": 0.2, "q_max": 0.5},
        ]
    }
    with Service(settings=RINGS, engine=one_engine) as service:
        service.on_result(results.append)
        service.on_result(lambda result: looked_at.set())
        for message in (start, *images[:3]):
            service.take(message)
        assert looked_at.wait(30)
        applied = service.change_rois(document)
        assert applied.details["box"] == {"pixels": 31 * 56, "clipped": False}
        with pytest.raises(RefusedError) as error:
            service.change_rois({"rois": [{"name": "off", "type": "circle", "center": [900, 900], "radius": 3}]})
        assert error.value.reason == "bad_value"
        assert service.rois()["version"] == applied.version
        pixels, names = service.roi_map()
        assert (names, int(np.count_nonzero(pixels & 1))) == (("box", "ring"), 31 * 56)
        for message in (*images[3:], end):
            service.take(message)
        assert service.wait("idle")
    for result in results:
        there = result.number >= applied.first_image
        assert result.row["roi_version"][0] == (applied.version if there else 0)
        assert result.roi_names == (("box", "ring") if there else ())
        if there:
            assert result.rois["sum"][0] == frames[result.number][10:41, 5:61].sum(dtype=np.int64)
            assert np.isfinite(result.rois["signal"]).all()
    plain, _ = run(messages_of(frames), one_engine)
    assert all(one.peaks.tobytes() == other.peaks.tobytes() for one, other in zip(results, plain, strict=True))


def test_without_a_geometry_regions_have_sums_and_no_background(one_engine):
    frames = frames_of(count=2)
    results: list[Result] = []
    with Service(settings=RINGS, engine=one_engine) as service:
        service.on_result(results.append)
        box = {"name": "box", "type": "box", "slow_min": 10, "slow_max": 40, "fast_min": 5, "fast_max": 60}
        service.change_rois({"rois": [box, {"name": "ring", "type": "azimuthal", "q_min": 0.2, "q_max": 0.5}]})
        for message in messages_of(frames, geometry=None):
            service.take(message)
        assert service.wait("idle")
    for frame, result in zip(frames, results, strict=True):
        assert result.rois["sum"].tolist() == [frame[10:41, 5:61].sum(dtype=np.int64), 0]
        assert result.rois["npixel"].tolist() == [31 * 56, 0]
        assert np.isnan(result.rois["background"]).all()


class FailingDevice:
    """An analysis whose device fails some times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        self.left, examine = failures, Analysis.examine_several
        self.lock = threading.Lock()

        def failing(analysis: Analysis, frames: Any, numbers: Any, *more: Any) -> Any:
            with self.lock:
                if self.left and max(numbers) >= 2:
                    self.left -= 1
                    raise DeviceError("out of resources")
            return examine(analysis, frames, numbers, *more)

        monkeypatch.setattr(Analysis, "examine_several", failing)


def test_a_device_that_fails_is_begun_anew_and_no_image_is_lost(one_engine, monkeypatch):
    frames = frames_of(count=6)
    plain, _ = run(messages_of(frames), one_engine)
    FailingDevice(monkeypatch, 1)
    results: list[Result] = []
    with Service(settings=RINGS, engine=one_engine) as service:
        service.on_result(results.append)
        for message in messages_of(frames):
            service.take(message)
        assert service.wait("idle")
        assert any("the device failed" in event["data"].get("text", "") for event in service.events())
        assert service.configuration.analyses.engine is not one_engine
    assert [result.peaks.tobytes() for result in results] == [result.peaks.tobytes() for result in plain]


def test_a_device_that_fails_again_and_again_is_an_error_and_the_receiver_goes_on(one_engine, monkeypatch):
    frames = frames_of(count=6)
    FailingDevice(monkeypatch, 1000)
    looked_at = threading.Semaphore(0)
    with Service(settings=ServeSettings(rings=60, device="cpu"), engine=one_engine) as service:
        service.on_result(lambda result: looked_at.release())
        for message in messages_of(frames):
            service.take(message)
        assert service.wait("error")
        assert all(looked_at.acquire(timeout=30) for _ in frames)
        monkeypatch.undo()
        for message in messages_of(frames, SeriesKey(2, "b")):
            service.take(message)
        assert service.wait("idle")
        second, first = service.series()
    assert (first["books"]["analysed"], first["books"]["failed"], first["books"]["in_flight"]) == (2, 4, 0)
    assert second["books"]["analysed"] == 6


def test_a_sink_that_fails_ends_for_its_series_and_nothing_else_does(one_engine):
    @dataclass
    class Broken(Sink):
        calls: list[str] = field(default_factory=list)

        def results(self, run: Any, results: Any) -> None:
            self.calls.append(str(run.key))
            raise ZeroDivisionError("by nothing")

    broken = Broken()
    service = Service(settings=RINGS, engine=one_engine)
    service.add(broken)
    with service:
        for number in (1, 2):
            for message in messages_of(frames_of(count=3), SeriesKey(number)):
                service.take(message)
            assert service.wait("idle")
        alarms = [event["data"]["text"] for event in service.events() if event["name"] == "alarm"]
        assert [each["books"]["analysed"] for each in service.series()] == [3, 3]
    assert broken.calls == ["1", "2"]
    assert alarms == ["Broken ended for series 1: by nothing", "Broken ended for series 2: by nothing"]


def test_what_goes_wrong_in_the_thread_of_the_results_is_told_and_it_goes_on(one_engine):
    service = Service(settings=RINGS, engine=one_engine)
    with service:
        service.emitter.call(lambda: 1 // 0)
        for message in messages_of(frames_of(count=3)):
            service.take(message)
        assert service.wait("idle")
        (alarm,) = [event["data"]["text"] for event in service.events() if event["name"] == "alarm"]
        assert "ZeroDivisionError" in alarm
        assert service.series()[0]["books"]["analysed"] == 3


def test_a_series_of_a_detector_that_was_there_before_starts_at_once(one_engine):
    """What is held is looked up by all that decides, so that another mask or geometry gets its own."""
    analyses = Analyses(one_engine)
    frames = frames_of(count=1)
    mask = np.zeros(frames[0].shape, np.uint32)
    mask[4] = 1
    starts = [
        start_of(frames, KEY),
        start_of(frames, KEY, masks={"threshold_1": mask}),
        start_of(frames, KEY, geometry=replace(GEOMETRY, distance=0.07)),
    ]
    separators = [analyses.make(start, RINGS).search.separator for start in starts]
    assert len({id(separator) for separator in separators}) == 3
    again = [analyses.make(start, RINGS).search.separator for start in reversed(starts)]
    assert again[::-1] == separators
    user = np.zeros_like(mask)
    user[7] = 1
    assert analyses.make(starts[0], RINGS, user_mask=user).search.separator not in separators
    assert analyses.make(starts[0], AnalysisSettings(rings=61)).search.separator not in separators
    assert analyses.make(starts[0], AnalysisSettings(rings=60, snr=9.0)).search.separator is separators[0]


def test_options_complete_what_the_start_tells_of_the_geometry(one_engine):
    frames = frames_of(count=2)
    start = start_of(frames, KEY)
    whole = decode(b"".join(map(bytes, encode_start(start))))
    some = encode(
        {key: value for key, value in whole.items() if key not in ("detector_translation", "detector_distance")}
    )
    messages = [some, *list(messages_of(frames))[1:]]
    results, described = run(messages, one_engine, AnalysisSettings(rings=60, distance=0.06))
    assert described["geometry"] == GEOMETRY.to_dict() | {"shape": [150, 170]}
    plain, _ = run(messages_of(frames), one_engine)
    assert [one.peaks.tobytes() for one in results] == [one.peaks.tobytes() for one in plain]
    alone, described = run(messages, one_engine)
    assert described["geometry"] is None
    assert not any(len(result.peaks) for result in alone)


def test_closed_series_hold_neither_masks_nor_separators(one_engine):
    frames = frames_of(count=1)
    mask = np.zeros(frames[0].shape, np.uint32)
    mask[4] = 1
    with Service(settings=RINGS, engine=one_engine) as service:
        for message in messages_of(frames, masks={"threshold_1": mask}):
            service.take(message)
        assert service.wait("idle")
        closed = service.intake.closed[-1]
        assert (closed.mask, dict(closed.start.masks), closed.context.current) == (None, {}, None)
        assert service.mask("detector")[4].all()
        assert service.start_message()
        assert closed.described()["settings"][0]["masked"] == frames.shape[2]
