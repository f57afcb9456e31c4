"""What lies over the image, and what is told of a place of it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from crystint.model.geometry import Geometry
from crystint.model.panels import Panel
from crystint.online import AnalysisSettings
from tests.page.image_page import GEOMETRY, KEY, NOTHING, SHAPE, UNUSABLE, Image, frames, indigo


def test_what_is_under_the_cursor_is_what_the_service_tells(held, image):
    series = str(KEY)
    image.settled()
    rng = np.random.default_rng(3)
    for slow, fast in [*zip(rng.integers(0, 150, 3), rng.integers(0, 170, 3), strict=True), (20, 41)]:
        image.move(int(slow), int(fast))
        image.wait_field("pixel", f"^{slow}, {fast}$")
        told = held.json(f"/api/v1/images/7/pixel?series={series}&slow={slow}&fast={fast}")
        image.wait_field("background", r"^[\d.]+$" if told["background"] is not None else "–")
        if held.frames[7][slow, fast] == 65535:
            assert image.field("counts") == "–"
            assert "no measurement" in image.field("mask")
            continue
        assert int(image.field("counts")) == held.frames[7][slow, fast] == told["counts"]
        assert float(image.field("background")) == pytest.approx(told["background"], rel=1e-3)
        assert float(image.field("significance").split()[0]) == pytest.approx(told["significance"], rel=1e-2, abs=1e-9)
        x = GEOMETRY
        assert float(image.field("d").split()[0]) == pytest.approx(float(x.d()[slow, fast]), rel=0.02)
        assert image.field("mask") == "usable"


def test_zoom_and_hand(held, image):
    image.overlays(**{**NOTHING, "numbers_of_pixels": False})
    box = image.area.bounding_box()
    x, y = image.place(100.5, 120.5)
    image.page.mouse.move(box["x"] + x, box["y"] + y)
    for _ in range(5):
        image.page.mouse.wheel(0, -400)
    image.wait_field("pixel", "^100, 120$")  # what is under the pointer stays there
    color = image.pixels()[int(y), int(x)]
    low, high = image.contrast()
    expected = indigo(held.frames[7][100, 120], low, high)
    assert np.abs(color - expected).max() <= 0.5 + 1e-9
    before = image.pixels()
    image.page.mouse.down()
    image.page.mouse.move(box["x"] + x + 60, box["y"] + y + 40, steps=4)
    image.page.mouse.up()
    image.wait_field("pixel", "^100, 120$")  # it went with the hand
    image.press("ArrowLeft", "ArrowRight", "0", "+", "-", "1", "0")
    assert not np.array_equal(before, image.pixels())
    image.settled()


def test_the_keyboard_has_a_cursor_of_its_own(held, image):
    image.press("x")
    image.wait_field("pixel", r"^\d+, \d+$")
    slow, fast = (int(part) for part in image.field("pixel").split(","))
    image.press("ArrowLeft", "ArrowUp", "Shift+ArrowDown")
    image.wait_field("pixel", f"^{slow + 9}, {fast - 1}$")
    image.page.locator(".image-cursor [role=status]", has_text=f"counts {held.frames[7][slow + 9, fast - 1]}").wait_for(
        state="attached"
    )
    # a distance, by keyboard alone
    image.press("m", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter")
    image.wait_field("distance", r"^20\.0 px")
    from_d, to_d = GEOMETRY.d_at(slow + 9.5, fast - 0.5), GEOMETRY.d_at(slow + 9.5, fast + 19.5)
    words = image.field("distance")
    assert f"{float(from_d):.3f} → {float(to_d):.3f}" in words
    image.press("Escape", "Escape")
    image.move(10, 10)
    image.wait_field("pixel", "^10, 10$")


def test_a_spot_is_explained(held, image):
    series = str(KEY)
    spots = held.json(f"/api/v1/images/7/spots?series={series}")["spots"]
    image.page.locator(".image-legend", has_text=f"{len(spots['slow'])} spots").wait_for()
    chosen = int(np.argmax(spots["intensity"]))
    box = image.area.bounding_box()
    x, y = image.place(spots["slow"][chosen], spots["fast"][chosen])
    image.page.mouse.move(box["x"] + x, box["y"] + y)
    assert image.area.evaluate("area => area.style.cursor") == "pointer"
    image.page.mouse.click(box["x"] + x, box["y"] + y)
    told = held.json(f"/api/v1/images/7/spots/{chosen}?series={series}")
    panel = image.page.locator(".spot-patch")
    panel.wait_for()
    image.page.get_by_text(f"Spot {chosen + 1} of {len(spots['slow'])}").wait_for()
    assert image.page.locator(".spot-text").inner_text().split() == told["text"].split()
    cells = panel.locator("tbody td").all_inner_texts()
    mask = np.array(told["mask"]).ravel() != 0
    counts = np.array(told["counts"]).ravel()
    assert [int(cell) for cell, bad in zip(cells, mask, strict=True) if not bad] == counts[~mask].tolist()
    image.page.get_by_role("button", name="Next spot").click()
    image.page.get_by_text(f"Spot {(chosen + 1) % len(spots['slow']) + 1} of").wait_for()


def test_ten_thousand_spots_are_drawn(held, open_page):
    rng = np.random.default_rng(4)
    columns = {name: [0.0] * 10_000 for name in ("sigma", "npix", "maximum", "d", "significance")}
    columns |= {"slow": rng.uniform(0, 150, 10_000).tolist(), "fast": rng.uniform(0, 170, 10_000).tolist()}
    columns |= {"intensity": rng.uniform(1, 1e5, 10_000).tolist(), "flags": [8] * 100 + [0] * 9900}
    image = Image(open_page(held, f"series/{KEY}/image/6"))
    image.wait_number(6)
    image.page.route("**/spots?*", lambda route: route.fulfill(json={"series": "", "image": 7, "spots": columns}))
    image.press(".")
    image.wait_number(7)
    image.page.locator(".image-legend", has_text="10000 spots").wait_for()
    image.page.locator(".image-legend", has_text="100 on ice rings").wait_for()
    image.press("0")
    drawn = image.pixels().astype(int)
    red = (drawn[..., 0] > 150) & (drawn[..., 1] < 110) & (drawn[..., 2] < 110)
    assert red.sum() > 10_000
    image.press("o")
    image.page.locator(".image-legend", has_text="spots").wait_for(state="hidden")


def test_rings_are_where_their_spacing_is(held, image):
    image.overlays(**NOTHING)
    plain = image.pixels()
    image.page.get_by_role("button", name="Overlays ▾").click()
    image.page.get_by_label("Rings at (Å)").fill("8, nothing")
    image.page.keyboard.press("Enter")
    image.page.get_by_text("Spacings are numbers above 0").wait_for()
    image.page.get_by_label("Rings at (Å)").fill("8")
    image.page.keyboard.press("Enter")
    image.page.keyboard.press("Escape")
    changed = np.any(image.pixels() != plain, axis=-1)
    slow, fast = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    x, y = image.place(slow, fast)
    near = np.abs(np.diff(np.sign(GEOMETRY.d() - 8.0), axis=0)).astype(bool)
    touched = np.zeros(SHAPE, bool)
    half = 4
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            touched |= changed[
                np.clip(y.astype(int) + dy, 0, changed.shape[0] - 1),
                np.clip(x.astype(int) + dx, 0, changed.shape[1] - 1),
            ]
    assert touched[:-1][near].mean() > 0.98
    far = np.abs(GEOMETRY.d() - 8.0) > 4.0
    assert touched[far].mean() < 0.05


def test_panels_are_drawn_as_they_stand(tmp_path, open_page):
    """Two panels with a gap, the second turned about the beam: pixels, cursor and spots stand where they do."""
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from tests.page.serving import served_service

    step, turn = 75e-6, 0.1
    panels = (
        Panel((0, 150), (0, 80), (-6.3e-3, -5.5e-3, 0.06), (0.0, step, 0.0), (step, 0.0, 0.0)),
        Panel(
            (0, 150), (80, 170), (0.4e-3, -5.6e-3, 0.06),
            (-step * np.sin(turn), step * np.cos(turn), 0.0), (step * np.cos(turn), step * np.sin(turn), 0.0),
        ),
    )  # fmt: skip
    geometry = Geometry(SHAPE, (step, step), 0.06, (73.0, 82.0), 1.0, panels=panels)
    geometry.write(tmp_path / "panels.json")
    settings = AnalysisSettings(rings=40, hit_peaks=3, geometry=str(tmp_path / "panels.json"))
    with served_service(settings) as served:
        counts = frames(2)
        served.send(counts, KEY, geometry=None)
        image = Image(open_page(served, allowed=("ERR_CONNECTION_REFUSED", "WebSocket")))
        image.wait_number(1)
        image.overlays(**NOTHING)
        image.page.get_by_label("Frame", exact=True).select_option("laboratory")
        answer = served.ask(
            "GET", "/api/v1/images/1/view?frame=laboratory&size=1000x1000", headers={"Accept": "application/x-npy"}
        )
        told = json.loads(answer.headers["x-view"])
        shown = np.load(io.BytesIO(answer.content))
        assert shown.shape == tuple(told["laboratory"]["shape"]) != SHAPE
        image.page.wait_for_timeout(1000)
        low, high = image.contrast()
        expected = indigo(shown, low, high)
        expected[shown == told["unusable"]] = UNUSABLE
        assert np.abs(image.colors(shown.shape) - expected).max() <= 0.5 + 1e-9
        # a place of the turned panel, along the rays onto the plane
        slow, fast = 100, 120
        x, y, z = (float(axis[slow, fast]) for axis in geometry.positions())
        plane = told["laboratory"]
        there = [c + at * plane["distance"] / z / step for c, at in zip(plane["beam_center"], (y, x), strict=True)]
        box = image.area.bounding_box()
        at = image.place(*there, shown.shape)
        image.page.mouse.move(box["x"] + at[0], box["y"] + at[1])
        image.wait_field("pixel", f"^{slow}, {fast}$")
        image.wait_field("counts", f"^{counts[1][slow, fast]}$")
        image.page.close()
