"""Plots, maps, the strip and the tables: by mouse and keyboard, numbers on the page beside those of the API."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from crystint.simulate import simulate
from crystint.stream import End, SeriesKey, encode_end, encode_start
from tests.online.streams import image_of, start_of
from tests.page.waiting import expect

COLUMNS, ROWS = 7, 5
LOST = 17
"""an image that never comes"""
SERIES = SeriesKey(1, "scan")


@pytest.fixture(scope="module")
def scan(served: Any) -> Any:
    """A grid scan, snaked, whose middle has most spots; an image of it is missing."""
    shape = (150, 170)
    frames = []
    for number in range(COLUMNS * ROWS):
        line, place = divmod(number, COLUMNS)
        column = COLUMNS - 1 - place if line % 2 else place
        peaks = int(30 * np.exp(-((line - 2) ** 2) / 2 - (column - 4) ** 2 / 3))
        made = simulate(shape, frames=1, background=3.0, peaks=peaks, intensity=900.0, dtype="int32", seed=number + 1)
        frames.append(np.stack(list(made))[0])
    data = np.stack(frames).astype("u2")
    grid = {"n_fast": COLUMNS, "n_slow": ROWS, "step_x_um": 20.0, "step_y_um": 10.0, "snake": True}
    assert served.ask("POST", "/api/v1/start", json={"grid": grid}).status_code == 200
    rois = [
        {"name": "beam", "type": "circle", "center": [71.3, 90.2], "radius": 9},
        {"name": "corner", "type": "box", "slow_min": 0, "slow_max": 30, "fast_min": 0, "fast_max": 40},
    ]
    assert served.ask("PUT", "/api/v1/rois", json={"rois": rois}).status_code == 200
    served.service.take(encode_start(start_of(data, SERIES)))
    for number, frame in enumerate(data):
        if number != LOST:
            served.service.take(image_of(frame, SERIES, number))
    served.service.take(encode_end(End(SERIES)))
    served.wait(SERIES)
    return served


def short(value: float | None, digits: int = 5) -> str:
    """As the page tells numbers."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return str(int(value))
    return f"{value:.{digits}g}" if 1e-6 <= abs(value) < 10**digits else f"{value:.{digits - 1}e}".replace("e+0", "e")


def layout(page: Any, name: str) -> None:
    page.get_by_role("button", name="Layout").click()
    page.get_by_role("menuitemradio", name=name).click()


def panel(page: Any, kind: str) -> Any:
    return page.locator(f'[data-panel="{kind}"]:visible').first


def tab(page: Any, name: str) -> None:
    page.locator(".dv-tab", has_text=re.compile(f"^{re.escape(name)}$")).first.click()


def shown_image(page: Any, number: int) -> None:
    """The address tells which image is held."""
    page.wait_for_url(re.compile(rf"/image/{number}(\?|$)"))


def curve(served: Any, quantity: str, **query: Any) -> Any:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return served.json(f"/api/v1/plots/{quantity}?{text}")


def value_at(place: Any, name: str) -> str:
    return str(place.locator(f'[data-curve="{name}"] .plots-value').inner_text())


def test_a_plot_by_the_keyboard(scan, open_page):
    page = open_page(scan)
    tab(page, "n_spots")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    chart = place.locator(".plots-chart")
    chart.focus()
    answer = curve(scan, "n_spots")
    numbers, values = answer["series"][0]["x"], answer["series"][0]["y"]
    assert LOST in numbers or len(numbers) == COLUMNS * ROWS - 1
    page.keyboard.press("Home")
    for value in values[:6]:
        assert value_at(place, "n_spots") == short(value)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert value_at(place, "n_spots") == short(values[-2])
    page.keyboard.press("Enter")
    shown_image(page, int(numbers[-2]))
    # nearer about the cursor: the first point on the screen is another one
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/image/(2\d|30)(\?|$)"))
    page.keyboard.press("0")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    shown_image(page, 0)
    page.keyboard.press("l")
    zeros = sum(value is not None and value <= 0 for value in values)
    place.get_by_text(f"{zeros} value").wait_for()


def test_a_plot_by_the_mouse(scan, open_page):
    page = open_page(scan)
    tab(page, "n_spots")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    over = place.locator(".u-over")
    over.wait_for()
    box = over.bounding_box()
    at = {number: box["x"] + box["width"] * number / (COLUMNS * ROWS - 1) for number in range(COLUMNS * ROWS)}
    middle = box["y"] + box["height"] / 2
    page.mouse.click(at[12] + 1, middle)
    shown_image(page, 12)
    # drag: a part of it fills the plot
    page.mouse.move(at[20], middle)
    page.mouse.down()
    page.mouse.move(at[25], middle, steps=4)
    page.mouse.move(at[30], middle, steps=4)
    page.mouse.up()
    page.mouse.click(box["x"] + box["width"] / 2, middle)
    shown_image(page, 25)
    page.mouse.click(box["x"] + 4, middle)
    shown_image(page, 20)
    # move it by Shift and drag
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.mouse.click(box["x"] + 4, middle)
    shown_image(page, 15)
    page.mouse.dblclick(box["x"] + box["width"] / 2, middle)
    page.mouse.click(at[3] + 1, middle)
    shown_image(page, 3)
    # an image that never came cannot be shown, and that is told
    answer = curve(scan, "n_spots")
    if LOST in answer["images"]:
        page.mouse.click(at[LOST], middle)
        page.get_by_text(f"Image {LOST} cannot be shown").first.wait_for()


def test_quantities_regions_and_legend(scan, open_page):
    page = open_page(scan)
    tab(page, "n_spots")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    place.get_by_role("button", name="Quantities").click()
    search = page.locator(".plots-picker:popover-open > input")
    search.fill("roi_sum")
    page.locator(".plots-picker:popover-open label", has_text="roi_sum").first.click()
    page.keyboard.press("Escape")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="beam sum"]'))
    place.locator('[data-curve="corner sum"]').wait_for()
    page.locator(".dv-tab", has_text="n_spots, roi_sum").wait_for()
    answer = {each["name"]: each["y"] for each in curve(scan, "roi_sum")["series"]}
    place.locator(".plots-chart").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for name in ("beam", "corner"):
        assert value_at(place, f"{name} sum") == f"{short(answer[name][1])} count"
    entry = place.locator('[data-curve="corner sum"]')
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    # one region alone
    place.get_by_role("button", name="Regions whose").click()
    page.locator(".plots-picker:popover-open label", has_text="beam").click()
    page.keyboard.press("Escape")
    entry.wait_for(state="detached")
    # the other axes
    place.get_by_label("Horizontal axis").select_option("time")
    times = curve(scan, "n_spots", x="time")["series"][0]["x"]
    assert times[0] == 0
    place.locator(".plots-chart").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    shown_image(page, COLUMNS * ROWS - 1)


def where(box: Any, row: int, column: int) -> tuple[float, float]:
    """The middle of a cell on the canvas, by hand: 62 px for the numbers of y, 84 for the colours, true to scale."""
    scale = min((box["width"] - 146) / (20 * COLUMNS), (box["height"] - 54) / (10 * ROWS))
    return box["x"] + 62 + (column + 0.5) * 20 * scale, box["y"] + 10 + (row + 0.5) * 10 * scale


def test_a_map(scan, open_page):
    page = open_page(scan)
    layout(page, "Grid scan")
    place = panel(page, "map")
    answer = scan.json("/api/v1/grid/n_spots")
    best = answer["best"]
    x, y = answer["x"][best["column"]], answer["y"][best["row"]]
    words = f"best {short(best['value'])} at x {short(x)}, y {short(y)} µm (image {best['image']})"
    place.get_by_text(words).wait_for()
    place.get_by_text(f"centre of mass about it x {short(best['x'])}, y {short(best['y'])} µm").wait_for()
    canvas = place.locator("canvas")
    box = canvas.bounding_box()
    for row, column in ((0, 0), (1, 0), (3, 6), (2, 3)):
        page.mouse.move(*where(box, row, column))
        number = row * COLUMNS + (COLUMNS - 1 - column if row % 2 else column)
        value = short(answer["z"][row][column])
        text = f"image {number} · x {20 * column}, y {10 * row} µm · n_spots {value}"
        place.get_by_text(text, exact=True).wait_for()
    page.mouse.click(*where(box, best["row"], best["column"]))
    shown_image(page, best["image"])
    # the keyboard: from there one cell down and two to the left
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    row, column = best["row"] + 1, best["column"] - 2
    number = row * COLUMNS + (COLUMNS - 1 - column if row % 2 else column)
    place.get_by_text(f"image {number} ·").wait_for()
    page.keyboard.press("Enter")
    shown_image(page, number)
    # the lost image has no value
    page.mouse.move(*where(box, 2, 3))
    place.get_by_text("n_spots –").wait_for()
    # another quantity, and low values are good
    place.get_by_label("Quantity").select_option("background")
    low = scan.json("/api/v1/grid/background?best=low")["best"]
    if low is not None:
        place.get_by_text(f"(image {low['image']})").wait_for()


def test_the_strip_has_the_books(scan, open_page):
    page = open_page(scan)
    place = panel(page, "strip")
    status = scan.json("/api/v1/status")["series"]["books"]
    strip = scan.json("/api/v1/strip")["status"]
    total = COLUMNS * ROWS
    assert (status["expected"], status["received"], status["missing"]) == (total, total - 1, 1)
    hits = sum(strip["hit"])
    words = (
        f"{total} expected, {total - 1} received: {status['analysed']} analysed ({hits} hits), "
        f"{status['skipped']} skipped, {status['failed']} failed · 1 missing · {status['late']} late"
    )
    place.get_by_text(words, exact=True).wait_for()
    box = place.locator("canvas").bounding_box()
    wide = box["width"] - 76 - 74
    x = box["x"] + 76 + wide * (LOST + 0.5) / total
    y = box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    place.get_by_text(f"image {LOST}: missing", exact=True).wait_for()
    hit = strip["hit"].index(1)
    page.mouse.click(box["x"] + 76 + wide * (hit + 0.5) / total, y)
    place.get_by_text(f"image {hit}: hit, analysed", exact=True).wait_for()
    shown_image(page, hit)
    # zoom by drag, then by keys
    page.mouse.move(box["x"] + 76 + wide * 10.5 / total, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 76 + wide * 19.5 / total, y, steps=5)
    page.mouse.up()
    page.mouse.move(box["x"] + 76 + 2, y)
    place.get_by_text("image 10:").wait_for()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Home")
    place.get_by_text("image 13:").wait_for()
    page.keyboard.press("0")
    page.keyboard.press("End")
    place.get_by_text(f"image {total - 1}:").wait_for()
    page.keyboard.press("Enter")
    shown_image(page, total - 1)


def cells(place: Any, row: int) -> list[str]:
    return [
        str(each)
        for each in place.locator(f'[role="row"][aria-rowindex="{row + 2}"] [role="gridcell"]').all_inner_texts()
    ]


def test_the_table_of_images(scan, open_page):
    page = open_page(scan)
    tab(page, "Images")
    place = panel(page, "images")
    place.get_by_text(f"{COLUMNS * ROWS} images", exact=True).wait_for()
    names = ["frame", "n_spots", "score"]
    answer = scan.json("/api/v1/results?columns=n_spots,score")["columns"]
    titles = [each.split()[0] for each in place.locator('[role="columnheader"]').all_inner_texts()]
    at = [titles.index("image" if name == "frame" else name) for name in names]
    place.locator('[role="gridcell"]', has_text=re.compile("^ok$")).first.wait_for()
    for row in range(5):
        now = cells(place, row)
        for name, column in zip(names, at):
            value = answer[name][row]
            assert now[column] == short(None if value == -1 else value)
    # sorted by the service
    title = place.get_by_role("button", name=re.compile("^n_spots"))
    title.click()
    title = place.get_by_role("columnheader", name=re.compile("^n_spots"))
    expect(title).to_have_attribute("aria-sort", "ascending")
    place.get_by_role("button", name=re.compile("^n_spots")).click()
    first = scan.json("/api/v1/results?columns=n_spots&sort=-n_spots")["columns"]
    place.locator('[role="row"][aria-rowindex="2"]', has_text=re.compile(f"^{first['frame'][0]}ok")).wait_for()
    assert cells(place, 0)[at[1]] == short(first["n_spots"][0])
    place.locator('[role="row"][aria-rowindex="3"]').click()
    shown_image(page, first["frame"][1])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    shown_image(page, first["frame"][2])
    page.keyboard.press("End")
    row = place.locator('[role="row"][aria-selected="true"]')
    expect(row).to_have_attribute("aria-rowindex", str(COLUMNS * ROWS + 1))
    # hits alone, and a column of a region
    hits = scan.json("/api/v1/results?hits=true")["total"]
    place.get_by_role("button", name="hits").click()
    place.get_by_text(f"{hits} hits", exact=True).wait_for()
    place.get_by_role("button", name="Columns").click()
    page.locator(".plots-picker:popover-open label", has_text="background").first.wait_for()
    page.locator('.plots-picker:popover-open input[value="beam:sum"]').click()
    page.keyboard.press("Escape")
    place.get_by_role("button", name=re.compile("^beam sum")).wait_for()
    sums = scan.json("/api/v1/results?columns=n_spots&sort=-n_spots&hits=true&rois=true")["rois"]["beam"]["sum"]
    place.locator('[role="row"][aria-rowindex="2"]', has_text=re.compile(f"{sums[0]}$")).wait_for()


def test_the_table_of_spots(scan, open_page):
    page = open_page(scan)
    number = scan.json("/api/v1/grid/n_spots")["best"]["image"]
    answer = scan.json(f"/api/v1/images/{number}/spots")["spots"]
    tab(page, "n_spots")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    box = place.locator(".u-over").bounding_box()
    page.mouse.click(box["x"] + box["width"] * number / (COLUMNS * ROWS - 1), box["y"] + box["height"] / 2)
    shown_image(page, number)
    tab(page, "Spots")
    place = panel(page, "spots")
    count = len(answer["slow"])
    place.get_by_text(f"image {number}: {count} spots").wait_for()
    titles = [each.split()[0] for each in place.locator('[role="columnheader"]').all_inner_texts()]
    assert {"#", "slow", "fast", "intensity", "sigma", "d", "flags"} <= set(titles)
    row = cells(place, 1)
    assert row[titles.index("#")] == "1"
    assert row[titles.index("slow")] == f"{answer['slow'][1]:.2f}"
    assert row[titles.index("intensity")] == short(answer["intensity"][1])
    for _ in range(2):
        place.get_by_role("button", name=re.compile("^intensity")).click()
    order = sorted(range(count), key=lambda spot: -answer["intensity"][spot])
    place.locator('[role="row"][aria-rowindex="2"]', has_text=re.compile(f"^{order[0]}")).wait_for()
    assert [cells(place, row)[0] for row in range(4)] == [str(spot) for spot in order[:4]]
    place.locator(".long-table").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_url(re.compile(rf"spot={order[1]}(&|$)"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("part="))
    low, high = (float(each) for each in re.search(r"part=([-\d.]+):([-\d.]+)", page.url).groups())
    assert low <= answer["slow"][order[1]] <= high
    flagged = [spot for spot in range(count) if answer["flags"][spot] & 4]
    place.get_by_label("Spots with a flag").select_option("edge")
    text = f"image {number}: {count} spots" + ("" if len(flagged) == count else f", {len(flagged)} shown")
    place.get_by_text(text).wait_for()


def test_background_histogram_and_distributions(scan, open_page):
    page = open_page(scan)
    number = scan.json("/api/v1/grid/n_spots")["best"]["image"]
    tab(page, "n_spots")
    plot = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    box = plot.locator(".u-over").bounding_box()
    page.mouse.click(box["x"] + box["width"] * number / (COLUMNS * ROWS - 1), box["y"] + box["height"] / 2)
    shown_image(page, number)

    tab(page, "Background")
    place = panel(page, "profile")
    name = f"image {number}"
    place.locator(f'[data-curve="{name}"]').wait_for()
    answer = scan.json(f"/api/v1/images/{number}/profile")
    pairs = sorted((q, value) for q, value in zip(answer["q"], answer["background"]) if q is not None)
    place.locator(".plots-chart").focus()
    page.keyboard.press("Home")
    for _, value in pairs[:4]:
        assert value_at(place, name).removesuffix(" count") == short(value)
        page.keyboard.press("ArrowRight")
    place.get_by_role("button", name="Pin").click()
    place.get_by_role("button", name=f"pinned {number}").first.wait_for()

    tab(page, "Histogram")
    place = panel(page, "histogram")
    answer = scan.json(f"/api/v1/images/{number}/histogram?bins=200&layer=counts")
    place.get_by_text(f"{name}: {sum(answer['counts'])} pixels, {answer['unusable']} without a usable value").wait_for()
    place.locator(".plots-chart").focus()
    page.keyboard.press("Home")
    assert place.locator(".plots-chart .hidden-words").inner_text().endswith(f"pixels {answer['counts'][0]}")

    tab(page, "All spots")
    place = panel(page, "distributions")
    place.get_by_role("combobox", name="All spots").select_option("powder")
    place.get_by_text("spots by their place on the detector").wait_for()
    place.locator(".plots-heat").focus()
    page.keyboard.press("Home")
    powder = curve(scan, "powder")
    value = powder["z"][0][0]
    place.get_by_text(
        f"slow (px) {short(powder['y'][0])}, fast (px) {short(powder['x'][0])} · {short(value)} spots"
    ).wait_for()
    place.get_by_role("combobox", name="All spots").select_option("peakogram")
    place.get_by_text("spots by 1/d and intensity").wait_for()


def test_plots_leave_nothing_behind(scan, open_page):
    page = open_page(scan)
    tab(page, "n_spots")
    place = page.locator('[data-panel="plot"]:visible', has=page.locator('[data-curve="n_spots"]'))
    place.locator(".u-over").wait_for()
    client = page.context.new_cdp_session(page)

    def measured() -> tuple[float, float]:
        client.send("HeapProfiler.collectGarbage")
        client.send("Performance.enable")
        metrics = {each["name"]: each["value"] for each in client.send("Performance.getMetrics")["metrics"]}
        return metrics["JSHeapUsedSize"] / 2**20, metrics["Nodes"]

    def work(times: int) -> None:
        # each makes another uPlot, with other axes
        page.evaluate(
            """async (times) => {
                const log = [...document.querySelectorAll('[data-panel="plot"]')].map(
                    (each) => each.querySelector('button[title="Logarithmic axis"]')).filter((each) => each);
                for (let n = 0; n < times; n += 1) {
                    log[n % log.length].click();
                    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
                }
            }""",
            times,
        )

    work(40)
    charts = page.locator(".uplot").count()
    heap, nodes = measured()
    work(120)
    later, more = measured()
    expect(page.locator(".uplot")).to_have_count(charts)
    assert more - nodes < 200
    assert later - heap < 4
