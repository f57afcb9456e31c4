"""Which image is shown: live, held, back and forward, gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from crystint.online import AnalysisSettings
from crystint.stream import SeriesKey
from tests.page.image_page import GEOMETRY, KEY, NOTHING, SATURATED, Image, frames, indigo


def test_saturated_pixels_and_an_older_series(stream, open_page):
    counts = frames(1, 5)
    counts[0, 100, 100:104] = 60000
    key = SeriesKey(4, "bright")
    stream.send(frames(), KEY, geometry=GEOMETRY)
    stream.send(counts, key, geometry=GEOMETRY)
    image = Image(open_page(stream))
    image.wait_number(0)
    image.wait_status("complete")
    image.overlays(**{**NOTHING, "saturated_pixels": True})
    image.page.locator(".image-legend", has_text="saturated").wait_for()
    marked = np.all(image.colors() == SATURATED, axis=-1)
    assert np.argwhere(marked).tolist() == [[100, fast] for fast in range(100, 104)]
    # the older series by its name, and back
    image.page.locator("select.series").select_option(str(KEY))
    image.wait_number(7)
    image.wait_status("held")
    image.press("l")
    image.wait_number(0)


def test_images_are_held_and_gone_through(held, image):
    for keys, number in ((",", 6), (",", 5), (".", 6), ("Home", 0), (".", 1), ("End", 7)):
        image.press(keys)
        image.wait_number(number)
    image.wait_status("held")
    image.page.get_by_role("button", name="Previous image").click()
    image.wait_number(6)
    # by its number
    image.press("g")
    image.page.keyboard.type("2")
    image.page.keyboard.press("Enter")
    image.wait_number(2)
    image.press(">")
    hits = [n for n in range(8) if held.json(f"/api/v1/images/{n}/about?series={KEY}")["hit"]]
    assert 3 not in hits
    image.wait_number(min(hit for hit in hits if hit > 2))
    image.press("<", "<")
    image.wait_number(max(hit for hit in hits if hit < 2))
    image.overlays(**NOTHING)
    number = image.number
    low, high = image.contrast()
    good = held.frames[number] != 65535
    assert np.abs(image.colors() - indigo(held.frames[number], low, high))[good].max() <= 0.5 + 1e-9


def test_live_goes_on_where_it_is_held_no_more(stream, open_page):
    image = Image(open_page(stream))
    image.page.locator(".live-button[aria-pressed=true]").wait_for()
    key = SeriesKey(5, "live")
    more = frames(6, 7)
    stream.send(more, key, slice(0, 3), geometry=GEOMETRY)
    image.wait_number(1)
    image.wait_status("live")
    image.press(" ")
    image.wait_status("held")
    stream.send(more, key, slice(3, 6), geometry=GEOMETRY)
    image.page.wait_for_timeout(400)
    assert image.number == 1
    image.press(" ")
    image.wait_number(4)
    stream.send(more, key, slice(6, None), geometry=GEOMETRY)
    image.wait_number(5)
    image.wait_status("last image")
    if stream.json("/api/v1/status")["series"]["books"]["skipped"] == 0:  # a busy machine may not look at all
        image.wait_status("complete")
    image.overlays(**NOTHING)
    low, high = image.contrast()
    good = more[5] != 65535
    assert np.abs(image.colors() - indigo(more[5], low, high))[good].max() <= 0.5 + 1e-9


def test_a_smaller_detector_follows_while_a_corner_is_looked_at(stream, open_page):
    stream.send(frames(), KEY, geometry=GEOMETRY)
    image = Image(open_page(stream))
    image.wait_number(7)
    image.settled()
    image.move(140, 160)
    for _ in range(6):
        image.page.mouse.wheel(0, -500)
    image.page.wait_for_url("**part=1*")
    counts = np.random.default_rng(3).poisson(4.0, (3, 60, 70)).astype("u2")
    stream.send(counts, SeriesKey(5, "small"), geometry=None)
    image.wait_number(2)
    image.wait_status("complete")
    image.overlays(**NOTHING)
    low, high = image.contrast()
    assert np.abs(image.colors((60, 70)) - indigo(counts[2], low, high)).max() <= 0.5 + 1e-9


@pytest.fixture
def small() -> Iterator[Any]:
    """A service whose ring holds few images."""
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from tests.page.serving import served_service

    with served_service(AnalysisSettings(rings=60, hit_peaks=3), ring=2**18) as served:
        yield served


def test_an_image_that_has_left_the_ring_is_told_to_be_gone(small, open_page):
    many = frames(40, 11)
    small.send(many, KEY, slice(0, 3), geometry=GEOMETRY)
    # what asks for an image while it leaves is told so
    image = Image(open_page(small, allowed=("404",)))
    image.wait_number(1)
    image.press(" ")
    image.wait_status("held")
    before = image.pixels()
    small.send(many, KEY, slice(3, 38), geometry=GEOMETRY)
    assert 1 not in small.json("/api/v1/images")["images"]
    image.wait_status("no longer in memory")
    assert np.array_equal(image.pixels(), before)
    image.press("+")
    image.settled()
    image.wait_status("no longer in memory")
    image.press(" ")
    image.wait_status("live")
    image.wait_number(36)
