"""What the pixels of the image look like."""

from __future__ import annotations

import time

import numpy as np

from tests.page.image_page import KEY, NOTHING, UNUSABLE, indigo


def test_each_pixel_has_the_colour_of_its_counts(held, image):
    image.overlays(**NOTHING)
    counts = held.frames[7]
    low, high = image.contrast()
    assert low == 0
    assert high > np.median(counts)
    expected = indigo(counts, low, high)
    expected[counts == 65535] = UNUSABLE
    assert np.abs(image.colors() - expected).max() <= 0.5 + 1e-9


def test_colours_scale_and_contrast_need_nothing_from_the_service(held, image):
    image.overlays(**NOTHING)
    image.settled()
    counts = held.frames[7]
    bad = counts == 65535
    asked: list[str] = []
    image.page.on("request", lambda request: asked.append(request.url) if "/view" in request.url else None)
    image.page.get_by_label("Value of the last colour").fill("40")
    image.page.keyboard.press("Enter")
    image.page.get_by_label("Colour map").select_option("gray")
    image.page.get_by_label("Scale").select_option("linear")
    step = np.floor(255.0 * np.clip(counts / 40.0, 0.0, 1.0) + 0.5)
    assert np.array_equal(image.colors()[~bad], np.repeat(step[~bad][:, None], 3, 1))
    image.press("i")
    assert np.array_equal(image.colors()[~bad], 255 - np.repeat(step[~bad][:, None], 3, 1))
    image.press("i", "]")
    assert image.contrast() == (0, 50)
    image.press("a")
    image.page.get_by_role("button", name="Auto", pressed=True).wait_for()
    assert asked == []


def test_shift_and_a_drag_change_the_contrast(image):
    low, high = image.contrast()
    image.move(75, 60)
    image.page.keyboard.down("Shift")
    image.page.mouse.down()
    image.move(75, 100)
    image.page.mouse.up()
    image.page.keyboard.up("Shift")
    image.page.get_by_role("button", name="Auto", pressed=False).wait_for()
    assert image.contrast()[0] == low
    assert image.contrast()[1] > 1.5 * high
    handle = image.page.get_by_role("slider", name="High end of the colours")
    before = image.contrast()[1]
    handle.focus()
    for _ in range(5):
        image.page.keyboard.press("ArrowLeft")
    assert image.contrast()[1] < before


def test_sums_and_layers(held, image):
    image.overlays(**NOTHING)
    image.page.get_by_label("Images put together").first.select_option("5")
    image.wait_status("sum of 5")
    total = held.frames[3:8].astype(float).sum(0)
    good = held.frames[7] != 65535
    low, high = image.contrast()
    assert np.abs(image.colors() - indigo(total, low, high))[good].max() <= 0.5 + 1e-9
    image.page.get_by_label("Images put together").last.select_option("max")
    image.wait_status("maximum of 5")
    low, high = image.contrast()
    assert np.abs(image.colors() - indigo(held.frames[3:8].max(0), low, high))[good].max() <= 0.5 + 1e-9
    image.page.get_by_label("Images put together").first.select_option("1")
    image.page.get_by_label("Layer", exact=True).select_option("significance")
    image.settled()
    shown = image.colors().astype(int)
    spots = held.json(f"/api/v1/images/7/spots?series={KEY}")["spots"]
    at = int(np.argmax(spots["significance"]))
    red = shown[int(spots["slow"][at]), int(spots["fast"][at])]
    assert red[0] > 90
    assert red[2] < 80
    assert (shown.min(-1)[good] > 200).mean() > 0.5


def test_numbers_stand_on_large_pixels(held, image):
    image.overlays(**NOTHING)
    box = image.area.bounding_box()
    image.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(6):
        image.page.mouse.wheel(0, -500)
    written = image.pixels()
    image.overlays(numbers_of_pixels=False)
    plain = image.pixels()
    assert np.any(written != plain, axis=-1).sum() > 1000
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) < 200


def test_memory_is_flat_over_many_views(held, image):
    """Hundreds of views, each with other colours: what is given back is used again."""
    image.overlays(**NOTHING)
    session = image.page.context.new_cdp_session(image.page)
    session.send("HeapProfiler.enable")

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    def views(count: int) -> None:
        for turn in range(count):
            image.press("]" if turn % 2 else "[")
            if turn % 10 == 0:
                image.press("," if turn % 20 else ".")
        time.sleep(0.2)

    views(40)
    first = heap()
    views(160)
    assert heap() < first + 3e6
