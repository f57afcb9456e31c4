"""Files below the data root, opened and closed from the page."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from crystint.online import AnalysisSettings
from tests.online.streams import frames_of
from tests.page.desk import choose
from tests.page.serving import served_service
from tests.page.waiting import expect

FRAMES = frames_of(count=3, seed=4)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "visit").mkdir()
    with h5py.File(root / "visit" / "scan.h5", "w") as file:
        file["entry/data/data"] = FRAMES
    (root / "notes.txt").write_text("no frames", encoding="utf-8")
    with served_service(AnalysisSettings(rings=60, hit_peaks=3), data_root=root) as made:
        yield made


def test_a_file_is_opened_looked_at_and_closed(measured, open_page):
    page = open_page(measured, allowed=("404",))  # what was asked of the file when it was closed
    choose(page, "Panels", "Files")
    files = page.get_by_role("list", name="Files below the data root")
    files.get_by_role("button", name="visit/").click()
    files.get_by_role("button", name="scan.h5").click()
    expect(page.get_by_label("Number of the image")).to_have_value("0", timeout=30_000)
    opened = page.get_by_role("list", name="Files that are open")
    expect(opened.get_by_role("listitem")).to_have_count(1)
    assert [each["series"] for each in measured.json("/api/v1/files/opened")] == ["file:visit/scan.h5"]
    view = measured.ask("GET", "/api/v1/images/0?series=file:visit/scan.h5", headers={"Accept": "application/x-npy"})
    assert np.array_equal(
        np.frombuffer(view.content[-FRAMES[0].nbytes :], FRAMES.dtype).reshape(FRAMES[0].shape), FRAMES[0]
    )
    opened.get_by_role("button", name="Close visit/scan.h5").click()
    expect(opened.get_by_role("listitem")).to_have_count(0)
    assert measured.json("/api/v1/files/opened") == []


def test_what_is_no_file_of_frames_is_told(measured, open_page):
    page = open_page(measured, allowed=("400", "404"))
    choose(page, "Panels", "Files")
    page.get_by_role("list", name="Files below the data root").get_by_role("button", name="notes.txt").click()
    page.get_by_text("notes.txt").nth(1).wait_for()
    assert measured.json("/api/v1/files/opened") == []
