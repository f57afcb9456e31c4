"""Dense NXmx files: FabIO, crystint and DIALS read the frames and the geometry."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from crystint.errors import DTypeError, FileError, SettingError, ShapeError
from crystint.io.frames.sequence import open_frames
from crystint.io.geometry.files import read_geometry
from crystint.io.hdf5.provenance import provenance
from crystint.io.sparse.dense_file import DenseWriter
from crystint.model.geometry import Geometry
from tests.stills.dials import run_dials, run_dials_python

SHAPE = (120, 90)
GEOMETRY = Geometry(shape=SHAPE, pixel_size=(1e-4, 2e-4), distance=0.08, beam_center=(50.25, 40.75), wavelength=0.9876)
TILTED = replace(GEOMETRY, rotation=(0.06, -0.04, 0.7), beam_outside=True)
RECORD = provenance({"seed": 0}, ["sparse.h5"], ["crystint", "densify"])
DTYPES = [np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.float32]


def save(path: Path, frames: NDArray[Any], **more: Any) -> Path:
    more = {"geometry": GEOMETRY, "mask": None, "saturation": None, "provenance": RECORD, **more}
    with DenseWriter(path, frames.shape[1:], frames.dtype, **more) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("compression", ["bslz4", "gzip", "none"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fabio_and_crystint_read_the_frames(
    tmp_path: Path, rng: np.random.Generator, dtype: Any, compression: str
) -> None:
    frames = rng.poisson(3, (3, *SHAPE)).astype(dtype)
    frames[1, 5, 7] = 16777217 if np.dtype(dtype).itemsize == 4 else 113
    mask = np.zeros(SHAPE, np.uint32)
    mask[3, 4] = 1 << 8
    path = save(tmp_path / "d.h5", frames, mask=mask, saturation=100, compression=compression)
    image = fabio.open(path)
    assert type(image).__name__ == "EigerImage"
    assert image.nframes == 3
    for number, frame in enumerate(frames):
        by_fabio = image.getframe(number).data
        assert by_fabio.dtype == frame.dtype
        np.testing.assert_array_equal(by_fabio, frame)
    image.close()
    with open_frames(path) as ours:
        assert (len(ours), ours.shape, ours.dtype) == (3, SHAPE, np.dtype(dtype))
        np.testing.assert_array_equal(ours[2], frames[2])
        assert ours.mask is not None
        np.testing.assert_array_equal(ours.mask, mask)
        assert ours.saturation == 100


@pytest.mark.parametrize("geometry", [GEOMETRY, TILTED])
def test_geometry_is_read_again(tmp_path: Path, geometry: Geometry) -> None:
    again = read_geometry(save(tmp_path / "d.h5", np.zeros((1, *SHAPE), np.int32), geometry=geometry))
    for one, other in zip(again.positions(), geometry.positions(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert again.wavelength == pytest.approx(geometry.wavelength, rel=1e-12)
    assert again.direct_beam == pytest.approx(geometry.direct_beam, abs=1e-9)


def test_plain_values_of_nxmx(tmp_path: Path) -> None:
    path = save(tmp_path / "d.h5", np.zeros((2, *SHAPE), np.uint16), saturation=60000, exposure=0.01)
    with h5py.File(path) as file:
        detector = file["entry/instrument/detector"]
        assert file["entry/definition"].asstr()[()] == "NXmx"
        assert detector["beam_center_x"][()] == 40.75
        assert detector["beam_center_y"][()] == 50.25
        assert detector["x_pixel_size"][()] == 2e-4
        assert detector["y_pixel_size"][()] == 1e-4
        assert detector["distance"][()] == pytest.approx(0.08)
        assert detector["saturation_value"][()] == 60000
        assert detector["bit_depth_image"][()] == 16
        assert detector["count_time"][()] == 0.01
        assert detector["pixel_mask"].dtype == np.uint32
        assert file["entry/data/data"].chunks == (1, *SHAPE)
        assert json.loads(file["entry/densify/configuration/data"].asstr()[()]) == RECORD


@pytest.mark.parametrize("geometry", [GEOMETRY, TILTED])
def test_dials_agrees_about_the_geometry(tmp_path: Path, rng: np.random.Generator, geometry: Geometry) -> None:
    """Import it, and compare what dxtbx makes of it; its laboratory has y and z turned round."""
    frames = rng.poisson(3, (2, *SHAPE)).astype(np.int32)
    frames[:, 60:63, 30:33] += 40
    frames[1, 20:23, 50:53] += 60
    mask = np.zeros(SHAPE, np.uint32)
    mask[100:] = 1
    save(tmp_path / "d.h5", frames, geometry=geometry, mask=mask, saturation=70, compression="gzip")
    assert "num images: 2" in run_dials("dials.import", "d.h5", folder=tmp_path)
    pixels = [(0, 0), (17, 83), (119, 89)]
    code = f"""
import json
from dxtbx.model.experiment_list import ExperimentListFactory
experiments = ExperimentListFactory.from_json_file("imported.expt")
panel, beam, images = experiments[0].detector[0], experiments[0].beam, experiments[0].imageset
print(json.dumps({{
    "beam": panel.get_beam_centre_px(beam.get_s0()), "distance": panel.get_directed_distance(),
    "wavelength": beam.get_wavelength(), "pixel": panel.get_pixel_size(), "range": panel.get_trusted_range(),
    "lab": [panel.get_pixel_lab_coord((fast + 0.5, slow + 0.5)) for slow, fast in {pixels}],
    "goniometer": str(experiments[0].goniometer), "sum": int(sum(images.get_raw_data(0)[0])),
    "good": images.get_mask(0)[0].count(True), "number": len(experiments),
}}))
"""
    by_dials = json.loads(run_dials_python(code, tmp_path))
    assert by_dials["beam"][::-1] == pytest.approx(geometry.direct_beam, abs=1e-6)
    assert by_dials["distance"] == pytest.approx(1e3 * geometry.distance, abs=1e-6)
    assert by_dials["wavelength"] == pytest.approx(geometry.wavelength, abs=1e-9)
    assert by_dials["pixel"][::-1] == pytest.approx([1e3 * size for size in geometry.pixel_size])
    x, y, z = (1e3 * axis for axis in geometry.positions())
    ours = [(x[at], -y[at], -z[at]) for at in pixels]
    np.testing.assert_allclose(by_dials["lab"], ours, atol=1e-6)
    assert by_dials["goniometer"] == "None"
    assert by_dials["sum"] == frames[0].sum()
    assert by_dials["good"] == 100 * SHAPE[1] - np.count_nonzero(frames[0, :100] > 70)
    assert by_dials["number"] == 2
    run_dials("dials.find_spots", "imported.expt", "nproc=1", folder=tmp_path)
    code = """
import json
from dials.array_family import flex
table = flex.reflection_table.from_file("strong.refl")
print(json.dumps([list(table["id"]), list(table["xyzobs.px.value"])]))
"""
    numbers, places = json.loads(run_dials_python(code, tmp_path))
    assert sorted(numbers) == [0, 1, 1]
    for place in ((31.5, 61.5, 0.5), (31.5, 61.5, 1.5), (51.5, 21.5, 1.5)):
        assert min(np.abs(np.subtract(place, by_dials)).max() for by_dials in places) < 0.5


def test_without_geometry_or_frames(tmp_path: Path, rng: np.random.Generator) -> None:
    frames = rng.poisson(3, (1, *SHAPE)).astype(np.int32)
    np.testing.assert_array_equal(fabio.open(save(tmp_path / "a.h5", frames, geometry=None)).data, frames[0])
    with h5py.File(save(tmp_path / "b.h5", frames[:0])) as file:
        assert file["entry/data/data"].shape == (0, *SHAPE)


def test_what_does_not_fit(tmp_path: Path) -> None:
    frame = np.zeros(SHAPE, np.int32)
    wide = {"geometry": GEOMETRY, "mask": None, "saturation": None, "provenance": RECORD}
    with pytest.raises(ShapeError, match=r"geometry is .120, 90., the frames .90, 120."):
        DenseWriter(tmp_path / "d.h5", SHAPE[::-1], np.int32, **wide)
    with pytest.raises(ShapeError, match="mask"):
        DenseWriter(tmp_path / "d.h5", SHAPE, np.int32, **{**wide, "mask": frame.T})
    with pytest.raises(DTypeError, match="bool"):
        DenseWriter(tmp_path / "d.h5", SHAPE, bool, **wide)
    with pytest.raises(SettingError, match="compression is 'zip', expected one of bslz4"):
        DenseWriter(tmp_path / "d.h5", SHAPE, np.int32, compression="zip", **wide)
    writer = DenseWriter(tmp_path / "d.h5", SHAPE, np.int32, **wide)
    with pytest.raises(SettingError, match="not open"):
        writer.write(frame)
    for bad, kind in ((frame.T, ShapeError), (frame.astype(np.uint16), DTypeError)):

        def attempt(bad: NDArray[Any] = bad) -> None:
            with DenseWriter(tmp_path / "d.h5", SHAPE, np.int32, **wide) as writer:
                writer.write(frame)
                writer.write(bad)

        with pytest.raises(kind):
            attempt()
    assert os.listdir(tmp_path) == []
    save(tmp_path / "d.h5", frame[None])
    with pytest.raises(FileError, match="exists"):
        save(tmp_path / "d.h5", frame[None])
    with pytest.raises(FileError, match="no folder"):
        save(tmp_path / "no" / "d.h5", frame[None])
    assert os.listdir(tmp_path) == ["d.h5"]


@pytest.mark.parametrize("compression", ["bslz4", "gzip", "none"])
def test_the_file_does_not_depend_on_the_pool(tmp_path: Path, rng: np.random.Generator, compression: str) -> None:
    frames = rng.poisson(3, (20, *SHAPE)).astype(np.uint16)
    with ThreadPoolExecutor(3) as pool:
        for name, more in (("alone.h5", {}), ("pool.h5", {"pool": pool})):
            (tmp_path / name[:-3]).mkdir()
            save(tmp_path / name[:-3] / "d.h5", frames, compression=compression, **more)
    assert (tmp_path / "alone/d.h5").read_bytes() == (tmp_path / "pool/d.h5").read_bytes()
    with h5py.File(tmp_path / "pool/d.h5") as file:
        np.testing.assert_array_equal(file["entry/data/data"][:], frames)


def test_frames_of_any_layout_in_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = rng.poisson(3, SHAPE[::-1]).astype(">u2").T
    path = tmp_path / "d.h5"
    record: dict[str, Any] = {"geometry": None, "mask": None, "saturation": None, "provenance": RECORD}
    with DenseWriter(path, SHAPE, np.uint16, compression="bslz4", **record) as writer:
        writer.write(frame)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry/data/data"][0], frame)
