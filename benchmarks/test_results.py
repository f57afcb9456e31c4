"""The tables and the picture of the results are made from what the benchmark prints."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import make_results, plot_throughput
from crystint import bench
from crystint.plot import save_figure

PARTS = ("about", "times", "dtypes", "kernels", "peers", "pixels", "rings", "cores", "threads")
OPERATIONS = {"copy": 1.0, "background hybrid": 2.0, "peaks hybrid": 6.0, "FabIO densify clean": 9.0}


def row(name, copies, size=1.0):
    target = 5.0 if name.startswith("peaks") else None
    ms = copies * size
    return bench.Timing(name, ms, 2 * ms, copies, 1e3 / ms, 0.5 * ms, ms, 0.5 * copies, 2 * copies, target)


@pytest.fixture
def found():
    """What a run might have printed."""
    about = {"device": "D", "platform": "Portable Computing Language", "driver": "9", "cores": 2, "thread_gain": 1.9}
    about |= {"versions": {"crystint": "0"}, "date": "2026-11-21T00:00:00", "command": ["crystint", "bench", "a b"]}
    times = [row(name, copies) for name, copies in OPERATIONS.items()]
    kernels = [bench.KernelTime("peaks hybrid", "find_maxima", 2.0, 10.0, 20.0, 0.5), bench.KernelTime("x", "y", 1.0)]
    points = [bench.Point(size, size, [row(*one, size) for one in OPERATIONS.items()]) for size in (0.5, 4.0, 16.0)]
    report = bench.Report(about, (1000, 1200), "uint16", times, kernels, "pixels", points)
    return json.loads(json.dumps(report.to_dict()))


def test_the_page_has_a_place_for_each_part():
    text = make_results.RESULTS.read_text(encoding="utf-8")
    for part in PARTS:
        once = make_results.replace(text, part, "new")
        assert f"<!-- begin {part} -->\n\nnew\n\n<!-- end {part} -->" in once
        assert make_results.replace(once, part, "new") == once
    with pytest.raises(SystemExit, match="begin nonsense"):
        make_results.replace(text, "nonsense", "new")


def test_tables_hold_the_numbers(found):
    times = make_results.times([found, found])
    assert "| peaks hybrid | 5 | 6 | 6 | 3 | 6 | 167 | missed | 6 | 6 | 3 | 6 | 167 | missed |" in times
    assert "| background hybrid | – | 2 | 2 | 1 | 2 | 500 |  |" in times
    assert "PoCL 9" in times
    fewer = found | {"dtype": "uint32", "times": [found["times"][i] for i in (0, 2)]}
    assert "| peaks hybrid | 5 | 6 (missed) | 6 (missed) |" in make_results.dtypes([found, fewer])
    kernels = make_results.kernels(found)
    assert "| peaks hybrid | `find_maxima` | 2 | 10 | 20 | 50 % |" in kernels
    assert "| x | `y` | 1 |  |  |  |" in kernels
    assert "| FabIO densify clean | 9 | 9 | 4.5 | 9 |" in make_results.peers(found)
    over = make_results.over(found, "Mpx")
    assert "at Mpx | 0.5 | 4 | 16 |" in over
    assert "| peaks hybrid | 3 | 24 | 96 |" in over
    assert "crystint bench 'a b'" in make_results.about([found])


def test_every_line_of_the_picture_is_throughput(found, tmp_path):
    lines = plot_throughput.curves(found)
    assert lines["background hybrid"] == ([0.5, 4.0, 16.0], [500.0, 500.0, 500.0])
    save_figure(plot_throughput.draw(found), tmp_path / "throughput.png")
    assert (tmp_path / "throughput.png").stat().st_size > 10_000


def test_labels_keep_their_order_and_distance():
    places = [0.1, 0.11, 0.12, 0.5]
    moved = plot_throughput.spread(places)
    assert np.all(np.diff(moved) > 0.98 * plot_throughput.APART)
    assert moved[3] == 0.5
    assert np.mean(moved[:3]) == pytest.approx(np.mean(places[:3]))
