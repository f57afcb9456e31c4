"""Regions of interest on the image, with the mouse: each kind is drawn, moved, resized and deleted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.online.streams import GEOMETRY
from tests.page.region_screen import eventually, rois
from tests.page.waiting import expect


def test_a_box_is_drawn_moved_resized_and_deleted_with_the_mouse(served, region_series, screen):
    screen.key("b")
    screen.drag((20.3, 30.4), (40.2, 60.7))
    box = {"name": "box-1", "type": "box", "slow_min": 20, "slow_max": 40, "fast_min": 30, "fast_max": 60}
    eventually(lambda: rois(served), [box])
    expect(screen.row("box-1")).to_have_attribute("aria-selected", "true")
    screen.press(30.0, 45.0)  # inside: moved, while images come
    screen.page.mouse.move(*screen.at(40.0, 40.0), steps=3)
    region_series.more(2)
    screen.page.mouse.move(*screen.at(45.2, 35.1), steps=3)
    screen.page.mouse.up()
    box |= {"slow_min": 35, "slow_max": 55, "fast_min": 20, "fast_max": 50}
    eventually(lambda: rois(served), [box])
    screen.drag((56.0, 51.0), (60.1, 49.2))  # the lower right corner
    box |= {"slow_max": 59, "fast_max": 48}
    eventually(lambda: rois(served), [box])
    screen.drag((35.0, 34.5), (70.0, 34.5))  # the upper border, beyond the lower one
    box |= {"slow_min": 60, "slow_max": 69}
    eventually(lambda: rois(served), [box])
    screen.key("Delete")
    eventually(lambda: rois(served), [])


def test_a_circle_is_drawn_moved_resized_and_deleted_with_the_mouse(served, screen):
    screen.page.get_by_role("button", name="Circle").click()
    screen.drag((60.0, 80.0), (60.0, 100.0))
    circle = eventually(lambda: len(rois(served)), 1) and rois(served)[0]
    assert circle["center"] == pytest.approx((60.0, 80.0), abs=screen.pixel)
    assert circle["radius"] == pytest.approx(20.0, abs=2 * screen.pixel)
    screen.drag((80.0, 80.0), (90.0, 80.0))  # the lowest place of its rim
    eventually(lambda: rois(served)[0]["radius"] == pytest.approx(30.0, abs=2 * screen.pixel))
    screen.drag((70.0, 90.0), (60.0, 85.0))
    eventually(lambda: rois(served)[0]["center"] == pytest.approx((50.0, 75.0), abs=2 * screen.pixel))
    screen.page.get_by_role("button", name="Delete").click()
    eventually(lambda: rois(served), [])


def test_a_sector_is_drawn_moved_resized_and_deleted_with_the_mouse(served, screen):
    def q(slow: float, fast: float) -> float:
        return float(GEOMETRY.q_at(slow, fast))

    def phi(slow: float, fast: float) -> float:
        return float(np.degrees(np.arctan2(slow - GEOMETRY.beam_center[0], fast - GEOMETRY.beam_center[1])) % 360)

    def sector() -> list[float]:
        region = rois(served)[0]
        return [region[key] for key in ("q_min", "q_max", "phi_min_deg", "phi_max_deg")]

    first, last = (60.0, 130.0), (100.0, 150.0)
    near = {"abs": 0.01, "rel": 0.01}
    screen.key("s")
    screen.drag(first, last)
    eventually(lambda: len(rois(served)), 1)
    assert sector() == pytest.approx([q(*first), q(*last), phi(*first), phi(*last)], **near)
    slow, fast = GEOMETRY.beam_center
    angle = np.radians(0.5 * (phi(*first) - 360 + phi(*last)))  # where the handles of q are
    way = np.array([np.sin(angle), np.cos(angle)])
    outer = np.hypot(last[0] - slow, last[1] - fast)
    start, stop = (slow, fast) + outer * way, (slow, fast) + (outer + 8) * way
    screen.drag(tuple(start), tuple(stop))
    eventually(lambda: sector() == pytest.approx([q(*first), q(*stop), phi(*first), phi(*last)], **near))
    middle = (slow, fast) + (outer - 5) * way
    turn = np.radians(20)
    turned = (slow, fast) + (outer - 5) * np.array([np.sin(angle + turn), np.cos(angle + turn)])
    screen.drag(tuple(middle), tuple(turned))
    expected = [q(*first), q(*stop), (phi(*first) + 20) % 360, (phi(*last) + 20) % 360]
    eventually(lambda: sector() == pytest.approx(expected, abs=0.5))
    screen.key("Delete")
    eventually(lambda: rois(served), [])
    screen.key("s")
    screen.drag((slow + 20, fast), (slow + 40, fast))  # straight outwards: a whole ring
    eventually(lambda: len(rois(served)), 1)
    assert rois(served)[0].keys() == {"name", "type", "q_min", "q_max"}
    assert rois(served)[0]["q_min"] == pytest.approx(q(slow + 20, fast), rel=0.02)


def test_a_polygon_is_drawn_changed_and_deleted_with_the_mouse(served, screen):
    def corners() -> Any:
        return np.array(rois(served)[0]["corners"])

    places = [(20, 20), (60, 30), (50, 80), (25, 70)]
    screen.key("p")
    for place in places:
        screen.click(*place)
    screen.key("Enter")
    eventually(lambda: len(rois(served)), 1)
    assert corners() == pytest.approx(np.array(places), abs=screen.pixel)
    screen.drag((60, 30), (70, 35))
    eventually(lambda: corners()[1] == pytest.approx([70, 35], abs=2 * screen.pixel))
    screen.drag((22.5, 45), (10, 45))  # the middle of an edge: another corner
    eventually(lambda: corners().shape, (5, 2))
    assert corners()[4] == pytest.approx([10, 45], abs=2 * screen.pixel)
    screen.page.mouse.click(*screen.at(10, 45), button="right")
    eventually(lambda: corners().shape, (4, 2))
    screen.drag((45, 50), (55, 60))
    eventually(lambda: corners()[0] == pytest.approx([30, 30], abs=2 * screen.pixel))
    screen.key("Delete")
    eventually(lambda: rois(served), [])


def test_escape_ends_a_drag_and_a_polygon_without_a_trace(served, screen):
    revision = served.json("/api/v1/rois")["revision"]
    screen.key("b")
    screen.press(20, 20)
    screen.page.mouse.move(*screen.at(40, 40), steps=3)
    screen.page.keyboard.press("Escape")
    screen.page.mouse.up()
    screen.key("p")
    screen.click(30, 30)
    screen.click(60, 30)
    screen.key("Escape")
    screen.key("Escape")
    expect(screen.page.get_by_role("button", name="Select")).to_have_attribute("aria-pressed", "true")
    assert served.json("/api/v1/rois")["revision"] == revision
