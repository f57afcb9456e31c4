"""Results, plots and maps over HTTP, beside plain loops."""

from __future__ import annotations

import cbor2
import numpy as np
import pytest

from crystint.model.frame_table import FrameStatus
from crystint.model.peaks import empty_peaks
from crystint.model.rois import empty_roi_values
from crystint.online.result import empty_results
from crystint.stream.messages import SeriesKey
from tests.online.test_web_security import error

KEY = SeriesKey(7, "abc")
N = 400


@pytest.fixture
def table(history):
    """A series with holes, skipped images and two regions."""
    rng = np.random.default_rng(1)
    rows = empty_results(N)
    rows["frame"] = np.sort(rng.choice(2 * N, N, replace=False))
    rows["n_spots"] = rng.integers(0, 50, N)
    rows["hit"] = rows["n_spots"] > 25
    rows["d_min"] = np.where(rng.random(N) < 0.3, np.nan, rng.uniform(1.5, 4, N))
    rows["shells"] = rng.integers(0, 9, (N, 8))
    rows["t_received"] = 10**18 + rows["frame"] * 4_000_000
    rows["t_done"] = rows["t_received"] + 30_000_000
    rows["t_start"] = 10**18 + rows["frame"] * 4_000_000 - 1000
    skipped = rng.random(N) < 0.1
    for name in ("n_spots", "hit", "shells"):
        rows[name][skipped] = -1
    rows["status"][skipped] = FrameStatus.SKIPPED
    regions = np.stack([empty_roi_values(N), empty_roi_values(N)], axis=1)
    regions["sum"] = rng.integers(0, 1000, (N, 2))
    regions["npixel"] = 5
    regions["npixel"][3, 0] = 0
    regions["max"] = np.where(regions["npixel"] > 0, 9, np.iinfo(np.int64).min)
    history.begin(KEY, {"shape": [100, 110], "grid": None})
    for part in np.array_split(np.arange(N), 9):
        peaks = [empty_peaks()] * len(part)
        history.add(KEY, rows[part], peaks, regions[part], ("a", "b"))
    return rows


def mean(values):
    values = [value for value in values if value is not None and value == value]
    return sum(values) / len(values) if values else None


def binned(rows, values, bin):
    """By a plain loop."""
    places: dict[int, list[int]] = {}
    for index, number in enumerate(rows["frame"].tolist()):
        places.setdefault(number // bin, []).append(index)
    groups = [places[key] for key in sorted(places)]
    return [mean([rows["frame"][i] for i in group]) for group in groups], [
        mean([values[i] for i in group]) for group in groups
    ]


@pytest.mark.parametrize("bin", [1, 7, 50, 10_000])
def test_points_are_means_of_bins(api, table, bin):
    plot = api.get(f"/api/v1/plots/n_spots?bin={bin}").json()
    spots = [value if value >= 0 else None for value in table["n_spots"].tolist()]
    x, y = binned(table, spots, bin)
    assert plot["series"][0]["x"] == pytest.approx(x)
    assert plot["series"][0]["y"] == pytest.approx(y)
    assert (plot["unit_x"], plot["unit_y"], plot["bin"]) == ("", "", bin)
    d_min = api.get(f"/api/v1/plots/d_min?bin={bin}").json()
    assert d_min["unit_y"] == "angstrom"
    assert d_min["series"][0]["y"] == pytest.approx(binned(table, table["d_min"].tolist(), bin)[1])


def test_the_bin_is_chosen_for_a_thousand_points(api, history):
    rows = empty_results(5000)
    rows["n_spots"] = 1
    history.add(KEY, rows)
    plot = api.get("/api/v1/plots/n_spots").json()
    assert plot["bin"] == 5
    assert len(plot["series"][0]["y"]) == 1000
    late = api.get("/api/v1/plots/n_spots?from=4990").json()
    assert late["series"][0]["x"] == list(range(4990, 5000))


@pytest.mark.parametrize("quantity", ["hit_rate", "lost", "rate_out", "t_received", "n_spots"])
@pytest.mark.parametrize("x", ["image", "time"])
def test_a_curve_goes_on_from_an_image(api, table, quantity, x):
    whole = api.get(f"/api/v1/plots/{quantity}?x={x}&bin=10").json()
    part = api.get(f"/api/v1/plots/{quantity}?x={x}&bin=10&from=300").json()
    begin = next(index for index, number in enumerate(whole["images"]) if number >= 300)
    assert part["images"] == whole["images"][begin:]
    for axis in ("x", "y"):
        assert part["series"][0][axis] == whole["series"][0][axis][begin:]
    firsts = {}
    for number in table["frame"].tolist():
        firsts.setdefault(number // 10, number)
    assert whole["images"] == list(firsts.values())


def test_the_hit_rate_is_that_of_the_last_200_looked_at(api, table):
    curve = api.get("/api/v1/plots/hit_rate?bin=1").json()["series"][0]["y"]
    for index in range(0, N, 13):
        looked = [hit for hit in table["hit"][: index + 1].tolist() if hit >= 0][-200:]
        assert curve[index] == (pytest.approx(sum(looked) / len(looked)) if looked else None)


def test_rates_latency_and_losses(api, table):
    rate = api.get("/api/v1/plots/rate_in?bin=1").json()["series"][0]["y"]
    times = table["t_received"].tolist()
    for index in range(0, N, 31):
        assert rate[index] == sum(times[index] - 10**9 < time <= times[index] for time in times)
    latency = api.get("/api/v1/plots/latency?bin=20").json()
    assert latency["unit_y"] == "s"
    assert latency["series"][0]["y"] == pytest.approx([0.03] * len(latency["series"][0]["y"]))
    lost = api.get("/api/v1/plots/lost?bin=10000").json()["series"][0]["y"]
    assert lost == [int((table["status"] == FrameStatus.SKIPPED).sum())]


def test_curves_over_time_are_in_seconds(api, table):
    plot = api.get("/api/v1/plots/n_spots?x=time&bin=1").json()
    first = int(table["frame"][0])
    assert plot["unit_x"] == "s"
    assert plot["series"][0]["x"] == pytest.approx([(int(n) - first) * 0.004 for n in table["frame"]])


def test_a_curve_for_each_region_and_each_shell(api, table):
    plot = api.get("/api/v1/plots/roi_sum?bin=1").json()
    assert [curve["name"] for curve in plot["series"]] == ["a", "b"]
    one = api.get("/api/v1/plots/roi_max?bin=1&roi=a").json()["series"]
    assert one[0]["y"][3] is None, "no pixel, no maximum"
    assert one[0]["y"][4] == 9
    assert len(api.get("/api/v1/plots/shells").json()["series"]) == 8
    error(api.get("/api/v1/plots/roi_sum?roi=c"), 404, "not_found")
    error(api.get("/api/v1/plots/n_spots?roi=a"), 400, "bad_value")


def test_every_quantity_can_be_plotted(api, table):
    names = api.get("/api/v1/plots").json()
    assert {"n_spots", "hit_rate", "roi_sum", "peakogram"} <= set(names)
    for name in names:
        response = api.get(f"/api/v1/plots/{name}")
        if name == "powder":
            error(response, 404, "not_found")
        else:
            assert response.status_code == 200, name
    assert "did you mean n_spots?" in error(api.get("/api/v1/plots/n_spot"), 404, "not_found")


def test_plots_before_any_series_are_empty(api):
    assert api.get("/api/v1/plots/n_spots").json()["series"] == [{"name": "n_spots", "x": [], "y": []}]
    assert api.get("/api/v1/plots/roi_sum").json()["series"] == []
    assert api.get("/api/v1/results").json()["total"] == 0
    error(api.get("/api/v1/plots/powder"), 404, "not_found")
    error(api.get("/api/v1/plots/n_spots?series=9"), 404, "not_found")
    error(api.get("/api/v1/grid/n_spots"), 404, "not_found")


def test_plots_as_typed_arrays_and_as_bare_numbers(api, table):
    content = cbor2.loads(api.get("/api/v1/plots/d_min?bin=1", headers={"Accept": "application/cbor"}).content)
    typed = content["series"][0]["y"]
    assert typed.tag == 86
    assert np.array_equal(np.frombuffer(typed.value, "<f8"), table["d_min"], equal_nan=True)
    bare = api.get("/api/v1/plots/d_min?bin=1", headers={"Accept": "application/octet-stream"})
    assert bare.headers["x-columns"] == f"x d_min:<f8:{N}, y d_min:<f8:{N}"
    assert np.array_equal(np.frombuffer(bare.content, "<f8")[N:], table["d_min"], equal_nan=True)


def test_results_are_columns_by_number(api, table):
    begin, end = int(table["frame"][100]), int(table["frame"][110])
    answer = api.get(f"/api/v1/results?from={begin}&to={end}&columns=n_spots,d_min&rois=true").json()
    assert answer["columns"]["frame"] == table["frame"][100:110].tolist()
    assert answer["columns"]["n_spots"] == table["n_spots"][100:110].tolist()
    assert [None if value != value else value for value in table["d_min"][100:110].tolist()] == answer["columns"][
        "d_min"
    ]
    assert set(answer["rois"]) == {"a", "b"}
    assert len(answer["rois"]["a"]["sum"]) == 10
    assert (answer["next"], answer["total"], answer["series"]) == (None, N, "7-abc")
    assert "did you mean n_spots?" in error(api.get("/api/v1/results?columns=nspots"), 400, "bad_value")
    error(api.get("/api/v1/results?from=-1"), 400, "bad_value")


@pytest.mark.parametrize("sort", ["n_spots", "-n_spots", "d_min", "-d_min", "-t_received", "frame", "-frame"])
@pytest.mark.parametrize("hits", [False, True])
def test_results_are_sorted_and_paged(api, table, sort, hits):
    name, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1
    rows = [(int(row["frame"]), row[name].item()) for row in table if not hits or row["hit"] == 1]
    unknown = [number for number, value in rows if value != value or value == -1]
    known = [row for row in rows if row[0] not in set(unknown)]
    expected = [number for number, _ in sorted(known, key=lambda row: sign * row[1])] + unknown
    numbers, total = [], len(rows)
    while len(numbers) < total:
        page = f"skip={len(numbers)}&limit=37&sort={sort}&hits={str(hits).lower()}"
        answer = api.get(f"/api/v1/results?columns=n_spots&{page}").json()
        assert answer["total"] == total
        assert len(answer["columns"]["frame"]) == min(37, total - len(numbers))
        numbers += answer["columns"]["frame"]
    assert numbers == expected
    of = dict(zip(table["frame"].tolist(), table["n_spots"].tolist()))
    assert answer["columns"]["n_spots"] == [of[number] for number in answer["columns"]["frame"]]


def test_results_are_not_sorted_by_what_is_no_column(api, table):
    error(api.get("/api/v1/results?sort=n_spot"), 400, "bad_value")
    error(api.get("/api/v1/results?sort=n_spots,d_min"), 400, "bad_value")
    error(api.get("/api/v1/results?sort=shells"), 400, "bad_value")
    assert api.get("/api/v1/results?skip=100000").json()["columns"]["frame"] == []


def test_results_of_json_go_on_where_they_ended(api, table, monkeypatch):
    monkeypatch.setattr("crystint.online.routes_results.NUMBERS_OF_JSON", 300)
    numbers, begin = [], 0
    while begin is not None:
        answer = api.get(f"/api/v1/results?columns=n_spots&from={begin}").json()
        numbers += answer["columns"]["frame"]
        assert len(answer["columns"]["frame"]) <= 150
        begin = answer["next"]
    assert numbers == table["frame"].tolist()
    whole = cbor2.loads(api.get("/api/v1/results", headers={"Accept": "application/cbor"}).content)
    assert whole["next"] is None
    shells = whole["columns"]["shells"]
    assert (shells.tag, list(shells.value[0])) == (40, [N, 8])
    assert np.array_equal(np.frombuffer(shells.value[1].value, "<i4").reshape(N, 8), table["shells"])


def grid_by_hand(numbers, values, n_fast, n_slow, vertical, snake):
    """Walk along the scan as the motor does."""
    rows, columns = (n_fast, n_slow) if vertical else (n_slow, n_fast)
    z = [[None] * columns for _ in range(rows)]
    number = 0
    for line in range(n_slow):
        places = list(range(n_fast))
        if snake and line % 2:
            places.reverse()
        for place in places:
            row, column = (place, line) if vertical else (line, place)
            if number in numbers:
                z[row][column] = values[numbers.index(number)]
            number += 1
    return z


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("snake", [False, True])
def test_a_grid_scan_is_laid_out_as_it_was_measured(api, history, vertical, snake):
    rng = np.random.default_rng(2)
    rows = empty_results(31)
    rows["frame"] = np.sort(rng.choice(36, 31, replace=False))
    rows["total_intensity"] = rng.uniform(0, 5, 31)
    grid = {"n_fast": 7, "n_slow": 5, "step_x_um": -10.0, "step_y_um": 2.5, "vertical": vertical, "snake": snake}
    history.begin(KEY, {"grid": grid})
    history.add(KEY, rows)
    answer = api.get("/api/v1/grid/total_intensity").json()
    numbers, values = rows["frame"].tolist(), rows["total_intensity"].tolist()
    assert answer["z"] == grid_by_hand(numbers, values, 7, 5, vertical, snake)
    assert answer["outside"] == sum(number >= 35 for number in numbers)
    width, height = (5, 7) if vertical else (7, 5)
    assert answer["order"] == {"n_fast": 7, "vertical": vertical, "snake": snake}
    assert answer["x"] == [-10.0 * i for i in range(width)]
    assert answer["y"] == [2.5 * i for i in range(height)]
    cells = [(value, r, c) for r, line in enumerate(answer["z"]) for c, value in enumerate(line) if value is not None]
    value, row, column = max(cells)
    best = answer["best"]
    assert (best["value"], best["row"], best["column"]) == (value, row, column)
    near = [(v, r, c) for v, r, c in cells if abs(r - row) <= 1 and abs(c - column) <= 1]
    weight = sum(v for v, _, _ in near)
    assert best["x"] == pytest.approx(sum(v * answer["x"][c] for v, _, c in near) / weight)
    assert best["y"] == pytest.approx(sum(v * answer["y"][r] for v, r, _ in near) / weight)
    assert best["image"] == numbers[values.index(value)]
    plot = api.get("/api/v1/plots/total_intensity?x=grid").json()
    assert plot["z"] == answer["z"]
    low = api.get("/api/v1/grid/total_intensity?best=low").json()["best"]
    assert low["value"] == min(cells)[0]


def test_a_grid_grows_while_it_is_measured(api, history):
    history.begin(KEY, {"grid": {"n_fast": 3, "snake": True}})
    assert api.get("/api/v1/grid/n_spots").json()["best"] is None
    rows = empty_results(4)
    rows["n_spots"] = [1, 2, 3, 4]
    history.add(KEY, rows)
    answer = api.get("/api/v1/grid/n_spots").json()
    assert answer["z"] == [[1, 2, 3], [None, None, 4]]
    error(api.get("/api/v1/grid/roi_sum"), 404, "not_found")
