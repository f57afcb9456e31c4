"""Results of frames: in every file, printed, on a raster; frames that are vetoed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_array_equal

import crystint
from benchmarks import validate_frames
from crystint.cli import main
from crystint.errors import CrystintWarning, FileError, SettingError
from crystint.io.frame_table import json_rows
from crystint.model.frame_table import COLUMNS, FrameStatus, empty_frame_table, put_scan
from crystint.model.raster import Raster
from crystint.plot.frame_table import plot_series
from crystint.separation.files import densify_file, find_peaks, sparsify
from crystint.separation.settings import SparsifySettings
from crystint.series.frames_step import rows_of
from crystint.series.summary import Series

N = 6
STRONG = (0, 2, 3)
SETTINGS = {"rings": 60}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Six frames, of which three have a crystal; the detector has a masked module edge, and frame 4 a bad pixel."""
    crystal = crystint.simulate.simulate((150, 161), N, background=4.0, peaks=40, intensity=900.0, seed=5)
    blank = crystint.simulate.simulate((150, 161), N, background=4.0, peaks=2, intensity=900.0, seed=5)
    mask = np.zeros((150, 161), np.uint32)
    mask[:4] = 1
    frames = [(crystal if i in STRONG else blank)[i].copy() for i in range(N)]
    frames[4][80, 80:83] = -2
    path = tmp_path_factory.mktemp("run") / "run.h5"
    scan = crystint.Scan(("omega",), [[1.0, 0.0, 0.0]], [0.5 * np.arange(N)], width=0.5, times=1e9 + np.arange(N),
                         zone="+01:00")  # fmt: skip
    with crystint.DenseWriter(
        path, crystal.shape, crystal.dtype, geometry=crystal.geometry, mask=mask, saturation=1000.0, provenance={},
        scan=scan,
    ) as writer:  # fmt: skip
        for frame in frames:
            writer.write(frame)
    return path, np.stack(frames), mask


def same(one, other):
    for column in COLUMNS:
        assert_array_equal(one[column.name], other[column.name], err_msg=column.name)


def test_every_file_has_the_table_and_it_is_right(run, tmp_path):
    path, frames, mask = run
    outputs = [tmp_path / f"p{suffix}" for suffix in (".cxi", ".h5", ".jsonl", ".refl", ".csv")]
    outcome = find_peaks([path], outputs, SETTINGS)
    rows = outcome.result.results
    for output in outputs:
        same(crystint.read_frame_table(output), rows)
    peaks = crystint.read_peaks(outputs[1])
    good = (mask == 0) & (frames >= 0) & (frames <= 1000)
    assert rows["frame_sum"].tolist() == [frame[use].sum() for frame, use in zip(frames, good, strict=True)]
    assert rows["maximum"].tolist() == [frame[use].max() for frame, use in zip(frames, good, strict=True)]
    assert rows["saturated"].tolist() == [np.count_nonzero((frame > 1000) & (mask == 0)) for frame in frames]
    assert rows["bad"].tolist() == [0, 0, 0, 0, 3, 0]
    assert rows["n_spots"].tolist() == np.bincount(peaks["frame"], minlength=N).tolist()
    assert np.flatnonzero(rows["hit"]).tolist() == list(STRONG)
    assert rows["background"] == pytest.approx(4.0, rel=0.05)
    low = [np.count_nonzero((peaks["frame"] == i) & (peaks["d"] > 4)) for i in range(N)]
    assert rows["n_low"].tolist() == low
    assert rows["shells"].sum(axis=1).tolist() == rows["n_no_ice"].tolist()
    total = [peaks["intensity"][peaks["frame"] == i].sum() for i in range(N)]
    assert rows["total_intensity"] == pytest.approx(total)
    assert_array_equal(rows["angle"], 0.5 * np.arange(N))
    assert_array_equal(rows["time"], 1e9 + np.arange(N) - 3600)
    assert np.isfinite(rows["d_min"][list(STRONG)]).all()
    assert np.isnan(rows["d_min"][[1, 4, 5]]).all()


def test_others_read_the_tables(run, tmp_path):
    path, _, _ = run
    find_peaks([path], [tmp_path / "p.csv", tmp_path / "p.h5"], SETTINGS)
    rows = crystint.read_frame_table(tmp_path / "p.h5")
    with open(tmp_path / "p.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["n_spots"]) for line in lines] == rows["n_spots"].tolist()
    assert [float(line["angle [deg]"]) for line in lines] == rows["angle"].tolist()
    assert [line["status"] for line in lines] == ["ok"] * N
    assert lines[1]["d_min [angstrom]"] == ""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(tmp_path / "p.csv")
    assert table["background [count]"].tolist() == rows["background"].tolist()
    with h5py.File(tmp_path / "p.h5") as file:
        data = file["entry/results"]
        assert data.attrs["NX_class"] == "NXdata"
        assert data[data.attrs["signal"]].shape == data[data.attrs["axes"]].shape == (N,)
        assert data["background"].attrs["units"] == "count"


@pytest.mark.parametrize("name", ["t.csv", "t.h5"])
def test_what_is_not_known_stays_unknown(tmp_path, name):
    rows = empty_frame_table(3)
    rows["status"] = [0, 1, 2]
    rows["n_spots"][0], rows["d_min"][0] = 0, 2.5
    crystint.write_frame_table(tmp_path / name, rows)
    same(crystint.read_frame_table(tmp_path / name), rows)
    with pytest.raises(FileError, match="exists"):
        crystint.write_frame_table(tmp_path / name, rows)


def test_damaged_tables_are_one_line(tmp_path):
    (tmp_path / "a.csv").write_text("frame,status,n_spots\n0,ok,3\n1,ok,many\n")
    with pytest.raises(FileError, match="line 3: n_spots"):
        crystint.read_frame_table(tmp_path / "a.csv")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/results/frame"] = np.arange(3)
        file["entry/results/status"] = np.zeros(3)
        file["entry/results/n_spots"] = np.arange(2)
    with pytest.raises(FileError, match="n_spots"):
        crystint.read_frame_table(tmp_path / "a.h5")
    np.save(tmp_path / "a.npy", np.zeros((4, 5), np.int32))
    with pytest.raises(FileError, match="expected a table of frames"):
        crystint.read_frame_table(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore::crystint.errors.CrystintNote")
def test_vetoed_frames_keep_their_row(run, tmp_path):
    path, _, _ = run
    find_peaks([path], [tmp_path / "p.h5"], SETTINGS)
    whole = crystint.read_frame_table(tmp_path / "p.h5")
    outcome = find_peaks([path], [tmp_path / "hits.h5"], SETTINGS | {"hits_only": True})
    rows, peaks = outcome.result.results, crystint.read_peaks(tmp_path / "hits.h5")
    assert "3 vetoed" in outcome.text
    assert rows["status"].tolist() == [0, 2, 0, 0, 2, 2]
    assert rows["n_spots"].tolist() == whole["n_spots"].tolist()
    assert set(peaks["frame"]) == set(STRONG)

    sparsify([path], tmp_path / "s.h5", SETTINGS | {"hits_only": True}, peaks=True)
    with crystint.open_sparse(tmp_path / "s.h5") as sparse:
        assert sparse.vetoed == (1, 4, 5)
        assert sparse.results["picked"][[1, 4, 5]].tolist() == [0, 0, 0]
        assert (sparse.results["picked"][list(STRONG)] > 50).all()
        assert sparse.missing == ()
        assert [frame.vetoed for frame in sparse] == [number in (1, 4, 5) for number in range(N)]
        assert set(sparse.peaks["frame"]) == set(STRONG)
        assert sparse[1].background.mean[20] == pytest.approx(4.0, rel=0.3)
        level = [crystint.densify(sparse[number], noise=False)[5:].astype(float).mean() for number in (0, 1)]
    assert level[0] > level[1] > 1.0
    with fabio.open(tmp_path / "s.h5") as image:
        assert image.nframes == N
    with pytest.warns(CrystintWarning, match="3 frames .*vetoed"):
        densify_file(tmp_path / "s.h5", tmp_path / "d.h5")


def test_hits_alone_and_boxes_of_predicted_reflections_exclude_each_other(tmp_path):
    with pytest.raises(SettingError, match="hits_only"):
        SparsifySettings.of({"hits_only": True, "keep": tmp_path / "model.expt"})


def test_hits_are_what_the_user_says(run, tmp_path):
    path, _, _ = run
    outcome = find_peaks([path], [tmp_path / "p.cxi"], SETTINGS | {"hit_peaks": 1})
    assert outcome.result.results["hit"].all()
    assert rows_of([tmp_path / "p.cxi"], 10)["hit"].tolist() == [1, 0, 1, 1, 0, 0]
    text = CliRunner().invoke(main, ["info", str(tmp_path / "p.cxi")]).output
    assert f"hits         {N} of {N}" in text


def test_without_spots_there_is_a_row(run, tmp_path):
    path, _, _ = run
    sparsify([path], tmp_path / "s.h5", SETTINGS | {"spots": False})
    rows = crystint.read_frame_table(tmp_path / "s.h5")
    assert (rows["n_spots"] == -1).all()
    assert (rows["hit"] == -1).all()
    assert np.isfinite(rows["background"]).all()
    assert "no spots were looked for" in CliRunner().invoke(main, ["frames", str(tmp_path / "s.h5")]).output


def test_frames_of_a_foreign_peak_list(tmp_path):
    with h5py.File(tmp_path / "om.cxi", "w") as file:
        result = file.create_group("entry_1/result_1")
        result["nPeaks"] = np.array([12, 0, 1], np.int32)
        for name in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity"):
            result[name] = np.ones((3, 12), np.float32)
    rows = rows_of([tmp_path / "om.cxi"])
    assert rows["n_spots"].tolist() == [12, 0, 1]
    assert rows["hit"].tolist() == [1, 0, 0]
    assert np.isnan(rows["frame_sum"]).all()


def test_tables_are_joined(run, tmp_path):
    path, _, _ = run
    find_peaks([path], [tmp_path / "p.csv"], SETTINGS)
    assert rows_of([tmp_path / "p.csv", tmp_path / "p.csv"])["frame"].tolist() == list(range(2 * N))


def test_rows_tell_which_frames_were_chosen(run, tmp_path):
    find_peaks([run[0]], [tmp_path / "p.csv"], SETTINGS | {"frames": "4:1:-2", "join": False})
    rows = rows_of([tmp_path / "p.csv"])
    assert (rows["frame"].tolist(), rows["source_frame"].tolist()) == ([0, 1], [4, 2])


def test_a_raster_is_laid_out_row_by_row():
    values = np.arange(12.0)
    assert_array_equal(Raster.of((4, 3), 12).map(values), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    zigzag = Raster.of((4, 3), 12, zigzag=True)
    assert_array_equal(zigzag.map(values), [[0, 1, 2, 3], [7, 6, 5, 4], [8, 9, 10, 11]])
    values[5] = 40.0
    values[0] = np.nan
    best = zigzag.best(values)
    assert (best.fast, best.slow, best.frame, best.value) == (2, 1, 5, 40.0)
    assert best.center[0] == pytest.approx(2.0, abs=0.4)
    assert zigzag.best(values, lowest=True).frame == 1
    assert zigzag.best(np.full(12, np.nan)) is None
    with pytest.raises(SettingError, match=r"grid is 5x3, which are 15 cells, but there are 12 frames.*4x3"):
        Raster.of((5, 3), 12)


def test_the_command_draws_and_prints(run, tmp_path):
    path, _, _ = run
    find_peaks([path], [tmp_path / "p.cxi"], SETTINGS)
    words = ["frames", str(tmp_path / "p.cxi")]
    shown = CliRunner().invoke(
        main, [*words, "--grid", "3x2", "-o", str(tmp_path / "map.png"), "--show", "score,d_min"]
    )
    assert shown.exit_code == 0, shown.output
    assert "3 x 2 (fast x slow); best score" in shown.output
    assert (tmp_path / "map.png").stat().st_size > 5000
    assert CliRunner().invoke(main, [*words, "--x", "angle", "-o", str(tmp_path / "a.pdf")]).exit_code == 0
    refused = CliRunner().invoke(main, [*words, "--grid", "5x2"])
    assert refused.exit_code == 2
    assert "10 cells, but there are 6 frames" in refused.output
    for words_wrong in (["--grid", "5by2"], ["--show", "nonsense"], ["--zigzag"]):
        assert CliRunner().invoke(main, [*words, *words_wrong]).exit_code == 2
    printed = CliRunner().invoke(main, [*words, "--csv"]).output
    assert printed.startswith("frame,status,")
    assert printed.count("\n") == N + 1
    about = json.loads(CliRunner().invoke(main, [*words, "--grid", "3x2", "--zigzag", "--json"]).output)
    assert about["hits"] == len(STRONG)
    found = crystint.read_frame_table(tmp_path / "p.cxi")["n_no_ice"]
    assert about["grid"]["values"] == [found[:3].tolist(), found[:2:-1].tolist()]


def test_scans_without_times(run):
    rows = empty_frame_table(2)
    put_scan(rows, crystint.Scan(("omega",), [[1.0, 0.0, 0.0]], [[3.0, 4.0]], width=1.0))
    assert rows["angle"].tolist() == [3.0, 4.0]
    assert np.isnan(rows["time"]).all()
    put_scan(rows, None)


def test_missing_frames_have_a_row(tmp_path, run):
    path, frames, _ = run
    with h5py.File(tmp_path / "two.h5", "w") as file:
        data = file.create_dataset("entry/data/data", data=frames[:2], chunks=(1, 150, 161), compression="gzip")
        place = data.id.get_chunk_info(1)
    with open(tmp_path / "two.h5", "r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)
    settings = SETTINGS | {"geometry": str(path)}
    with pytest.warns(CrystintWarning, match="missing"):
        outcome = find_peaks([tmp_path / "two.h5"], [tmp_path / "p.csv"], settings)
    assert outcome.result.results["status"].tolist() == [FrameStatus.OK, FrameStatus.MISSING]
    assert (tmp_path / "p.csv").read_text().splitlines()[2].startswith("1,missing,,,")
    assert list(json_rows(outcome.result.results))[1]["n_spots"] is None


@pytest.mark.parametrize(("part", "frames"), [("hits", 40), ("resolution", 60)])
def test_hits_and_resolution_of_simulated_frames(part, frames, capsys):
    """The validation, on fewer frames."""
    assert validate_frames.main([part, "--frames", str(frames)]) == 0, capsys.readouterr().out


def test_examples_of_paths(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        rows_of([Path(tmp_path / "nothing.csv")])


def test_what_frames_can_be_drawn_over_is_named():
    rows = empty_frame_table(2)
    rows["angle"] = [3.0, 4.0]
    with pytest.raises(SettingError, match="the time of these frames is not known: x can be frame or angle"):
        plot_series(Series(rows, ("n_spots",), "time"))
