"""Regions of interest on the page, by keys and in numbers; undo, reload, files."""

from __future__ import annotations

import json

import numpy as np
import pytest

import crystint
from tests.online.streams import GEOMETRY
from tests.page.region_screen import Screen, eventually, names, put, rois
from tests.page.waiting import expect


def test_keys_move_copy_and_undo(served, screen):
    put(
        served,
        crystint.Roi.box("a", slow=(20, 29), fast=(30, 49)),
        crystint.Roi.azimuthal("s", q_min=0.4, q_max=0.5, phi_min_deg=10, phi_max_deg=60),
    )
    screen.select("a")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "ArrowUp"):
        screen.key(key)
    moved = {"slow_min": 29, "slow_max": 38, "fast_min": 32, "fast_max": 51}
    eventually(lambda: {key: rois(served)[0][key] for key in moved}, moved)
    screen.key("Control+d")
    eventually(lambda: names(served), ["a", "s", "a-1"])
    expect(screen.row("a-1")).to_have_attribute("aria-selected", "true")
    screen.key("Control+z")
    screen.key("Control+z")
    eventually(lambda: (names(served), rois(served)[0]["slow_min"]), (["a", "s"], 20))
    screen.key("Control+Shift+Z")
    eventually(lambda: rois(served)[0]["slow_min"], 29)
    screen.select("s")
    screen.key("Shift+ArrowRight")
    eventually(lambda: (rois(served)[1]["phi_min_deg"], rois(served)[1]["phi_max_deg"]), (15, 65))
    before = rois(served)[1]
    screen.key("ArrowUp")
    eventually(lambda: rois(served)[1]["q_min"] > before["q_min"])
    angle, (slow, fast) = np.radians(40), GEOMETRY.beam_center
    radius = GEOMETRY.distance * np.tan(2 * np.arcsin(0.45 / (4 * np.pi))) / GEOMETRY.pixel_size[0]
    step = [float(GEOMETRY.q_at(slow + r * np.sin(angle), fast + r * np.cos(angle))) for r in (radius, radius + 1)]
    assert rois(served)[1]["q_max"] - 0.5 == pytest.approx(step[1] - step[0], rel=0.02)


def test_a_region_without_a_mouse(served, screen):
    screen.key("c")
    screen.key("Enter")
    eventually(lambda: names(served), ["circle-1"])
    assert rois(served)[0]["center"] == pytest.approx((75, 85), abs=10)


def test_numbers_are_typed_in_and_what_is_refused_is_put_back(served, region_series, open_page):
    # the browser itself says in its console that an answer was 400
    screen = Screen(open_page(served, allowed=("400",)), served)
    put(served, crystint.Roi.circle("c", center=(60, 70), radius=9), crystint.Roi.azimuthal("ring", d_min=10, d_max=20))
    screen.select("c")
    screen.type("radius", "12.5")
    screen.type("centre, slow", "55")
    eventually(lambda: rois(served)[0], {"name": "c", "type": "circle", "center": [55, 70], "radius": 12.5})
    form = screen.page.get_by_role("region", name="Selected region")
    screen.type("radius", "-3")
    form.get_by_text("expected px above 0").wait_for()
    expect(form.get_by_label("radius")).to_have_attribute("aria-invalid", "true")
    assert rois(served)[0]["radius"] == 12.5
    screen.type("radius", "wide")
    form.get_by_text("is no number").wait_for()
    screen.type("radius", "8")
    eventually(lambda: rois(served)[0]["radius"], 8)
    screen.type("name", "a b")
    form.get_by_text("expected 1 to 64 of the characters").wait_for()
    expect(form.get_by_label("name")).to_have_value("c")
    screen.type("name", "core")
    eventually(lambda: names(served), ["core", "ring"])
    screen.select("ring")
    screen.type("φ from", "30")
    eventually(lambda: [rois(served)[1].get(f"phi_{end}_deg") for end in ("min", "max")], [30, 120])
    screen.type("φ to", "")
    eventually(lambda: rois(served)[1].keys(), {"name", "type", "d_min", "d_max"})


def test_all_is_there_again_after_a_reload(served, screen):
    screen.key("b")
    screen.drag((20.3, 30.4), (40.2, 60.7))
    eventually(lambda: names(served), ["box-1"])
    screen.page.get_by_label("Show box-1 on the image").uncheck()
    screen.page.reload()
    again = Screen(screen.page, served)
    again.row("box-1").wait_for()
    expect(again.row("box-1")).to_contain_text("slow 20–40, fast 30–60", use_inner_text=True)


def test_regions_go_to_a_file_and_come_back(served, screen, tmp_path):
    document = crystint.Rois(
        (crystint.Roi.box("a", slow=(20, 49), fast=(30, 79)), crystint.Roi.polygon("p", [(1, 1), (40, 2), (3, 50.5)]))
    )
    put(served, *document)
    screen.row("p").wait_for()
    with screen.page.expect_download() as event:
        screen.page.get_by_title("Save all regions").click()
    path = tmp_path / "regions.json"
    event.value.save_as(path)
    assert crystint.Rois.from_dict(json.loads(path.read_text())) == document
    put(served)
    eventually(lambda: screen.row("p").count(), 0)
    screen.page.get_by_label("Import a document of regions").set_input_files(path)
    eventually(lambda: crystint.Rois.from_dict({"rois": rois(served)}) == document)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"box": {"rois": []}}')
    screen.page.get_by_label("Import a document of regions").set_input_files(wrong)
    screen.page.get_by_text("is not imported").first.wait_for()
    assert len(rois(served)) == 2
