"""What notebooks and consoles show of results: a line, or a small table."""

from __future__ import annotations

import numpy as np
import pytest

import crystint
from crystint.simulate import simulate
from tests.conftest import DEVICES


@pytest.fixture(scope="module")
def objects():
    """One of each, by name."""
    data = simulate((60, 70), 1, background=5.0, peaks=4, intensity=900.0, dtype="uint16", seed=1)
    frame = np.asarray(data[0])
    separator = crystint.Separator(data.geometry, data.mask, rings=20, engine=crystint.Engine(DEVICES[0].id))
    sparse = separator.sparsify(frame)
    return {
        "Frames": crystint.open_frames(frame),
        "Geometry": data.geometry,
        "Separator": separator,
        "Engine": separator.engine,
        "Device": separator.engine.device,
        "SparseFrame": sparse,
        "Background": sparse.background,
        "RingMap": separator.rings,
        "Comparison": crystint.compare.compare(frame, sparse),
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Frames", "1 of 60 x 70 px, uint16"),
        ("Geometry", "60 x 70 px of 172 x 172 um, distance"),
        ("Separator", "20 rings, 60 x 70 px, hybrid"),
        ("Engine", "<Device "),
        ("Device", "GiB"),
        ("SparseFrame", "pixels kept of 60 x 70 px, uint16, snr 3"),
        ("Background", "20 rings, mean "),
        ("RingMap", "20 rings "),
        ("Comparison", "1 frame, 20 shells, exact"),
    ],
)
def test_a_result_is_a_line(objects, name, words):
    text = repr(objects[name])
    assert text.startswith(f"<{name}")
    assert words in text
    assert "\n" not in text
    assert len(text) < 200


@pytest.mark.parametrize("name", ["Frames", "Geometry", "SparseFrame", "Background", "RingMap", "Comparison"])
def test_notebooks_show_a_small_table(objects, name):
    text = objects[name]._repr_html_()
    assert text.startswith(f"<table><caption>{name}</caption>")
    assert len(text) < 3000


def test_a_background_is_a_dataset_of_xarray(objects):
    pytest.importorskip("xarray")
    background = objects["Background"]
    made = background.to_xarray()
    np.testing.assert_array_equal(made["mean"], background.mean)
    np.testing.assert_array_equal(made["q"], background.rings.q)
    assert made["mean"].dims == ("ring",)
