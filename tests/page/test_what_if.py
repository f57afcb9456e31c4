"""What-if: thresholds on the held image, what they find, and how they get to the run."""

from __future__ import annotations

import re

import numpy as np
import pytest

from crystint.online import AnalysisSettings
from crystint.simulate import simulate
from tests.page.serving import served_service
from tests.page.waiting import expect

MADE = simulate((150, 170), frames=4, background=5.0, peaks=14, intensity=500.0, dtype="uint16", seed=3)
FRAMES = np.stack(list(MADE))
LAST = len(FRAMES) - 1
"""the image that is shown"""


@pytest.fixture(scope="module")
def measured():
    """A service that has seen four images and waits for more of the series."""
    with served_service(AnalysisSettings(rings=60, hit_peaks=3)) as made:
        made.send(FRAMES, geometry=MADE.geometry, part=slice(0, -1), images=9)
        yield made


def opened(open_page, served, allowed=()):
    page = open_page(served, allowed=allowed)
    page.get_by_role("tab", name="What if").click()
    expect(setting(page, "snr")).to_have_value("5")
    return page


def setting(page, name):
    return page.get_by_role("textbox", name=name, exact=True)


def cell(page, row, column):
    rows = page.get_by_role("table", name=re.compile("^The image with")).get_by_role("row")
    return rows.filter(has_text=row).get_by_role("cell").nth(column)


def test_numbers_are_those_of_the_service(measured, open_page):
    page = opened(open_page, measured)
    own = measured.json(f"/api/v1/results?from={LAST}&to={LAST + 1}&columns=n_spots")["columns"]["n_spots"][0]
    expect(cell(page, "spots", 0)).to_have_text(str(own))
    setting(page, "snr").fill("")
    setting(page, "snr").press_sequentially("9.5")
    trial = measured.ask("POST", f"/api/v1/images/{LAST}/try", json={"snr": 9.5}).json()
    expect(cell(page, "spots", 1)).to_have_text(str(trial["n_spots"]))
    assert 0 < trial["n_spots"] < own
    shown = float(cell(page, "expected by chance", 1).inner_text())
    assert shown == pytest.approx(trial["expected_false_spots"], rel=0.01)
    expect(cell(page, "hit", 1)).to_have_text("yes" if trial["hit"] else "no")
    gone = own - trial["n_spots"]
    expect(
        page.get_by_text(f"0 more than the run has, {gone} of its spots are gone, {trial['n_spots']} are in both.")
    ).to_be_visible()
    page.get_by_role("button", name="Back to the run's", exact=True).click()
    expect(setting(page, "snr")).to_have_value("5")
    expect(cell(page, "spots", 1)).to_have_text("–")


def test_a_slider_is_moved_by_mouse_and_keyboard(measured, open_page):
    page = opened(open_page, measured, allowed=("400",))
    slider = page.get_by_label("snr, slider")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=15)
    page.mouse.up()
    value = float(setting(page, "snr").input_value())
    assert 10 < value < 25
    page.keyboard.press("ArrowRight")
    assert value < float(setting(page, "snr").input_value()) < 1.1 * value
    now = float(setting(page, "snr").input_value())
    trial = measured.ask("POST", f"/api/v1/images/{LAST}/try", json={"snr": now}).json()
    expect(cell(page, "spots", 1)).to_have_text(str(trial["n_spots"]))
    connected = page.get_by_label("connected, slider")
    connected.focus()
    page.keyboard.press("End")
    expect(setting(page, "connected")).to_have_value("25")
    trouble = page.get_by_text(re.compile("connected is 25, but a patch of 3 has 9 pixels"))
    expect(trouble).to_be_visible()


def test_what_cannot_be_is_told_at_the_setting(measured, open_page):
    page = opened(open_page, measured, allowed=("400",))
    setting(page, "snr").fill("-1")
    expect(page.get_by_text("expected a number above 0")).to_be_visible()
    expect(page.get_by_role("button", name="Apply to the run")).to_be_disabled()
    setting(page, "snr").fill("1")  # below snr_pick: the service alone knows
    expect(page.get_by_text(re.compile("snr_pick is 2"))).to_be_visible()


def test_settings_get_to_the_run_and_a_conflict_is_told(measured, open_page):
    page = opened(open_page, measured, allowed=("412",))
    setting(page, "snr").fill("7")
    theirs = measured.ask("PATCH", "/api/v1/settings", json={"hit_peaks": 5})
    assert theirs.status_code == 200
    apply = page.get_by_role("button", name="Apply to the run")
    apply.click()
    expect(page.get_by_text("somebody else changed the settings meanwhile (hit_peaks 3 → 5)")).to_be_visible()
    expect(setting(page, "hit peaks")).to_have_value("5")
    expect(setting(page, "snr")).to_have_value("7")
    assert measured.json("/api/v1/settings")["values"]["snr"] == 5.0
    apply.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"from image 4 on"))).to_be_visible()
    assert measured.json("/api/v1/settings")["values"]["snr"] == 7.0
    expect(apply).to_be_disabled()


def test_who_may_only_look_may_try_and_not_apply(measured, open_page):
    page = open_page(measured, token=measured.view_token)
    page.get_by_role("tab", name="What if").click()
    setting(page, "snr pick").fill("3")
    trial = measured.ask("POST", f"/api/v1/images/{LAST}/try", json={"snr_pick": 3}).json()
    expect(cell(page, "spots", 1)).to_have_text(str(trial["n_spots"]))
    expect(page.get_by_role("button", name="Apply to the run")).to_be_disabled()
