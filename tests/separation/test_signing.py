"""What a data manager signs: the estimate before a run, the ratio after it, shared maps, sums of the inputs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.separation.estimate import spread_sample
from crystint.separation.input_sums import input_sums
from tests.conftest import shared_data


def run(*words, code=0):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def write_frames(path: Path, data, frames=None) -> Path:
    """Frames as detectors write them: bitshuffle-LZ4, one chunk each."""
    frames = list(data) if frames is None else frames
    how = {"geometry": data.geometry, "mask": data.mask, "saturation": None, "provenance": {}, "compression": "bslz4"}
    with crystint.DenseWriter(path, data.shape, data.dtype, **how) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """60 frames, of which some are nearly empty and some strong."""
    folder = tmp_path_factory.mktemp("frames")
    made = [
        crystint.simulate.simulate(
            (260, 270), frames=20, background=background, peaks=peaks, intensity=900.0, dtype="uint16", seed=seed
        )
        for seed, (background, peaks) in enumerate(((3.0, 30), (4.0, 40), (3.5, 35)))
    ]
    mixed = [frame for three in zip(*made, strict=True) for frame in three]
    return write_frames(folder / "frames.h5", made[0], mixed)


def estimated(*words):
    return json.loads(run("sparsify", *words, "--estimate", "--json", "-q").stdout)


@pytest.mark.parametrize("options", [(), ("--compact", "--peaks"), ("--compression", "gzip")])
def test_the_estimate_of_a_sample_is_the_size_of_the_run(frames, tmp_path, options):
    words = (frames, "--rings", 60, *options)
    told = estimated(*words, "--sample", 20)
    run("sparsify", *words, "-o", tmp_path / "s.h5", "-q")
    size = (tmp_path / "s.h5").stat().st_size
    assert told["frames"] == 60
    assert told["sample"] == 20
    assert told["raw"] == frames.stat().st_size
    assert told["total"] == pytest.approx(size, rel=0.05)
    assert told["ratio"] == pytest.approx(frames.stat().st_size / size, rel=0.05)
    assert abs(told["total"] - size) < 4 * told["error"] + 0.005 * size
    if not options:
        whole = estimated(*words, "--sample", 1000)
        assert (whole["total"], whole["error"]) == (pytest.approx(size, rel=0.005), 0)


def test_the_estimate_counts_for_the_frames_that_are_selected_and_writes_nothing(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (frames, "--rings", 60, "--frames", "10:50")
    told = estimated(*words, "--sample", 20, "--maps", "maps.h5")
    assert os.listdir(tmp_path) == []
    assert (told["frames"], told["raw"], told["shared"]) == (40, round(frames.stat().st_size * 40 / 60), True)
    run("sparsify", *words, "--maps", "maps.h5", "-o", "s.h5", "-q")
    assert told["total"] == pytest.approx(Path("s.h5").stat().st_size, rel=0.05)
    packed = sum(crystint.open_frames(frames)[number].nbytes > 0 for number in range(40))
    assert packed == 40
    with h5py.File(frames) as file:
        stored = file["entry/data/data"].id.get_storage_size() * 40 / 60
    assert told["packed"] == pytest.approx(stored, rel=0.1)  # of ten frames, of three kinds
    text = run("sparsify", *words, "--estimate", "-o", "never.h5").stdout
    assert "times the sparse file" in text
    assert "wrote" not in text
    assert not Path("never.h5").exists()


def test_a_sample_is_spread_and_takes_each_frame_once():
    for total, sample in ((1, 50), (10, 10), (7, 50), (1000, 50), (1001, 7)):
        chosen = spread_sample(total, sample)
        count = min(total, sample)
        assert len(chosen) == count
        assert np.array_equal(chosen * count // total, np.arange(count)) or total % count
        assert chosen[0] >= 0
        assert chosen[-1] < total
        assert np.diff(chosen).max(initial=1) <= 2 * total / count + 1
    rows = np.bincount(spread_sample(1000, 50) % 20, minlength=20)  # a raster of rows of 20
    assert np.count_nonzero(rows) > 10


def test_an_output_is_needed_but_for_an_estimate(frames):
    assert "-o" in run("sparsify", frames, code=2).stderr
    assert "sample" in run("sparsify", frames, "--estimate", "--sample", 0, code=2).stderr


@pytest.mark.parametrize("number", [1, 6])
def test_the_estimate_of_real_frames(tmp_path, number):
    names = [f"stills/l_cysteine_wedge/l-cyst_01_{each:05}.cbf.bz2" for each in range(1, number + 1)]
    files = [shared_data(name) for name in names]
    told = estimated(*files, "--sample", 3)
    result = run("sparsify", *files, "-o", tmp_path / "s.h5", "-q")
    assert told["total"] == pytest.approx((tmp_path / "s.h5").stat().st_size, rel=0.05)

    assert told["break_even"] > number
    assert "is larger than the raw files" in result.stderr
    assert "LARGER" in result.stdout
    assert "--maps" in result.stderr


# -------------------------------------------------------------------------------- at the end of a run


def test_the_ratio_is_told_and_kept(frames, tmp_path):
    out = run("sparsify", frames, "--rings", 60, "-o", tmp_path / "s.h5").stdout
    size = (tmp_path / "s.h5").stat().st_size
    assert f"{frames.stat().st_size / size:.3g} times smaller than the raw files" in out
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        assert file.provenance["raw_bytes"] == frames.stat().st_size
    assert "times this file" in run("info", tmp_path / "s.h5").stdout
    data = json.loads(run("sparsify", frames, "--rings", 60, "-o", tmp_path / "t.h5", "--json").stdout)
    assert (data["frames"], data["bytes"], data["raw_bytes"]) == (60, size, frames.stat().st_size)
    run("sparsify", frames, "--rings", 60, "-o", tmp_path / "u.h5", "--frames", "0:30")
    with crystint.open_sparse(tmp_path / "u.h5") as file:
        assert file.provenance["raw_bytes"] == round(frames.stat().st_size / 2)


def test_inputs_are_summed_on_request(frames, tmp_path):
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink(str(frames), "entry/data/data")
    place = tmp_path / "g.json"
    crystint.open_frames(frames).geometry.write(place)
    run(
        "sparsify", tmp_path / "master.h5", "-g", place, "--rings", 60, "-o", tmp_path / "s.h5", "--checksum-inputs"
    )  # fmt: skip
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        rows = {Path(row["file"]).name: row for row in file.provenance["input_files"]}
    assert set(rows) == {"master.h5", "frames.h5"}
    for path in (frames, tmp_path / "master.h5"):
        row = rows[path.name]
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["bytes"] == path.stat().st_size
        assert row["modified"].startswith("20")


def test_sums_of_a_file_that_cannot_be_read_are_an_error(tmp_path):
    with input_sums([str(tmp_path)], True) as sums, pytest.raises(crystint.FileError):
        sums.rows()
    with input_sums([str(tmp_path)], False) as sums:
        assert sums is None


# -------------------------------------------------------------------------------- shared maps, as a command


def test_the_files_of_a_series_share_maps(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("sparsify", frames, "--rings", 60, "--maps", "maps.h5", "-q")
    for number in range(3):
        run(*words, "--frames", number, "-o", f"{number}.h5")
    assert "maps.h5" in run("info", "0.h5").stdout
    assert "detector maps" in run("info", "maps.h5").stdout
    run("verify", "0.h5", "1.h5", "2.h5", "maps.h5")
    run("densify", "2.h5", "-o", "dense.h5", "-q")
    alone = ("sparsify", frames, "--rings", 60, "-q")
    run(*alone, "--frames", 2, "-o", "alone.h5")
    run("densify", "alone.h5", "-o", "other.h5", "-q")
    assert np.array_equal(crystint.open_frames("dense.h5")[0], crystint.open_frames("other.h5")[0])
    assert "of other settings" in run("sparsify", frames, "--maps", "maps.h5", "-o", "x.h5", code=1).stderr
    for more in ([], ["--overwrite"]):
        assert ("input" if more else "exists") in run(*words, "-o", "maps.h5", *more, code=1).stderr
        assert "input" in run("densify", "0.h5", "-o", "maps.h5", *more, code=1).stderr
        assert "input" in run("sparsify", frames, "--maps", "new.h5", "-o", "new.h5", *more, code=1).stderr
    assert "holds no detector maps" in run("sparsify", frames, "--maps", frames, "-o", "x.h5", code=1).stderr
    assert sorted(name for name in os.listdir() if name.startswith(("x.h5", "new.h5", "."))) == []
    Path("maps.h5").unlink()
    for command in (["densify", "0.h5", "-o", "y.h5"], ["info", "0.h5"], ["plot", "0.h5", "-o", "y.png"]):
        assert "maps.h5" in run(*command, code=1).stderr
    assert "maps.h5" in run("verify", "0.h5", code=4).stderr


def test_a_run_that_made_maps_is_resumed_with_them(frames, tmp_path, monkeypatch):
    """Interrupted after its third frame, resumed: the file of a run that was not."""
    monkeypatch.chdir(tmp_path)
    words = {"rings": 60, "maps": "maps.h5"}
    from crystint.run.execution import Execution
    from crystint.separation import sparsify

    sparsify([frames], "whole.h5", words | {"maps": "whole-maps.h5"})

    def stop(items, _total, _what):
        for number, item in enumerate(items):
            yield item
            if number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.warns(crystint.CrystintWarning, match="keeps the"):
        sparsify([frames], "s.h5", words, progress=stop, execution=Execution(threads=1))
    assert Path("maps.h5").exists()
    sparsify([frames], "s.h5", words, execution=Execution(threads=1, resume=True))
    with crystint.open_sparse("s.h5") as one, crystint.open_sparse("whole.h5") as other:
        assert len(one) == 60
        for number in (0, 2, 3, 59):
            assert np.array_equal(one[number].index, other[number].index)
            assert np.array_equal(one[number].value, other[number].value)
    assert crystint.verify("s.h5").ok
