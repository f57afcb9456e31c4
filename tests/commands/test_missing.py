"""Runs over frames of which some are not there: what is there is worked on, the others are recorded as missing."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.simulate import simulate

SHAPE = (120, 130)


@pytest.fixture(scope="module")
def data():
    return simulate(SHAPE, 6, dtype=np.uint16, background=4.0, peaks=8, intensity=900.0, seed=2)


def master(folder, data, lost=3):
    """A DECTRIS master of a run of six frames whose data file number `lost` never came."""
    place = data.geometry
    with h5py.File(folder / "run_master.h5", "w") as file:
        detector = file.create_group("entry/instrument/detector")
        for name, value in {"beam_center_x": place.beam_center[1], "beam_center_y": place.beam_center[0]}.items():
            detector[name] = value
        detector["detector_distance"], detector["x_pixel_size"] = place.distance, place.pixel_size[1]
        detector["y_pixel_size"] = place.pixel_size[0]
        detector["detectorSpecific/nimages"], detector["detectorSpecific/ntrigger"] = 6, 1
        detector["detectorSpecific/pixel_mask"] = np.zeros(SHAPE, np.uint32)
        file["entry/instrument/beam/incident_wavelength"] = place.wavelength
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
        for number in (1, 2, 3):
            name = f"run_data_{number:06d}.h5"
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            if number != lost:
                with h5py.File(folder / name, "w") as part:
                    frames = np.stack([data[2 * number - 2], data[2 * number - 1]])
                    part.create_dataset("entry/data/data", data=frames, chunks=(1, *SHAPE), **hdf5plugin.LZ4())


def run(code, *words):
    result = CliRunner().invoke(main, [*words, "-q"])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_run_whose_data_file_never_came(tmp_path, monkeypatch, data, lost):
    monkeypatch.chdir(tmp_path)
    master(tmp_path, data, lost)
    gone = [2 * lost - 2, 2 * lost - 1]
    said = run(3, "peaks", "run_master.h5", "-o", "p.cxi", "-o", "p.jsonl", "--rings", "40")
    assert f"run_data_{lost:06d}.h5, which does not exist beside it; it is recorded as missing" in said
    assert "2 of 6 frames could not be read" in said
    rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    assert [row.get("missing", False) for row in rows] == [number in gone for number in range(6)]
    with crystint.open_frames("p.cxi", dataset="/entry_1/data_1/data") as shown:
        assert list(shown.missing) == gone
        there = next(number for number in range(6) if number not in gone)
        assert np.array_equal(shown[there], data[there])
    run(3, "sparsify", "run_master.h5", "-o", "s.h5", "--rings", "40")
    with crystint.open_sparse("s.h5") as sparse:
        assert list(sparse.missing) == gone
    assert "missing      2 frames" in CliRunner().invoke(main, ["info", "run_master.h5"]).output
    assert "run_data_" in run(1, "peaks", "run_master.h5", "-o", "t.cxi", "--strict", "--rings", "40")


@pytest.mark.parametrize("lost", [(1,), (1, 2, 3)])
def test_geometry_and_mask_of_a_master_need_no_frames(tmp_path, monkeypatch, data, lost):
    monkeypatch.chdir(tmp_path)
    master(tmp_path, data, 0)
    np.save("frames.npy", np.stack([data[0], data[1]]))
    for number in lost:
        (tmp_path / f"run_data_{number:06d}.h5").unlink()
    said = run(0, "peaks", "frames.npy", "-g", "run_master.h5", "-m", "run_master.h5", "-o", "p.cxi", "--rings", "40")
    assert "warning" not in said
