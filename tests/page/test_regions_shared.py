"""Values of regions on the page are those of the service and of files; conflicts, roles, the user's mask."""

from __future__ import annotations

import io
from urllib.parse import quote

import numpy as np
import pytest

import crystint
from tests.online.streams import GEOMETRY
from tests.page.region_screen import FRAMES, SHAPE, Screen, eventually, put, rois
from tests.page.serving import viewed_files
from tests.page.waiting import expect


def test_the_table_has_what_the_service_and_the_file_have(served, region_series, screen, tmp_path):
    regions = crystint.Rois((
        crystint.Roi.box("a", slow=(20, 49), fast=(30, 79)), crystint.Roi.circle("b", center=(0.0, 0.0), radius=30.0),
        crystint.Roi.azimuthal("c", q_min=0.3, q_max=0.5, phi_min_deg=350, phi_max_deg=100),
    ))  # fmt: skip
    put(served, *regions)
    region_series.more(3)
    screen.page.get_by_text("image 5", exact=False).first.wait_for()
    results = served.json(f"/api/v1/results?series={region_series.name}&from=5&to=6&rois=true")["rois"]
    details = served.json("/api/v1/rois")["details"]

    def cells(name: str) -> list[str]:
        return [text.strip() for text in screen.row(name).locator("td.number").all_inner_texts()]

    for name in regions.names:
        values = {key: column[0] for key, column in results[name].items()}
        eventually(lambda name=name: cells(name)[1:2], [str(values["sum"])])
        shown = cells(name)
        assert shown[0].removeprefix("✂ ") == str(details[name]["pixels"]) == str(values["pixels"])
        assert shown[0].startswith("✂") == details[name]["clipped"] == (name == "b")
        assert float(shown[2]) == pytest.approx(values["signal"], rel=1e-3)
        assert float(shown[3]) == pytest.approx(values["snr"], rel=1e-3)
        assert float(shown[4]) == pytest.approx(values["mean"], rel=1e-3)
        assert shown[5:] == [str(values["max"]), str(values["spots"])]
    with crystint.DenseWriter(
        tmp_path / "run.h5", SHAPE, FRAMES.dtype, geometry=GEOMETRY, mask=None, saturation=None, provenance={}
    ) as writer:
        for frame in FRAMES[:6]:
            writer.write(frame)
    members = regions.members(GEOMETRY, SHAPE)
    sums = [int(FRAMES[5].reshape(-1)[pixels].sum(dtype=np.int64)) for pixels in members.pixels]
    assert [int(cells(name)[1]) for name in regions.names] == sums
    with pytest.warns(crystint.CrystintWarning, match="clipped: b"):
        outcome = crystint.separation.sum_regions([tmp_path / "run.h5"], [tmp_path / "roi.h5"], regions)
    assert outcome.result["sum"][5].tolist() == sums
    table = crystint.read_rois(tmp_path / "roi.h5")
    assert [int(table.values[name]["sum"][5]) for name in regions.names] == sums
    screen.select("c")
    facts = screen.page.get_by_role("region", name="Selected region").locator("dl")
    expect(facts).to_contain_text(str(results["c"]["npixel"][0]), use_inner_text=True)


def test_a_region_has_values_on_an_image_that_is_held_and_in_files(served, screen, open_page, tmp_path):
    def drawn_on(screen, frame):
        screen.key("b")
        screen.drag((20.3, 30.4), (40.2, 60.7))
        cells = screen.row("box-1").locator("td.number")
        cells.first.wait_for()
        expected = str(frame[20:41, 30:61].sum(dtype=np.int64))
        eventually(lambda: cells.all_inner_texts()[1:2], [expected])
        screen.page.get_by_text("The image was looked at again").wait_for()

    screen.page.get_by_role("button", name="Live", exact=True).click()
    drawn_on(screen, FRAMES[2])
    with crystint.DenseWriter(
        tmp_path / "run_master.h5", SHAPE, FRAMES.dtype, geometry=GEOMETRY, mask=None, saturation=None, provenance={}
    ) as writer:
        for frame in FRAMES[:2]:
            writer.write(frame)
    with viewed_files(tmp_path, "run_master.h5") as viewed:
        key = viewed.json("/api/v1/files/opened")[0]["series"]
        other = Screen(open_page(viewed, f"series/{quote(key, safe='')}/image/0"), viewed)
        drawn_on(other, FRAMES[0])
        assert rois(viewed)[0]["slow_max"] == 40
        other.page.goto("about:blank")  # the service ends before the page


def test_the_loser_of_a_conflict_is_told(served, screen, open_page):
    put(
        served,
        crystint.Roi.box("a", slow=(20, 49), fast=(30, 79)),
        crystint.Roi.circle("b", center=(100, 100), radius=10),
    )
    # the browser itself says in its console that an answer was 412
    other = Screen(open_page(served, allowed=("412",)), served)
    screen.select("b")
    other.select("b")
    other.press(100, 100)
    other.page.mouse.move(*other.at(105, 100), steps=3)
    screen.type("radius", "15")
    eventually(lambda: rois(served)[1]["radius"], 15)
    other.page.mouse.move(*other.at(110, 100), steps=3)
    other.page.mouse.up()
    card = other.page.get_by_role("alertdialog")
    card.wait_for()
    cells = card.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells == ["b", "radius", "10", "10", "15"]
    assert rois(served)[1]["center"] == [100, 100]
    card.get_by_role("button", name="Put mine again").click()
    eventually(lambda: round(rois(served)[1]["center"][0]), 110)
    # the other page follows, and does not undo what is not its own
    screen.page.get_by_text("Somebody else changed the regions: b.").first.wait_for()
    screen.key("Control+z")
    screen.page.get_by_text("Somebody else changed b since").first.wait_for()
    assert round(rois(served)[1]["center"][0]) == 110


def test_who_may_look_only_cannot_draw(served, region_series, open_page):
    put(served, crystint.Roi.box("a", slow=(20, 49), fast=(30, 79)))
    screen = Screen(open_page(served, token=served.view_token), served)
    screen.select("a")
    expect(screen.page.get_by_role("button", name="Box")).to_be_disabled()
    expect(screen.page.locator("#region-slow_min")).to_be_disabled()
    screen.page.get_by_text("This session may look only").first.wait_for()
    revision = served.json("/api/v1/rois")["revision"]
    screen.key("b")
    screen.drag((30, 40), (90, 90))
    screen.key("Delete")
    assert served.json("/api/v1/rois")["revision"] == revision


def test_the_users_mask(served, region_series, screen, tmp_path):
    put(served, crystint.Roi.box("a", slow=(20, 29), fast=(30, 39)), crystint.Roi.circle("b", center=(0, 0), radius=5))
    screen.select("a")
    page = screen.page
    page.get_by_role("button", name="Panels").click()
    page.get_by_role("menuitem", name="Mask").or_(page.get_by_text("Mask", exact=True)).first.click()
    page.get_by_role("button", name="Mask region", exact=True).click()

    def masked() -> int:
        return int(served.json("/api/v1/mask?layer=user")["masked"])

    eventually(masked, 100)
    page.get_by_text("a was added to the user's mask. It applies from image").wait_for()
    user = page.get_by_role("table", name="Mask").locator("tr", has_text="user").first
    eventually(lambda: user.locator("td").first.inner_text(), "100")
    with page.expect_download() as event:
        page.get_by_role("button", name="NumPy").click()
    saved = np.load(io.BytesIO(event.value.path().read_bytes()))
    assert (saved[20:30, 30:40] != 0).all()
    page.get_by_role("button", name="Unmask region").click()
    eventually(masked, 0)
    image = np.zeros(SHAPE, np.uint8)
    image[3:5, :7] = 1
    np.save(tmp_path / "mask.npy", image)
    page.get_by_label("Upload a mask").set_input_files(tmp_path / "mask.npy")
    eventually(masked, 14)
    page.get_by_role("button", name="Clear").click()
    eventually(masked, 0)
