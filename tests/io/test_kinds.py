"""The catalogue of what a file is: one of every kind that crystint writes, and files that are not what they seem."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.errors import CrystintError, CrystintWarning, FileError
from crystint.io import kinds
from crystint.io.describe import describe
from crystint.io.frames.masks import read_mask
from crystint.io.geometry.files import read_geometry, write_geometry
from crystint.io.kinds import Kind, kind_of
from crystint.io.opened_file import OpenedFile
from crystint.references import resolve
from tests.conftest import DEVICES

WRITTEN = {
    "frames.h5": ("frames", "NXmx of crystint"),
    "dense.h5": ("frames", "NXmx of crystint"),
    "sparse.h5": ("sparse file", "plain"),
    "with_peaks.h5": ("sparse file", "plain"),
    "compact.h5": ("sparse file", "compact"),
    "peaks.cxi": ("peak list", "CXI"),
    "peaks.refl": ("peak list", "DIALS .refl"),
    "peaks.h5": ("peak list", "HDF5"),
    "peaks.json": ("peak list", "JSON lines"),
    "peaks.jsonl": ("peak list", "JSON lines"),
    "SPOT.XDS": ("peak list", "SPOT.XDS"),
    "peaks.refl.json": ("notes of a peak list", "JSON"),
    "geometry.json": ("geometry", "JSON"),
    "geometry.poni": ("geometry", "PONI"),
    "truth.h5": ("stills file", "HDF5"),
    "integrated.h5": ("stills file", "HDF5"),
    "scaled.h5": ("stills file", "HDF5"),
    "merged.h5": ("stills file", "HDF5"),
    "frames.expt": ("experiments", "DIALS .expt"),
    "unmerged.mtz": ("MTZ file", "unmerged"),
    "merged.mtz": ("MTZ file", "merged"),
    "reference.mtz": ("MTZ file", "merged"),
    "merged.txt": ("report", "text"),
    "predicted.csv": ("list of predicted spots", "CSV"),
    "predicted.refl": ("reflections", "predicted, DIALS .refl"),
    "predicted.h5": ("stills file", "HDF5"),
    "table.h5": ("convergent-beam table", "HDF5"),
    "table.csv": ("convergent-beam table", "CSV"),
    "setup.h5": ("convergent-beam setup", "HDF5"),
    "cbc-scaled.h5": ("scaled convergent-beam file", "HDF5"),
    "cbc.mtz": ("MTZ file", "merged"),
    "cbc.hkl": ("list of reflections", "SHELX or plain rows"),
    "cbc.txt": ("list of reflections", "text"),
    "polar.h5": ("polar images", "HDF5"),
    "correlations.h5": ("correlations", "HDF5"),
    "frames.h5.partial": ("journal", "journal"),
    "picture.png": ("picture", "PNG"),
    "picture.pdf": ("picture", "PDF"),
    "picture.svg": ("picture", "SVG"),
}
"""Every file that a command of crystint writes: kind and form."""
NOTHING_TO_DRAW = {"report", "journal", "picture"}


def run(*words: object) -> None:
    """A command that must work."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output[-2000:]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each file of `WRITTEN`."""
    folder = tmp_path_factory.mktemp("written")
    before = Path.cwd()
    os.chdir(folder)
    try:
        _write(folder)
    finally:
        os.chdir(before)
    return folder


def _write(folder: Path) -> None:
    device = ("--device", DEVICES[0].id, "-q")
    rings = ("--radii", "40,60", "--azimuths", "60")
    run("stills", "simulate", "-o", ".", "--frames", 3, "--shape", "200,210", "--distance", 0.05, "--d-min", 3.5, "-q")
    run("stills", "integrate", "frames.expt", "frames.h5", "-o", "integrated.h5", "--d-min", 3.5, "-q")
    run("stills", "scale", "integrated.h5", "-o", "scaled.h5", "-o", "unmerged.mtz", "-q")
    run("stills", "merge", "scaled.h5", *_outputs("merged.h5", "merged.mtz", "merged.txt", "picture.png"))
    run("stills", "predict", "frames.expt", *_outputs("predicted.csv", "predicted.refl", "predicted.h5"), "--d-min", 4)
    names = ("peaks.cxi", "peaks.refl", "peaks.h5", "peaks.json", "peaks.jsonl", "SPOT.XDS")
    run("peaks", "frames.h5", *_outputs(*names), "--rings", 60, *device)
    run("sparsify", "frames.h5", "-o", "sparse.h5", "--rings", 60, *device)
    run("sparsify", "frames.h5", "-o", "with_peaks.h5", "--rings", 60, "--peaks", *device)
    run("convert", "sparse.h5", "-o", "compact.h5", "--compact")
    run("densify", "sparse.h5", "-o", "dense.h5", *device)
    geometry = crystint.Geometry((200, 210), (172e-6, 172e-6), 0.05, (100.0, 105.0), wavelength=1.0)
    for name in ("geometry.json", "geometry.poni"):  # as crystint correlate center writes them
        write_geometry(name, geometry, provenance={"program": "crystint", "inputs": ["frames.h5"]})
    run("cbc", "simulate", "-o", "table.h5", "--frames", 2, "--d-min", 5)
    fit = ("--bandwidth", 2e-3, "--grid", "12,12", "--iterations", 2, "--no-errors", "-q")
    run("cbc", "scale", "table.h5", "-o", "cbc-scaled.h5", "--symmetry", "mmm", *fit)
    run("cbc", "merge", "cbc-scaled.h5", *_outputs("cbc.mtz", "cbc.hkl", "cbc.txt"))
    run("cbc", "plot", "cbc-scaled.h5", "-o", "picture.svg")
    from crystint.cbc import CBCSetup, read_table, write_table

    write_table("table.csv", read_table("table.h5"))
    CBCSetup.read("table.h5").write("setup.h5")
    run("correlate", "polar", "frames.h5", *rings, "-o", "polar.h5", "-q")
    run("correlate", "correlate", "frames.h5", *rings, "--outliers", 0, "-o", "correlations.h5", "-q")
    run("correlate", "plot", "polar.h5", "-o", "picture.pdf")
    from crystint.io.frame_record import FrameRecord
    from crystint.run.journal import Journal

    header = {"command": ["crystint", "peaks", "frames.h5"], "same": {"frames": 3}}
    journal = Journal.open(folder / "frames.h5", header, resume=False)
    journal.append(FrameRecord(0).pack())
    journal.append(FrameRecord(1, missing="frame 1 is damaged").pack())
    journal.close(keep=True)


def _outputs(*names: str) -> list[str]:
    return [word for name in names for word in ("-o", name)]


@pytest.mark.parametrize("name", WRITTEN)
def test_info_and_plot_know_what_crystint_writes(written, tmp_path, name):
    kind, form = WRITTEN[name]
    result = CliRunner().invoke(main, ["info", "--json", str(written / name)])
    assert result.exit_code == 0, result.output
    (about,) = json.loads(result.stdout)
    assert (about["kind"], about["form"]) == (kind, form)
    assert about["size"] == (written / name).stat().st_size
    assert kind in CliRunner().invoke(main, ["info", str(written / name)]).stdout
    words = ["plot", str(written / name), "-o", str(tmp_path / "o.png"), "--device", DEVICES[0].id]
    result = CliRunner().invoke(main, words)
    if kind in NOTHING_TO_DRAW:
        assert result.exit_code == 1
        assert "there is nothing to draw" in result.stderr
    else:
        assert result.exit_code == 0, result.output
        assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", WRITTEN)
def test_the_content_counts_whatever_the_name(written, tmp_path, name):
    kind, form = WRITTEN[name]
    by_name = {"SPOT.XDS": ".xds", "cbc.hkl": ".hkl", "peaks.refl.json": ".json", "merged.txt": ".txt"}
    for suffix in (by_name[name],) if name in by_name else (".dat", ".cbf", ".mtz", ".json", ""):
        copy = tmp_path / f"copy{suffix}"
        shutil.copyfile(written / name, copy)
        recognised = kind_of(copy)
        assert (recognised.name, recognised.form) == (kind, form)


def test_every_file_of_the_table_is_there_and_no_other_kind_is_written(written):
    assert set(WRITTEN) <= set(os.listdir(written))
    assert {kind_of(written / name).name for name in os.listdir(written)} == {kind for kind, _ in WRITTEN.values()}


@pytest.mark.parametrize("name", [name for name in WRITTEN if name.endswith((".h5", ".cxi"))])
def test_a_file_is_opened_once(written, name, monkeypatch):
    opened: list[str] = []
    first = h5py.File.__init__

    def counted(self, name, *args, **more):
        opened.append(str(name))
        return first(self, name, *args, **more)

    monkeypatch.setattr(h5py.File, "__init__", counted)
    describe(written / name)
    assert opened.count(str(written / name)) == 1


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_file_cut_short_is_one_error_or_still_something(written, tmp_path, name, share):
    content = (written / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(content[: int(share * len(content))])
    try:
        about = describe(cut)
    except CrystintError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert not name.endswith(".h5")
        assert about["kind"] == WRITTEN[name][0]


# ---------------------------------------------------------------------------------------------- what is expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sparse.h5", "is a sparse file (plain); expected frames: open it with crystint.open_sparse, or crystint dens"),
        ("table.h5", "is a convergent-beam table (HDF5); expected frames: crystint cbc scale goes on with it"),
        ("merged.h5", "is a stills file (HDF5); expected frames"),
        ("polar.h5", "holds polar images (HDF5); expected frames"),
        ("correlations.h5", "holds correlations (HDF5); expected frames"),
        ("peaks.refl", "is a peak list (DIALS .refl); expected frames: crystint.read_peaks reads it"),
        ("merged.mtz", "is an MTZ file (merged); expected frames"),
        ("geometry.poni", "is a geometry (PONI); expected frames: give it with -g"),
    ],
)
def test_frames_that_are_none(written, name, words):
    with pytest.raises(FileError) as caught:
        crystint.open_frames(written / name)
    assert f"{name} {words}" in str(caught.value)


@pytest.mark.parametrize(
    ("read", "name", "words"),
    [
        (crystint.open_sparse, "frames.h5", "holds frames (NXmx of crystint); expected a sparse file"),
        (crystint.open_sparse, "merged.mtz", "is an MTZ file (merged); expected a sparse file"),
        (crystint.read_peaks, "frames.h5", "holds frames (NXmx of crystint); expected a peak list"),
        (crystint.read_peaks, "merged.mtz", "is an MTZ file (merged); expected a peak list"),
        (crystint.read_peaks, "sparse.h5", "a sparse file without peaks: crystint sparsify stores them with --peaks"),
        (read_geometry, "peaks.json", "is a peak list (JSON lines); expected a geometry"),
        (read_geometry, "merged.mtz", "is an MTZ file (merged); expected a geometry"),
        (read_mask, "merged.txt", "is a report (text); expected a mask"),
    ],
)
def test_readers_say_what_a_file_is_instead(written, read, name, words):
    with pytest.raises(FileError) as caught:
        read(written / name)
    assert words in str(caught.value)


def test_peaks_are_read_whatever_the_name_and_from_sparse_files(written, tmp_path):
    shutil.copyfile(written / "peaks.cxi", tmp_path / "peaks.refl")
    peaks = crystint.read_peaks(tmp_path / "peaks.refl")
    assert len(peaks) == len(crystint.read_peaks(written / "peaks.cxi")) > 20
    with crystint.open_sparse(written / "with_peaks.h5") as sparse:
        np.testing.assert_array_equal(crystint.read_peaks(written / "with_peaks.h5"), sparse.peaks)


# ---------------------------------------------------------------------------------------------- files of others

OTHERS = {
    "XDS_ASCII.HKL": (b"!FORMAT=XDS_ASCII    MERGE=FALSE\n", "XDS reflection file", "POINTLESS"),
    "scan.ser": (b"II\x97\x01" + bytes(100), "electron microscope file", "MRC"),
    "scan.dm4": (b"\0\0\0\x04" + bytes(100), "electron microscope file", "MRC"),
    "model.pdb": (b"CRYST1   79.000   79.000   38.000\nATOM      1\n", "model", "gemmi sfcalc"),
    "model.cif": (b"data_1ABC\n_cell.length_a 79\nloop_\n_atom_site.id\n1\n", "model", "gemmi sfcalc"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_crystint_cannot_read_is_named_with_what_to_do(tmp_path, name):
    content, kind, words = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    about = describe(tmp_path / name)
    assert about["kind"] == kind
    assert words in about["note"]
    with pytest.raises(FileError, match="expected frames: crystint has no reader for it"):
        crystint.open_frames(tmp_path / name)


def test_hdf5_of_another_technique(tmp_path):
    with h5py.File(tmp_path / "t.nxs", "w") as file:
        file["entry/definition"] = "NXxas"
        file["entry/data/energy"] = np.arange(5.0)
    about = describe(tmp_path / "t.nxs")
    assert (about["kind"], about["form"], about["holds"]) == ("HDF5 file", "NeXus, NXxas", "/entry")
    assert "no reader" in about["note"]


def test_other_formats_of_frames_and_masks(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 30), np.uint16))
    assert kind_of(tmp_path / "a.npy").text == "frames (NumPy)"
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["entry/instrument/detector/pixel_mask"] = np.eye(30, dtype=np.uint32)
    about = describe(tmp_path / "m.h5")
    assert (about["kind"], about["mask"]) == ("mask", "30 px (3.33 %), bit 0: 30")
    with h5py.File(tmp_path / "master_master.h5", "w") as file:
        file["entry/data/data_000001"] = np.zeros((2, 20, 30), np.uint16)
    assert kind_of(tmp_path / "master_master.h5").form == "DECTRIS master"


@pytest.mark.parametrize("name", ["x.h5", "x.cbf", "x.cxi", "x.mtz", "x"])
def test_empty_missing_folders_and_text(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(FileError, match="does not exist"):
        kind_of(path)
    path.touch()
    with pytest.raises(FileError, match="is empty"):
        kind_of(path)
    path.write_text("these are words\n")
    with pytest.raises(FileError, match="of no kind that crystint knows; it reads part of a run, sparse file, "):
        describe(path) if name != "x.cbf" else kind_of(tmp_path / shutil.copyfile(path, tmp_path / "x.words"))
    path.unlink()
    path.mkdir()
    with pytest.raises(FileError, match="is a folder"):
        kind_of(path)


# ---------------------------------------------------------------------------------------------- the catalogue itself


def test_every_function_of_the_catalogue_is_there():
    for kind in kinds.kinds():
        assert kind.describe
        assert kind.advice
        assert kind.reader or kind.writer or kind.unreadable or kind.name == "report"
        for reference in (kind.reader, kind.writer, kind.describe, kind.draw):
            if reference:
                assert callable(resolve(reference))


def its_form(file: OpenedFile) -> str | None:
    """Of the kind of another package."""
    return "HDF5" if file.hdf5 is not None and "tomogram" in file.hdf5 else None


TOMOGRAM = Kind(
    "tomogram",
    f"{__name__}:its_form",
    (".h5",),
    describe=f"{__name__}:its_description",
    draw=f"{__name__}:its_drawing",
    advice="tomography reads it",
)


def its_description(file: OpenedFile) -> dict[str, object]:
    """Of the kind of another package."""
    assert file.hdf5 is not None
    return {"slices": len(file.hdf5["tomogram"])}


def its_drawing(_file: OpenedFile, view: object) -> object:
    """Of the kind of another package."""
    return crystint.plot.plot_mask(np.eye(30), title=view.title())  # type: ignore[attr-defined]


def _breaks(file):
    if file.path.name == "f.h5":
        raise ValueError("it broke")


FRAGILE = kinds.Kind("fragile thing", _breaks)


@pytest.fixture
def registered(monkeypatch):
    """Entry points of another package: a kind, and one that cannot be loaded."""
    points = [
        EntryPoint("tomogram", f"{__name__}:TOMOGRAM", kinds.ENTRY_POINTS),
        EntryPoint("broken", "no.such.module:KIND", kinds.ENTRY_POINTS),
        EntryPoint("fragile", f"{__name__}:FRAGILE", kinds.ENTRY_POINTS),
    ]
    monkeypatch.setattr(kinds, "entry_points", lambda group: points if group == kinds.ENTRY_POINTS else [])
    kinds._of_other_packages.cache_clear()
    yield
    kinds._of_other_packages.cache_clear()


def test_a_kind_of_another_package_that_raises_is_left_out(registered, tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["entry/data/data"] = np.zeros((4, 30, 30), np.uint16)
    fragile = pytest.warns(CrystintWarning, match="'fragile thing' is left out for .*f.h5: it broke")
    with fragile, pytest.warns(CrystintWarning, match="'broken' .* is left out"):
        assert kinds.kind_of(tmp_path / "f.h5").name == "frames"


@pytest.mark.parametrize("loop", ["/entry/data/data", "/entry/data"])
def test_links_that_lead_in_circles_are_a_file_error(tmp_path, loop):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file[loop] = h5py.SoftLink(loop)
    with pytest.raises(FileError, match="links lead nowhere"):
        kinds.kind_of(tmp_path / "f.h5")


def test_another_package_adds_a_kind(registered, tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["tomogram"] = np.zeros((4, 30, 30), np.uint16)
    with pytest.warns(CrystintWarning, match="'broken' .* is left out"):
        about = describe(tmp_path / "t.h5")
    assert (about["kind"], about["slices"]) == ("tomogram", 4)
    run("plot", tmp_path / "t.h5", "-o", tmp_path / "t.png")
