"""The preview, as the viewers of Jungfraujoch's stream read it: each of them breaks on something else."""

from __future__ import annotations

import io
import itertools
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import cbor2
import h5py
import hdf5plugin
import numpy as np

from crystint.online.preview import MetadataPublisher, PreviewPublisher
from crystint.online.preview_messages import image_keys, preview_image
from crystint.stream import PackedFrame, encode_frame, read_message
from tests.online.made_up import frame, image, made_up_run, result
from tests.online.subscriber import PATIENCE_MS, subscribed

TYPES = {64: "u1", 69: "<u2", 70: "<u4", 78: "<i4"}


def pixels(tag):
    """An array as cbor2 leaves it: [dims, typed array of packed bytes], unpacked by another library."""
    shape, typed = tag.value
    algorithm, size, payload = typed.value.value
    assert (tag.tag, typed.value.tag, algorithm) == (40, 56500, "bslz4")
    dtype = np.dtype(TYPES[typed.tag])
    assert size == dtype.itemsize
    return unpacked(payload, tuple(shape), dtype)


def unpacked(payload, shape, dtype):
    with h5py.File(io.BytesIO(), "w") as file:
        data = file.create_dataset("d", shape, dtype, chunks=shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        data.id.write_direct_chunk((0, 0), payload)
        return data[()]


@contextmanager
def shown(run, **options):
    """A publisher that gets an image each 20 ms."""
    publisher = PreviewPublisher("tcp://127.0.0.1:*", **options)
    stop = threading.Event()

    def series():
        publisher.begin(run)
        number = 0
        while not stop.wait(0.02):
            publisher.image(run, image(run, number))
            publisher.results(run, [result(run, number, 2)])
            number += 1
        publisher.end(run)

    thread = threading.Thread(target=series)
    thread.start()
    try:
        yield publisher
    finally:
        stop.set()
        thread.join(30)
        publisher.close()


def test_streamvis_finds_its_mask_and_its_image():
    """It takes start["pixel_mask"]["default"] without asking, merges the start under every image, skips (2, 2)."""
    run = made_up_run(masks={"threshold_1": np.arange(1200, dtype=np.uint32).reshape(40, 30)})
    with shown(run) as publisher, subscribed(publisher.address) as subscriber:
        start = subscriber.until("start")
        np.testing.assert_array_equal(pixels(start["pixel_mask"]["default"]), run.start.masks["threshold_1"])
        both = {**start, **subscriber.until("image")}
    assert both["type"] == "image"
    values = pixels(both["data"]["default"])
    np.testing.assert_array_equal(values, frame(both["image_id"]))
    first, second = both["spots"]
    assert (first["x"], first["y"]) == (7.5 + both["image_id"] - 0.5, 2.75)
    assert second["I"] == 101.5
    assert second["indexed"] is False
    assert both["roi_integrals"]["beam"]["sum"] == 5 * both["image_id"]
    assert both["detector_distance"] == 0.1
    assert both["beam_center_x"] == 15.25


def test_a_run_without_a_mask_has_one_of_zeros():
    with shown(made_up_run()) as publisher, subscribed(publisher.address) as subscriber:
        mask = pixels(subscriber.until("start")["pixel_mask"]["default"])
    assert mask.shape == (40, 30)
    assert not mask.any()


def test_albis_gets_start_and_images_though_it_keeps_the_newest_message_alone():
    """SUB with CONFLATE, one part, joining in mid-series; it needs a start before it can show an image."""
    run = made_up_run()
    with shown(run, period=0.02) as publisher:
        time.sleep(0.3)
        with subscribed(publisher.address, CONFLATE=1) as viewer:
            types = []
            while {"start", "image"} - set(types) or types.index("start") > len(types) - 2:
                assert len(types) < 200
                types.append(viewer.next()["type"])
                time.sleep(0.05)  # it is busy with decoding


def test_the_start_comes_again_within_a_second_and_a_pause_follows():
    run, times = made_up_run(), []
    with shown(run, period=0.02) as publisher, subscribed(publisher.address) as subscriber:
        while [kind for kind, _ in times].count("start") < 3:
            assert subscriber.socket.poll(PATIENCE_MS)
            times.append((cbor2.loads(subscriber.socket.recv())["type"], time.monotonic()))
    starts = [at for kind, at in times if kind == "start"]
    assert all(later - earlier < 1.5 for earlier, later in itertools.pairwise(starts))
    pauses = [after - at for (kind, at), (_, after) in itertools.pairwise(times) if kind == "start"]
    assert min(pauses) > 0.08


def test_nobody_is_held_up_and_no_image_is_held_without_viewers():
    run = made_up_run()
    publisher = PreviewPublisher("tcp://127.0.0.1:*")
    publisher.begin(run)
    publisher.image(run, image(run, 0))
    assert publisher._candidate is None
    publisher.end(run)
    publisher.close()


def test_what_an_image_message_may_hold():
    """LZ4 alone is not allowed; what was not looked at has no spots."""
    run = made_up_run()
    packed = encode_frame(frame(1), "lz4")
    one = replace(image(run, 1), frames={"threshold_1": packed})
    message = cbor2.loads(preview_image(one, result(run, 1)))
    np.testing.assert_array_equal(pixels(message["data"]["default"]), frame(1))
    turned = PackedFrame(np.frombuffer(frame(2).tobytes("F"), np.uint8), (40, 30), np.dtype("<u2"), "none", True)
    back = read_message([preview_image(replace(one, frames={"a": turned}), None)])
    np.testing.assert_array_equal(back.frame(), frame(2))
    keys = image_keys(result(run, 3, n_spots=-1))
    assert "spots" not in keys
    assert "bkg_estimate" not in keys
    assert image_keys(result(run, 3))["spots"] == []
    assert len(image_keys(result(run, 3, 300))["spots"]) == 250
    assert image_keys(result(run, 3, 300))["spots"][-1]["I"] == 399.5


def test_jfjoch2bsread_gets_every_image_without_pixels():
    """It takes the images out of a bundle and merges each with the other keys."""
    run = made_up_run()
    publisher = MetadataPublisher("tcp://127.0.0.1:*")
    try:
        with subscribed(publisher.address) as subscriber:
            publisher.begin(run)
            assert subscriber.until("start")["series_id"] == 7
            for number in range(300):
                publisher.results(run, [result(run, number, number % 2)])
            publisher.end(run)
            end = subscriber.until("end")
    finally:
        publisher.close()
    images = []
    for message in subscriber.seen:
        if message["type"] == "metadata":
            common = {key: value for key, value in message.items() if key != "images"}
            images += [{**common, **each} for each in message["images"]]
    assert [each["image_id"] for each in images] == list(range(300))
    assert {each["series_unique_id"] for each in images} == {"abc"}
    assert [len(each["spots"]) for each in images[:3]] == [0, 1, 0]
    assert not any("data" in each for each in images)
    assert end["images_collected_count"] == 3


def test_who_joins_the_metadata_late_gets_the_start_too():
    run = made_up_run()
    publisher = MetadataPublisher("tcp://127.0.0.1:*")
    try:
        publisher.begin(run)
        with subscribed(publisher.address) as subscriber:
            assert subscriber.next()["type"] == "start"
            publisher.results(run, [result(run, 0)])
            assert subscriber.next()["images"][0]["image_id"] == 0
    finally:
        publisher.close()
