"""What newcomers try: each is refused in words that say what was given, what is expected, and what to call."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import crystint
from crystint.errors import CrystintError, CrystintWarning, GeometryError, SettingError, ShapeError

PLACE = {"shape": (90, 101), "pixel_size": (1e-4, 1e-4), "distance": 0.05, "beam_center": (44.0, 52.0)}


@pytest.fixture(scope="module")
def data():
    return crystint.simulate.simulate((90, 101), 2, background=4.0, peaks=12, intensity=900.0, dtype="uint16", seed=4)


@pytest.fixture(scope="module")
def separator(data):
    return crystint.Separator(data.geometry, data.mask, rings=40)


@pytest.mark.parametrize("value", ["frame.tif", b"frame.tif", None, 7, {}])
@pytest.mark.parametrize("method", ["background", "sparsify", "peaks", "separate"])
def test_no_array_is_called_what_it_is(separator, method, value):
    with pytest.raises(
        ShapeError, match=f"frame is .*{type(value).__name__.removesuffix('Type')}.*expected an array"
    ) as caught:
        getattr(separator, method)(value)
    assert ("open_frames" in str(caught.value)) == isinstance(value, str)


def test_a_mask_that_is_a_name_is_no_shape(data):
    with pytest.raises(CrystintError, match=r"str \('mask.h5'\)"):
        crystint.Separator(data.geometry, "mask.h5", rings=20)


@pytest.mark.parametrize("name", ["snr", "snr_pick", "noise"])
@pytest.mark.parametrize("value", ["3", b"3", True])
def test_a_number_in_a_string_is_no_number(separator, data, name, value):
    with pytest.raises(SettingError, match=f"{name} is a .*{type(value).__name__}.*expected a number"):
        separator.peaks(data[0], **{name: value})
    with pytest.raises(SettingError, match="expected a number"):
        crystint.Separator(data.geometry, rings=20, snr_clip=value)


def test_the_background_of_other_rings_is_refused(separator, data):
    shape, mask = (90, 101), np.zeros((90, 101), np.uint8)
    mask[:5] = 1
    made = {
        "is of 41 rings, expected 40": crystint.Separator(data.geometry, data.mask, rings=41),
        "another mask": crystint.Separator(data.geometry, data.mask, rings=40, flat=np.full(shape, 0.5)),
        "another detector": crystint.Separator(crystint.Geometry(**PLACE), data.mask, rings=40),
    }
    for message, other in made.items():
        with pytest.raises(SettingError, match=message):
            separator.peaks(data[0], background=other.background(data[0]))
    with pytest.raises(SettingError, match=r"expected what Separator\.background gives"):
        separator.sparsify(data[0], background=3.0)
    cut = crystint.simulate.simulate((80, 101), background=4.0, dtype="uint16")
    with pytest.raises(SettingError, match=r"of a frame of \(80, 101\), expected \(90, 101\)"):
        separator.sparsify(data[0], background=crystint.Separator(cut.geometry, rings=40).background(cut[0]))


def test_the_background_of_another_frame_with_the_same_rings_is_taken(separator, data):
    background = separator.background(data[1])
    expected = separator.peaks(data[0], background=background)
    twin = crystint.Separator(data.geometry, data.mask, rings=40)
    for one in (twin.background(data[1]), pickle.loads(pickle.dumps(background))):
        assert (separator.peaks(data[0], background=one) == expected).all()


def test_write_peaks_needs_no_more_than_it_must(separator, data, tmp_path):
    peaks = np.concatenate([separator.peaks(data[i], number=i) for i in range(2)])
    with pytest.warns(CrystintWarning, match="n_frames is taken as 2"):
        crystint.write_peaks(tmp_path / "a.cxi", peaks, geometry=data.geometry)
    assert len(crystint.read_peaks(tmp_path / "a.cxi")) == len(peaks)
    crystint.write_peaks(tmp_path / "b.h5", separator.peaks(data[0]), shape=data.shape)
    with pytest.raises(SettingError, match=r"give shape=\(slow, fast\), or geometry"):
        crystint.write_peaks(tmp_path / "c.cxi", peaks)
    assert not (tmp_path / "c.cxi").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"energy": 12398.42}, "no energy: give wavelength=1, in angstrom"),
        ({"wave_length": 1.0}, "did you mean wavelength"),
        ({"colour": "red"}, "Geometry has no colour; it has shape, pixel_size"),
    ],
)
def test_a_geometry_names_what_it_has(more, message):
    with pytest.raises(GeometryError, match=message):
        crystint.Geometry(**PLACE, **more)


def test_a_geometry_names_what_it_lacks():
    with pytest.raises(GeometryError, match="needs distance, beam_center as well"):
        crystint.Geometry((90, 101), (1e-4, 1e-4))
    with pytest.raises(GeometryError, match="needs shape as well"):
        crystint.Geometry(**{name: value for name, value in PLACE.items() if name != "shape"})
    geometry = crystint.Geometry(**PLACE)
    assert pickle.loads(pickle.dumps(geometry)) == geometry


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crystint.densify("sparse.h5"), r"str \('sparse.h5'\).*open_sparse opens a file"),
        (lambda: crystint.densify(None), "sparse is None, expected a SparseFrame"),
        (lambda: crystint.simulate.simulate(100), "shape is 100, expected two whole numbers"),
        (lambda: crystint.simulate.simulate((100.5, 3)), "expected two whole numbers"),
        (lambda: crystint.simulate.simulate("100,100"), "shape is a str"),
        (lambda: crystint.plot(np.zeros((3, 3))), r"is a package: crystint.plot.plot_frame\(frame\)"),
        (lambda: crystint.compare("a.h5", "b.h5"), "crystint.compare.compare"),
        (lambda: crystint.simulate((5, 5)), "crystint.simulate.simulate"),
        (lambda: crystint.plot.plot_frame("frame.cbf"), r"frame is a str \('frame.cbf'\)"),
        (lambda: crystint.open_frames(np.zeros((2, 3, 4), np.uint16))["a"], "number of a frame is a str"),
    ],
)
def test_calls_that_cannot_be_meant_name_those_that_are(call, message):
    with pytest.raises(CrystintError, match=message):
        call()


@pytest.mark.parametrize("value", [None, 5])
def test_frames_that_are_no_names_are_called_what_they_are(value):
    with pytest.raises(SettingError, match=f"the frames are {value}, expected a path"):
        crystint.open_frames(value)
