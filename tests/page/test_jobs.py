"""Jobs from the page: forms, progress, results as overlays, two sets compared, cancelling, reloading."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter

import numpy as np
import pytest

import crystint
from crystint.online import AnalysisSettings
from crystint.simulate import simulate
from tests.page.serving import served_service
from tests.page.waiting import expect

MADE = simulate((150, 170), frames=4, background=5.0, peaks=14, intensity=500.0, dtype="uint16", seed=3)
FRAMES = np.stack(list(MADE))
LAST = len(FRAMES) - 1
"""the image that is shown"""
LONG = 120_000


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    writer = crystint.DenseWriter(
        root / "run.h5", MADE.shape, FRAMES.dtype, geometry=MADE.geometry, mask=None, saturation=None, provenance={}
    )
    with writer:
        for frame in FRAMES:
            writer.write(frame)
    (root / "more").mkdir()
    with served_service(AnalysisSettings(rings=60, hit_peaks=3), data_root=root) as made:
        made.root = root
        made.send(FRAMES, geometry=MADE.geometry)
        yield made


def begun(page, **settings):
    """A job on peaks of run.h5, by its form; the row of it."""
    page.get_by_role("tab", name="Jobs").click()
    page.get_by_role("button", name="New job").click()
    form = page.locator(".new-job")
    form.locator("#job-input-frames").fill("run.h5")
    form.get_by_label("Name").fill(settings.pop("name"))
    for name, value in settings.items():
        form.get_by_role("textbox", name=name, exact=True).fill(value)
    form.get_by_role("button", name="Start").click()
    return page.locator(".job").first


def test_jobs_become_overlays_that_are_compared(measured, open_page):
    page = open_page(measured)
    row = begun(page, name="low", snr="4")
    expect(row).to_have_attribute("data-state", "done", timeout=LONG)
    job = measured.json("/api/v1/jobs")[0]
    assert (job["name"], job["settings"]) == ("run_peaks_low", {"snr": 4.0})
    row.locator(".job-more > summary").click()
    expect(row.locator(".job-line")).to_have_text(job["command_line"])
    assert shlex.split(job["command_line"])[-2:] == ["--snr", "4.0"]
    expect(row.locator(".job-log").last).to_contain_text("wrote")
    row = begun(page, name="high", snr="9")
    expect(row).to_have_attribute("data-state", "done", timeout=LONG)
    high = measured.json("/api/v1/jobs")[0]
    for number in (1, 0):
        page.get_by_role("tab", name="Jobs").click()
        page.locator(".job").nth(number).get_by_role("button", name="Show as overlay").click()
    counts = {
        each["id"]: len(measured.json(f"/api/v1/jobs/{each['id']}/peaks?image={LAST}")["frame"]) for each in (job, high)
    }
    for each in (job, high):
        expect(page.locator(f"[data-overlay=job-{each['id']}] .overlay-count")).to_have_text(str(counts[each["id"]]))
    assert counts[job["id"]] > counts[high["id"]] > 0
    page.get_by_label("Set A").select_option("run_peaks_low")
    page.get_by_label("Set B").select_option("run_peaks_high")
    part = page.locator("td[data-part]")
    more = counts[job["id"]] - counts[high["id"]]
    expect(part.nth(0)).to_have_text(str(more))
    expect(part.nth(2)).to_have_text("0")
    expect(part.nth(4)).to_have_text(str(counts[high["id"]]))
    page.get_by_role("button", name="Compare all images").click()
    every = [Counter(measured.json(f"/api/v1/jobs/{each['id']}/peaks")["frame"]) for each in (job, high)]
    expect(part.nth(1)).to_have_text(str(sum((every[0] - every[1]).values())))
    expect(part.nth(5)).to_have_text(str(every[1].total()))
    expect(page.get_by_text("on 4 images with spots")).to_be_visible()
    page.get_by_label("draw the difference").check()
    expect(page.get_by_text(f"only in run_peaks_low: {more}")).to_be_visible()  # legend of the image
    page.get_by_label("draw the difference").uncheck()
    page.get_by_label("Set A").select_option("Run")
    page.get_by_label("draw the difference").check()
    own = len(measured.json(f"/api/v1/images/{LAST}/spots")["spots"]["slow"])
    expect(part.nth(0)).to_have_text(str(own - counts[high["id"]]))
    expect(page.get_by_text(f"only in Run: {own - counts[high['id']]}")).to_be_visible()
    page.get_by_label("draw the difference").uncheck()
    page.get_by_label("Show Run", exact=True).uncheck()
    expect(page.get_by_text(f"{own} spots")).to_have_count(0)  # of the legend
    page.get_by_label("Show Run", exact=True).check()
    expect(page.get_by_text(f"{own} spots")).to_be_visible()
    page.get_by_label("Colour of run_peaks_low").select_option("green")
    page.get_by_label("Shape of run_peaks_low").select_option("cross")
    page.get_by_label("Show run_peaks_high").uncheck()
    page.reload()
    page.get_by_role("tab", name="Overlays").click()
    expect(page.get_by_label("Colour of run_peaks_low")).to_have_value("#009e73")
    expect(page.get_by_label("Show run_peaks_high")).not_to_be_checked()
    expect(page.locator(f"[data-overlay=job-{job['id']}] .overlay-count")).to_have_text(str(counts[job["id"]]))


def test_the_page_of_a_job_by_keyboard(measured, open_page):
    """A file chosen in its folder, a setting that is folded, a wrong one told at its field."""
    page = open_page(measured, allowed=("400", "404"))
    page.get_by_role("tab", name="Jobs").click()
    page.get_by_role("button", name="New job").focus()
    page.keyboard.press("Enter")
    form = page.locator(".new-job")
    expect(form.get_by_label("Command")).to_be_focused()
    expect(form.get_by_role("button", name="Start")).to_be_enabled(timeout=20_000)
    form.get_by_role("button", name="Start").press("Enter")
    expect(form.get_by_text("frames is missing: the frames, one sequence")).to_be_visible()
    expect(form.locator("#job-input-frames")).to_be_focused()
    form.get_by_role("button", name="Browse: the frames").press("Enter")
    form.get_by_role("option", name="run.h5").press("Enter")
    expect(form.locator("#job-input-frames")).to_have_value("run.h5")
    form.locator("summary", has_text="Corrections and background").press("Enter")
    rings = form.get_by_role("textbox", name="rings", exact=True)
    rings.press_sequentially("0")
    form.get_by_role("button", name="Start").press("Enter")
    expect(form.get_by_text("expected at least 1", exact=True)).to_be_visible()
    expect(rings).to_be_focused()
    rings.fill("")
    form.get_by_role("textbox", name="d min", exact=True).fill("3")
    form.get_by_role("textbox", name="d max", exact=True).fill("2")
    form.get_by_role("button", name="Start").press("Enter")
    expect(form.get_by_text(re.compile("expected d_min below d_max"))).to_be_visible()
    form.get_by_label("Command").select_option("compare")
    expect(form.locator("#job-input-sparse")).to_be_visible()
    expect(form.locator("#job-input-sparse")).to_have_js_property("tagName", "INPUT")


def test_progress_cancel_and_reload(measured, open_page):
    for number in range(200):
        os.link(measured.root / "run.h5", measured.root / "more" / f"part_{number}.h5")
    page = open_page(measured)
    page.get_by_role("tab", name="Jobs").click()
    page.get_by_role("button", name="New job").click()
    page.locator("#job-input-frames").fill("more/part_*.h5")
    page.locator(".new-job").get_by_role("button", name="Start").click()
    row = page.locator(".job").first
    expect(row).to_contain_text(re.compile(r"peaks [1-9]\d*/800"), timeout=LONG)
    page.reload()
    page.get_by_role("tab", name="Jobs").click()
    row = page.locator(".job").first
    expect(row).to_contain_text("part_peaks")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_have_attribute("data-state", "cancelled", timeout=LONG)
    job = measured.json("/api/v1/jobs")[0]
    assert job["state"] == "cancelled"
    expect(row).to_contain_text("cancelled")
    row.get_by_role("button", name="Again with changes").click()
    expect(page.locator("#job-input-frames")).to_have_value("more/part_*.h5")
