"""``crystint compare`` as a judge: wrong pixels and broken limits end it with exit status 4, after its outputs."""

from __future__ import annotations

import json
import shutil

import h5py
import hdf5plugin  # noqa: F401  (filters of the files)
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.compare import Comparison, compare
from crystint.compare.requirements import QUANTITIES
from crystint.errors import SettingError
from crystint.separation import sparsify
from crystint.simulate import simulate

FRAMES = "entry/data/data"
VALUES = "entry_0000/sparse_frames/intensity"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two frames in a file of h5py, a master that links to it, their sparse form, and one with a pixel changed."""
    folder = tmp_path_factory.mktemp("judge")
    data = simulate((150, 161), 2, dtype=np.uint16, background=4.0, peaks=25, intensity=2000.0, seed=3)
    with h5py.File(folder / "data.h5", "w") as file:
        file[FRAMES] = np.stack(list(data))
    with h5py.File(folder / "master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("data.h5", FRAMES)
    geometry = folder / "geometry.json"
    data.geometry.write(geometry)
    sparsify([folder / "master.h5"], folder / "good.h5", {"rings": 60, "geometry": geometry})
    shutil.copyfile(folder / "good.h5", folder / "bad.h5")
    with h5py.File(folder / "bad.h5", "r+") as file:
        values = file[VALUES]
        values[3] = values[3] + 1
    return folder


@pytest.fixture(scope="module")
def comparison(folder):
    return compare(folder / "master.h5", folder / "good.h5", shells=3)


def judged(folder, code, name, *more):
    """The result of the command, which must leave with this exit status."""
    words = ["compare", folder / "master.h5", folder / name, "-q", "--shells", 2, *more]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output[-1500:]
    return result


def errors(result):
    """Lines about errors, without their beginning."""
    beginning = "crystint: error: "
    return [line.removeprefix(beginning) for line in result.stderr.splitlines() if line.startswith(beginning)]


def test_a_wrong_pixel_ends_it_with_4_after_the_outputs(folder, tmp_path):
    result = judged(folder, 4, "bad.h5", "-o", tmp_path / "x.png")
    assert errors(result) == ["not exact: 1 picked pixel is WRONG; the sparse file does not replace the raw frames"]
    assert (tmp_path / "x.png").stat().st_size > 0
    assert "1 WRONG" in result.stdout
    values = json.loads(judged(folder, 4, "bad.h5", "--json").stdout)
    assert (values["exact"], len(values["broken"])) == (False, 1)
    assert errors(judged(folder, 4, "bad.h5", "--require", "exact")) == errors(result)


def test_limits_that_hold_and_limits_that_are_broken(folder):
    limits = "exact, signal>=50,missed==0,highest<4,bias<=0.5,frames>1,frames<=2"
    assert json.loads(judged(folder, 0, "good.h5", "--require", limits, "--json").stdout)["broken"] == []
    lines = errors(judged(folder, 4, "good.h5", "--require", "frames>2,signal>=50", "--require", "picked<0.001"))
    assert len(lines) == 2
    assert lines[0] == "frames is 2, required > 2 (frames compared)"
    assert lines[1].startswith("picked is ")
    assert "required < 0.001" in lines[1]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("signl>=95", "did you mean signal?"),
        ("colour>1", "there are exact, frames, signal"),
        ("signal", "has no limit"),
        ("signal=95", "no requirement"),
        ("signal>=much", "'much' is no number"),
        ("signal>=nan", "is no number"),
        ("exact==1", "exact has no limit"),
        ("", "no requirement"),
        ("exact,,missed==0", "no requirement"),
    ],
)
def test_what_is_not_understood_is_a_wrong_argument(folder, limits, message):
    assert message in judged(folder, 2, "good.h5", "--require", limits).stderr


def test_quantities_are_what_the_comparison_shows(comparison):
    total = comparison.total
    expected = {
        "frames": 2,
        "signal": 100 * total.signal_kept[0],
        "picked": 100 * total.sums["picked"][0] / (total.sums["picked"][0] + total.sums["pixels"][0]),
        "missed": total.sums["missed"][0],
        "missed_counts": total.sums["missed_signal"][0],
        "highest": total.sums["strongest"][0],
        "bias": abs(total.bias_noisy[0]),
        "bias_clean": abs(total.bias_clean[0]),
        "variance": total.variance_noisy[0] / total.variance_raw[0],
        "zeros": 100 * abs(total.zeros_noisy[0] - total.zeros_raw[0]),
        "ratio": comparison.raw_bytes / comparison.sparse_bytes,
    }
    audit = comparison.reflections
    by_class, shells = audit.by_class, audit.by_shell
    assert shells["reflections"].max() < 30
    expected |= {
        "reflections": audit.total["reflections"][0],
        "kept": 100 * audit.total["dense"][0] / audit.total["raw"][0],
        "kept_strong": 100 * by_class["dense"][3] / by_class["raw"][3],
        "kept_medium": 100 * by_class["dense"][2] / by_class["raw"][2],
        "kept_weak": np.nan,
        "kept_outer": np.nan,
        "missed_strong": 100 * by_class["missed"][3] / by_class["reflections"][3],
        "missed_medium": 0.0,
        "cc": audit.cc(audit.total)[0],
        "spots": 100 * audit.again / audit.spots,
        "new_spots": 100 * audit.invented / audit.spots,
    }
    assert sorted(expected) == sorted(QUANTITIES)
    for name, value in expected.items():
        if np.isnan(value):
            assert "is not a number here" in comparison.broken(f"{name}>=0")[0]
            continue
        assert comparison.broken(f"{name}>={float(value)!r},{name}<={float(value)!r}") == [], name
        (line,) = comparison.broken(f"{name}>{float(value)!r}")
        assert line.startswith(f"{name} is "), line


def test_the_raw_files_are_those_behind_the_master(folder, comparison):
    assert comparison.raw_bytes == sum((folder / name).stat().st_size for name in ("master.h5", "data.h5"))


def test_a_quantity_without_a_number_breaks_its_limits(comparison):
    assert comparison.broken("ratio<1e9") == []
    assert Comparison(frames=1).broken("signal>=0")[0].startswith("signal is not a number here, required >= 0 (")
    assert Comparison().broken() == ["no frame was compared"]


def test_missing_frames_give_3_and_wrong_pixels_among_the_others_4(folder, tmp_path):
    shutil.copyfile(folder / "data.h5", tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        frames = file[FRAMES][:]
        del file[FRAMES]
        file.create_dataset(FRAMES, data=frames, chunks=(1, *frames.shape[1:]), compression="gzip")
        chunk = file[FRAMES].id.get_chunk_info(1)
    with (tmp_path / "data.h5").open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes(chunk.size))
    for name, code in (("good.h5", 3), ("bad.h5", 4)):
        words = ["compare", tmp_path / "data.h5", folder / name, "-q"]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        assert "recorded as missing: 1" in result.stderr


def test_whole_frames_are_no_sparse_frames():
    frame = np.ones((150, 161), np.uint16)
    for dense in (frame, [frame], 7, None):
        with pytest.raises(SettingError, match="expected a SparseFrame"):
            compare(frame, dense)
