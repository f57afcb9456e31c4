"""``crystint peaks`` of a rotation scan: joined by default, the same however the frames are worked on."""

from __future__ import annotations

import bz2
import contextlib
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fabio.cbfimage import CbfImage

import crystint
from crystint.errors import CrystintWarning
from crystint.io.reflections.dials_table import read_table
from crystint.run.journal import journal_of
from crystint.separation import Execution, find_peaks
from tests.conftest import shared_data
from tests.stills.dials import run_dials

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintNote")  # of the axis that is assumed
SHAPE, FRAMES = (120, 130), 12
HEADER = """# Detector: PILATUS
# Pixel_size 172e-6 m x 172e-6 m
# Exposure_time 0.1 s
# Exposure_period 0.1 s
# Count_cutoff 1000000 counts
# Wavelength 1.0 A
# Detector_distance 0.1 m
# Beam_xy (66.0, 58.0) pixels
# Start_angle {angle:.4f} deg.
# Angle_increment {width:.4f} deg.
"""
TRUTH = ((20.5, 30.5, 3), (60.5, 30.5, 6), (90.5, 100.5, 9), (30.5, 90.5, 5))
"""slow, fast, middle frame of reflections on three frames each"""


def write(folder: Path, width: float = 0.1, skip: tuple[int, ...] = ()) -> list[Path]:
    """A CBF for each frame, as a PILATUS writes them, from number 11 on."""
    rng, paths = np.random.default_rng(3), []
    for number in range(FRAMES):
        frame = rng.poisson(0.5, SHAPE)
        for slow, fast, middle in TRUTH:
            if abs(number - middle) <= 1:
                part = 60 if number == middle else 25
                box = np.s_[int(slow) - 1 : int(slow) + 2, int(fast) - 1 : int(fast) + 2]
                frame[box] += rng.poisson(part * np.array([[0.3, 0.6, 0.3], [0.6, 2, 0.6], [0.3, 0.6, 0.3]]))
        if number in skip:
            continue
        image = CbfImage(data=frame.astype(np.int32))
        image.header["_array_data.header_convention"] = "PILATUS_1.2"
        image.header["_array_data.header_contents"] = HEADER.format(angle=number * (width or 0.1), width=width)
        paths.append(folder / f"turn_{number + 11:05d}.cbf")
        image.write(str(paths[-1]))
    return paths


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("scan"))


def joined(sources: list[Path], output: Path, **settings: object) -> crystint.SpotList:
    """Spots that a run writes; what it warns of is of no interest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        outcome = find_peaks(sources, [output], {"rings": 20, **settings})
    assert outcome.result.spots is not None
    spots = crystint.read_spots(output)
    np.testing.assert_array_equal(spots, outcome.result.spots)
    return spots


def test_a_scan_is_joined_and_each_reflection_is_a_spot(scan: list[Path], tmp_path: Path) -> None:
    spots = joined(scan, tmp_path / "p.h5")
    assert len(spots) == len(TRUTH)
    for slow, fast, middle in TRUTH:
        (spot,) = spots[np.hypot(spots["slow"] - slow, spots["fast"] - fast) < 1]
        assert spot[["frame0", "frame1", "n_frames"]].tolist() == (middle - 1, middle + 2, 3)
        assert spot["z"] == pytest.approx(middle + 0.5, abs=0.15)
    peaks = crystint.read_peaks(tmp_path / "p.h5")
    assert len(peaks) == 3 * len(TRUTH)
    assert np.isclose(peaks["intensity"].sum(), spots["intensity"].sum())
    np.testing.assert_array_equal(crystint.join_peaks(peaks, scan=crystint.open_frames(*scan).scan), spots)


def test_files_for_dials_and_xds_count_images_by_their_names(scan: list[Path], tmp_path: Path) -> None:
    outputs = [tmp_path / "p.refl", tmp_path / "SPOT.XDS", tmp_path / "p.cxi"]
    find_peaks(scan, outputs, {"rings": 20})
    lines = np.array([line.split() for line in outputs[1].read_text().splitlines()], float)
    assert len(lines) == len(TRUTH)
    assert sorted(np.round(lines[:, 2] - 10.5).astype(int)) == sorted(middle for _, _, middle in TRUTH)
    assert sorted(crystint.read_spots(outputs[0])["frame0"].tolist()) == [2, 4, 5, 8]
    assert len(crystint.read_peaks(outputs[2])) == 3 * len(TRUTH)  # CXI lists the peaks of each frame


def test_not_joined_where_it_is_not_wanted_or_there_is_no_scan(scan: list[Path], tmp_path: Path) -> None:
    with pytest.warns(CrystintWarning, match="--min-frames 2 has no effect: peaks are not joined"):
        outcome = find_peaks(scan, [tmp_path / "p.h5"], {"rings": 20, "join": False, "min_frames": 2})
    assert outcome.result.spots is None
    with pytest.raises(crystint.FileError, match="not joined"):
        crystint.read_spots(tmp_path / "p.h5")
    (tmp_path / "stills").mkdir()
    stills = write(tmp_path / "stills", width=0.0)
    assert find_peaks(stills, [tmp_path / "s.h5"], {"rings": 20}).result.spots is None
    with pytest.warns(CrystintWarning, match="no rotation scan: --join takes frames of neighbouring numbers"):
        outcome = find_peaks(stills, [tmp_path / "t.h5"], {"rings": 20, "join": True})
    assert len(outcome.result.spots) == len(TRUTH)


def test_frames_that_do_not_follow_are_not_joined(scan: list[Path], tmp_path: Path) -> None:
    with pytest.warns(CrystintWarning, match="no two frames follow one another"):
        outcome = find_peaks(scan, [tmp_path / "p.h5"], {"rings": 20, "frames": "::2"})
    assert outcome.result.spots["n_frames"].max() == 1
    (tmp_path / "gap").mkdir()
    gap = write(tmp_path / "gap", skip=(6,))
    irregular = pytest.warns(CrystintWarning, match="omega has a gap at frame 6")
    with irregular, pytest.warns(CrystintWarning, match="spots are not joined beyond frame 5"):
        outcome = find_peaks(gap, [tmp_path / "g.refl"], {"rings": 20})
    spots = outcome.result.spots
    assert not ((spots["frame0"] < 6) & (spots["frame1"] > 6)).any()
    assert np.floor(read_table(tmp_path / "g.refl")["xyzobs.px.value"][:, 2]).max() == 19


def test_a_missing_frame_is_bridged(scan: list[Path], tmp_path: Path) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in scan]
    content = copies[6].read_bytes()
    copies[6].write_bytes(content[: content.index(b"\x0c\x1a\x04\xd5") + 40])  # its header is whole
    spots = joined(copies, tmp_path / "p.h5")
    (spot,) = spots[np.hypot(spots["slow"] - 60.5, spots["fast"] - 30.5) < 1]
    assert spot[["frame0", "frame1", "n_frames"]].tolist() == (5, 8, 2)
    assert len(spots) == len(TRUTH)


def test_fewer_frames_than_asked_for(scan: list[Path], tmp_path: Path) -> None:
    assert len(joined(scan, tmp_path / "p.h5", min_frames=3)) == len(TRUTH)
    assert len(joined(scan, tmp_path / "q.h5", min_frames=4)) == 0


def test_the_same_after_an_interruption_and_from_a_cluster(scan: list[Path], tmp_path: Path) -> None:
    spots = joined(scan, tmp_path / "p.h5")

    def stop(items: Iterable[object], *_: object) -> Iterator[object]:
        for number, item in enumerate(items):
            if number == 6:  # in the middle of a spot
                raise KeyboardInterrupt
            yield item

    output = tmp_path / "r.h5"
    with contextlib.suppress(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        find_peaks(scan, [output], {"rings": 20}, progress=stop)
    assert journal_of(output).exists()
    find_peaks(scan, [output], {"rings": 20}, execution=Execution(resume=True, threads=3))
    np.testing.assert_array_equal(crystint.read_spots(output), spots)


def test_dask_joins_the_same(scan: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    spots = joined(scan, tmp_path / "p.h5")
    how = Execution(dask="local", threads=2, dask_frames=3)
    find_peaks(scan, [tmp_path / "d.h5"], {"rings": 20}, execution=how)
    np.testing.assert_array_equal(crystint.read_spots(tmp_path / "d.h5"), spots)


WEDGE = [f"stills/l_cysteine_wedge/l-cyst_01_{number:05d}.cbf.bz2" for number in range(1, 16)]
# fast, slow, z of dials.find_spots (DIALS 3.12, defaults) with 200 counts or more: dials.import of the 15 frames, then
# dials.find_spots imported.expt; xyzobs.px.value of strong.refl.
STRONG = (
    (408.18, 190.21, 6.44), (447.28, 262.80, 9.69), (896.68, 277.11, 7.97), (1022.47, 448.71, 11.98),
    (319.10, 598.48, 13.61), (992.22, 679.88, 5.87), (777.61, 696.93, 3.72), (651.51, 762.56, 9.15),
    (497.70, 788.80, 11.65), (1170.40, 791.50, 4.42), (748.54, 853.68, 11.75), (1132.26, 961.26, 12.14),
    (696.37, 972.69, 7.62), (543.66, 1004.15, 7.52), (1430.43, 1093.79, 5.75), (720.13, 1158.18, 13.04),
    (72.63, 1191.14, 9.34), (1026.71, 1228.33, 12.23), (549.73, 1380.17, 13.21), (807.19, 1412.61, 13.23),
    (10.99, 1413.17, 13.35), (154.55, 1529.68, 7.89), (977.81, 1559.14, 7.49),
)  # fmt: skip


@pytest.fixture(scope="module")
def wedge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spots of a real sweep, as a .refl, and its peaks."""
    folder = tmp_path_factory.mktemp("wedge")
    sources = [shared_data(name) for name in WEDGE]
    find_peaks(sources, [folder / "spots.refl", folder / "spots.h5"])
    return folder


def test_spots_of_a_real_sweep_are_where_dials_finds_them(wedge: Path) -> None:
    spots = crystint.read_spots(wedge / "spots.refl")
    places = np.stack([spots["fast"], spots["slow"], spots["z"]], axis=1)
    nearest = np.array([places[np.argmin(np.abs(places - one).max(axis=1))] for one in STRONG])
    offset = np.abs(nearest - STRONG)
    assert (offset[:, :2] < 0.4).all()
    assert (offset[:, 2] < 0.25).all()
    assert np.sqrt(np.mean(offset[:, 2] ** 2)) < 0.1


def test_every_peak_of_a_real_sweep_stands_at_or_above_the_threshold(wedge: Path) -> None:
    peaks = crystint.read_peaks(wedge / "spots.h5")
    assert len(peaks) > 280
    assert peaks["significance"].min() >= 5.0
    assert np.count_nonzero(peaks["snr"] < 5.0) > 60  # the other notion


def test_dials_indexes_the_spots(wedge: Path, tmp_path: Path) -> None:
    """Of dials.find_spots it indexes 45 (DIALS 3.12)."""
    for name in WEDGE:
        path = shared_data(name)
        (tmp_path / path.stem).write_bytes(bz2.decompress(path.read_bytes()))
    run_dials("dials.import", *sorted(path.name for path in tmp_path.glob("*.cbf")), folder=tmp_path)
    shutil.copy(wedge / "spots.refl", tmp_path)
    run_dials("dials.index", "imported.expt", "spots.refl", folder=tmp_path)
    flags = read_table(tmp_path / "indexed.refl")["flags"]
    assert np.count_nonzero(flags & 4) >= 45
