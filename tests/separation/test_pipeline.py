"""Runs over many frames: the numbers are those of the separator, whatever files the frames lie in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError, GeometryError, SettingError, ShapeError
from crystint.io.frames.sequence import open_frames
from crystint.io.outputs import check_outputs
from crystint.run.geometry import geometry_of
from crystint.separation.files import densify_file, find_peaks, sparsify
from crystint.separation.frame_step import PeakSearch, Sparsification, warm_up
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import Settings
from crystint.simulate import Simulation, simulate

SMALL = {"rings": 60}


@pytest.fixture(scope="module")
def data() -> Simulation:
    return simulate(
        (150, 161),
        4,
        dtype=np.int32,
        background=6.0,
        peaks=15,
        intensity=3000.0,
        modules=(70, 161),
        dead=20,
        seed=3,
    )


def explicit(data: Simulation, **more: object) -> Settings:
    """Settings that tell the geometry in numbers."""
    geometry = data.geometry
    return Settings.of(
        {
            "distance": geometry.distance,
            "beam": geometry.beam_center,
            "pixel_size": geometry.pixel_size,
            "wavelength": geometry.wavelength,
            "polarization": geometry.polarization,
            **SMALL,
            **more,
        }
    )


@pytest.fixture
def stack(data: Simulation, tmp_path: Path) -> Path:
    np.save(tmp_path / "stack.npy", data.frames)
    return tmp_path / "stack.npy"


@pytest.fixture
def single(data: Simulation, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"frame_{i}.npy" for i in range(len(data))]
    for path, frame in zip(paths, data):
        np.save(path, frame)
    return paths


def test_peaks_are_those_of_the_separator(data, stack, tmp_path):
    summary = find_peaks([stack], [tmp_path / "peaks.h5"], explicit(data))
    peaks = crystint.read_peaks(tmp_path / "peaks.h5")
    separator = crystint.Separator(data.geometry, rings=60)
    expected = [separator.peaks(frame, number=i) for i, frame in enumerate(data)]
    assert summary.result.peaks.tolist() == [len(each) for each in expected]
    assert min(summary.result.peaks) > 5
    assert np.array_equal(peaks["frame"], np.concatenate(expected)["frame"])
    np.testing.assert_allclose(peaks["slow"], np.concatenate(expected)["slow"], rtol=1e-6)
    assert summary.frames == 4
    assert summary.size == (tmp_path / "peaks.h5").stat().st_size


def test_one_file_of_many_frames_and_many_of_one_give_the_same(data, stack, single, tmp_path):
    settings = explicit(data)
    find_peaks([stack], [tmp_path / "a.jsonl"], settings)
    find_peaks(single, [tmp_path / "b.jsonl"], settings)
    find_peaks([tmp_path / "frame_*.npy"], [tmp_path / "c.jsonl"], settings)
    first, *others = (crystint.read_peaks(tmp_path / f"{name}.jsonl") for name in "abc")
    for other in others:
        assert first.tobytes() == other.tobytes()

    sparsify([stack], tmp_path / "a.h5", settings)
    sparsify(single, tmp_path / "b.h5", settings)
    with crystint.open_sparse(tmp_path / "a.h5") as one, crystint.open_sparse(tmp_path / "b.h5") as many:
        assert len(one) == len(many) == 4
        for i in range(4):
            assert np.array_equal(one[i].index, many[i].index)
            assert np.array_equal(one[i].value, many[i].value)


@pytest.mark.parametrize("compact", [False, True])
def test_sparse_file_holds_what_the_separator_picked_and_densify_rebuilds_it(data, stack, tmp_path, compact):
    summary = sparsify([stack], tmp_path / "sparse.h5", explicit(data), compact=compact, peaks=True)
    separator = crystint.Separator(data.geometry, rings=60)
    with crystint.open_sparse(tmp_path / "sparse.h5") as file:
        assert file.compact is compact
        for i, frame in enumerate(data):
            expected = separator.sparsify(frame)
            assert np.array_equal(file[i].index, expected.index)
            assert np.array_equal(file[i].value, frame.ravel()[expected.index])
    assert summary.result.pixels == sum(len(separator.sparsify(frame).index) for frame in data)
    assert len(summary.result.peaks) == 4

    densify_file(tmp_path / "sparse.h5", tmp_path / "dense.h5", seed=5)
    densify_file(tmp_path / "sparse.h5", tmp_path / "clean.h5", noise=False)
    with open_frames(tmp_path / "dense.h5") as dense, open_frames(tmp_path / "clean.h5") as clean:
        assert len(dense) == 4
        assert dense.dtype == np.int32
        assert dense.geometry is not None
        assert dense.geometry.distance == pytest.approx(data.geometry.distance)
        assert dense.geometry.beam_center == pytest.approx(data.geometry.beam_center, abs=1e-4)
        for i, frame in enumerate(data):
            picked = separator.sparsify(frame).index
            for rebuilt in (dense[i], clean[i]):
                assert np.array_equal(rebuilt.ravel()[picked], frame.ravel()[picked])
                assert np.array_equal(rebuilt < 0, frame < 0)
            assert dense[i][frame >= 0].mean() == pytest.approx(frame[frame >= 0].mean(), rel=0.05)


def test_every_output_says_how_it_was_made(data, stack, tmp_path):
    settings = explicit(data, snr="6")
    sparsify([stack], tmp_path / "sparse.h5", settings, command=["crystint", "sparsify", "stack.npy"])
    with crystint.open_sparse(tmp_path / "sparse.h5") as file:
        made = file.provenance
    assert made["version"] == crystint.__version__
    assert made["command"] == ["crystint", "sparsify", "stack.npy"]
    assert made["inputs"] == [str(stack)]
    assert made["settings"]["snr"] == 6.0
    assert made["settings"]["rings"] == 60
    again = crystint.Geometry.from_dict(made["settings"]["geometry_used"])
    assert again == data.geometry


def test_the_saturation_value_survives_densify(data, stack, tmp_path):
    sparsify([stack], tmp_path / "sparse.h5", explicit(data, saturation=40000))
    densify_file(tmp_path / "sparse.h5", tmp_path / "dense.h5")
    with open_frames(tmp_path / "dense.h5") as dense:
        assert dense.saturation == 40000


def test_an_output_that_a_pattern_names_is_not_read_and_replaced(data, stack, tmp_path):
    np.save(tmp_path / "other.npy", data.frames)
    for name in ("stack.npy", "other.npy"):
        with pytest.raises(FileError, match="also an input"):
            sparsify([tmp_path / "*.npy"], tmp_path / name, explicit(data), overwrite=True)


def test_a_frame_without_usable_pixels_is_counted_and_the_run_goes_on(data, tmp_path):
    frames = data.frames
    frames[1] = -1
    np.save(tmp_path / "frames.npy", frames)
    with pytest.warns(CrystintWarning, match="1 of 4 frames have no usable pixel: 1"):
        summary = find_peaks([tmp_path / "frames.npy"], [tmp_path / "peaks.cxi"], explicit(data))
    assert summary.result.unusable == (1,)
    assert summary.result.peaks[1] == 0
    with pytest.warns(CrystintWarning, match="no usable pixel"):
        summary = sparsify([tmp_path / "frames.npy"], tmp_path / "sparse.h5", explicit(data))
    assert summary.result.unusable == (1,)
    with crystint.open_sparse(tmp_path / "sparse.h5") as file:
        assert np.isnan(file[1].background.mean).all()
        assert not len(file[1].index)


@pytest.mark.parametrize("value", [-1, np.nan])
def test_frames_without_any_usable_pixel_are_an_error_and_leave_nothing(data, tmp_path, value):
    dtype = np.int32 if value == -1 else np.float32
    np.save(tmp_path / "frames.npy", np.full((2, *data.shape), value, dtype))
    for run, name in ((find_peaks, ["peaks.cxi"]), (sparsify, "sparse.h5")):
        target = [tmp_path / part for part in name] if isinstance(name, list) else tmp_path / name
        with pytest.raises(FileError, match="no usable pixel"):
            run([tmp_path / "frames.npy"], target, explicit(data))
    assert os.listdir(tmp_path) == ["frames.npy"]


def test_some_nan_is_not_an_error(data, tmp_path):
    frames = data.frames.astype(np.float32)
    frames[:, 10:20, 10:20] = np.nan
    np.save(tmp_path / "frames.npy", frames)
    summary = find_peaks([tmp_path / "frames.npy"], [tmp_path / "peaks.jsonl"], explicit(data))
    assert summary.result.unusable == ()
    assert summary.result.peaks.min() > 3


def test_a_damaged_frame_in_the_middle_names_itself_and_leaves_nothing(data, single, tmp_path):
    single[2].write_bytes(single[2].read_bytes()[:5000])
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileError, match="frame_2"):
        sparsify(single, tmp_path / "sparse.h5", explicit(data))
    with pytest.raises(FileError, match="frame_2"):
        find_peaks(single, [tmp_path / "peaks.cxi"], explicit(data))
    assert sorted(os.listdir(tmp_path)) == before


def test_an_interrupted_run_leaves_its_journal_and_no_output(data, stack, tmp_path):
    def stopping(items, _total, _what):
        for i, item in enumerate(items):
            if i == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        sparsify([stack], tmp_path / "sparse.h5", explicit(data), progress=stopping)
    assert sorted(os.listdir(tmp_path)) == ["sparse.h5.partial", "stack.npy"]


def test_explicit_numbers_replace_those_of_a_file(data, stack, tmp_path):
    poni = tmp_path / "detector.poni"
    data.geometry.write(poni)
    with open_frames(stack) as frames:
        assert frames.geometry is None
        plain = geometry_of(frames, Settings.of({"geometry": poni}))
        assert plain.distance == pytest.approx(data.geometry.distance)
        moved = geometry_of(frames, Settings.of({"geometry": poni, "distance": "2", "beam": "70,71"}))
        assert (moved.distance, moved.beam_center) == (2.0, (70.0, 71.0))
        assert moved.wavelength == pytest.approx(plain.wavelength)
        bare = geometry_of(frames, Settings.of({"geometry": poni, "polarization": "none"}))
        assert bare.polarization is None


def test_a_missing_geometry_says_what_to_give(stack):
    with open_frames(stack) as frames, pytest.raises(GeometryError, match=r"-g FILE.*--beam, --pixel-size"):
        geometry_of(frames, Settings.of({"distance": 1}))


def test_a_geometry_of_another_detector_is_refused(data, stack, tmp_path):
    replace(data.geometry, shape=(161, 150)).write(tmp_path / "other.poni")
    with open_frames(stack) as frames, pytest.raises(ShapeError, match=r"other\.poni.*transposed"):
        geometry_of(frames, Settings.of({"geometry": tmp_path / "other.poni"}))


def test_a_beam_beside_the_detector_must_be_allowed(data, stack):
    settings = explicit(data, beam=(-50, 20))
    with open_frames(stack) as frames:
        with pytest.raises(GeometryError, match="outside"):
            geometry_of(frames, settings)
        allowed = geometry_of(frames, explicit(data, beam=(-50, 20), beam_outside=True))
    assert allowed.direct_beam[0] == -50


@pytest.mark.parametrize("what", ["mask", "dark", "flat", "normalization"])
def test_an_image_of_another_shape_is_refused_with_its_name(data, stack, tmp_path, what):
    np.save(tmp_path / "other.npy", np.ones(data.shape[::-1], np.uint8))
    path = tmp_path / "other.npy"
    value = path if what in ("dark", "flat") else (path,)
    with (
        pytest.raises(ShapeError, match=rf"{what}.*other\.npy.*transposed"),
        opened([stack], explicit(data, **{what: value})),
    ):
        pass


@pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # half of the pixels are masked
def test_masks_are_combined_and_a_mask_of_everything_is_an_error(data, stack, tmp_path):
    left, right = np.zeros((2, *data.shape), np.uint8)
    left[:, :80], right[:, 80:] = 1, 1
    np.save(tmp_path / "left.npy", left)
    np.save(tmp_path / "right.npy", right)
    both = (tmp_path / "left.npy", tmp_path / "right.npy")
    with opened([stack], explicit(data, mask=both[:1])) as run:
        assert np.array_equal(run.separator.rings.mask != 0, left != 0)
    with pytest.raises(FileError, match="no usable pixel"), opened([stack], explicit(data, mask=both)):
        pass


def test_corrections_reach_the_separator(data, stack, tmp_path):
    flat = np.random.default_rng(1).uniform(0.5, 1, data.shape).astype(np.float32)
    np.save(tmp_path / "flat.npy", flat)
    np.save(tmp_path / "dark.npy", np.full(data.shape, 2, np.float32))
    more = {
        "flat": tmp_path / "flat.npy",
        "normalization": (tmp_path / "flat.npy",),
        "dark": tmp_path / "dark.npy",
    }
    with opened([stack], explicit(data, solid_angle=False, polarization="none", **more)) as run:
        rings = run.separator.rings
    np.testing.assert_allclose(rings.weight[rings.mask == 0], (flat**2)[rings.mask == 0], rtol=1e-5)
    assert rings.dark is not None
    assert np.all(rings.dark == 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("rings", [60, 300])
@pytest.mark.parametrize("work", [PeakSearch(5.0), Sparsification(3.0, False), Sparsification(3.0, True)])
def test_what_a_run_needs_is_there_after_warming_up(data, tmp_path, work, rings, dtype):
    frames = np.minimum(data.frames, 200).astype(dtype)
    np.save(tmp_path / "stack.npy", frames)
    np.save(tmp_path / "dark.npy", np.full(data.shape, 1, np.float32))
    settings = explicit(data, rings=rings, error_model="poisson", dark=tmp_path / "dark.npy", saturation=150)
    with opened([tmp_path / "stack.npy"], settings) as run:
        warm_up(run, work)
        assert run.engine is not None
        warmed = set(run.engine._programs)
        (record,) = work.records(run, [0], run.read(0)[None], None)
        used = set(run.engine._programs)
        assert {name for name, *_ in used - warmed} <= {"list_unusable.cl", "gather_blocks.cl", "compare_pixels.cl"}
    assert len(record.arrays.get("peaks", "none")) > 0


def test_an_error_while_warming_up_is_none(data, stack):
    def fail(_run: PreparedRun) -> None:
        called.append(True)
        raise ValueError("out of tune")

    called: list[bool] = []
    with opened([stack], explicit(data), warm_up=fail) as run:
        assert run.separator.rings.shape == data.shape
    assert called


def test_outputs_are_checked_before_the_work(tmp_path):
    there = tmp_path / "there.cxi"
    there.write_text("x")
    with pytest.raises(FileError, match=r"there\.cxi exists.*--overwrite"):
        check_outputs([there], [], False)
    assert check_outputs([there], [], True) == (there,)
    with pytest.raises(FileError, match="also an input"):
        check_outputs([there], [there], True)
    with pytest.raises(FileError, match="no folder"):
        check_outputs([tmp_path / "none" / "a.cxi"], [], False)
    with pytest.raises(FileError, match="not a plain file"):
        check_outputs([tmp_path], [], True)
    with pytest.raises(SettingError, match="twice"):
        check_outputs([tmp_path / "a.cxi", tmp_path / "." / "a.cxi"], [], False)
    (tmp_path / "SPOT.XDS.json").write_text("{}")
    with pytest.raises(FileError, match=r"SPOT\.XDS\.json exists"):
        check_outputs([tmp_path / "SPOT.XDS"], [], False)


def test_the_settings_of_a_toml_file_make_a_run(data, stack, tmp_path):
    geometry = data.geometry
    (tmp_path / "run.toml").write_text(
        f'distance = {geometry.distance}\nbeam = {list(geometry.beam_center)}\npixel-size = "172um"\n'
        f"wavelength = {geometry.wavelength}\npolarization = 0.99\nrings = 60\n"
    )
    find_peaks([stack], [tmp_path / "a.jsonl"], Settings.of(config=tmp_path / "run.toml"))
    find_peaks([stack], [tmp_path / "b.jsonl"], explicit(data))
    a, b = (crystint.read_peaks(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    assert len(a) == len(b) > 20
    np.testing.assert_allclose(a["intensity"], b["intensity"], rtol=1e-4)
