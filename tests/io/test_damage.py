"""What is wrong with a file is an error of that file, whichever reader meets it, and takes no memory."""

from __future__ import annotations

import bz2
import gzip
import json

import gemmi
import h5py
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage

import crystint
from crystint import stills
from crystint.errors import CrystintError, CrystintWarning, FileError, GeometryError
from crystint.io.describe import describe
from crystint.io.frames.masks import read_mask
from crystint.io.frames.virtual import _whole_frames
from crystint.io.guard import guarded, reads_file
from crystint.io.hdf5.checked import stored_bytes
from crystint.io.hdf5.files import open_hdf5
from tests.io.hdf5_files import SHAPE, stack

FRAME = stack(1, dtype=np.int32)[0]


# ---------------------------------------------------------------------------------------------- the guard


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("radius"), "'radius' is missing"),
        (KeyError("Unable to open object (no 'x')"), "Unable to open"),
        (MemoryError("62 GiB"), "more memory than there is"),
        (RecursionError(), "nested too deeply"),
        (OverflowError("int too large"), "int too large"),
        (AssertionError(), "AssertionError"),
        (OSError("cannot read"), "cannot read"),
        (SystemError("NULL"), "NULL"),
    ],
)
def test_what_a_reader_trips_over_names_file_place_and_cause(error, words):
    with pytest.raises(FileError, match=f"^a/run.h5, frame 3: .*{words}") as raised, guarded("a/run.h5", "frame 3"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [NameError("x"), ImportError("no module"), CrystintWarning("w"), KeyboardInterrupt()])
def test_what_no_file_causes_passes_the_guard(error):
    with pytest.raises(type(error)) as raised, guarded("a/run.h5"):
        raise error
    assert raised.value is error


def test_errors_of_crystint_stay_and_name_the_file_once():
    with pytest.raises(GeometryError, match=r"^a/run.h5: no distance$"), guarded("a/run.h5"):
        raise GeometryError("no distance")
    with pytest.raises(GeometryError, match=r"^run.h5 has none$"), guarded("a/run.h5"):
        raise GeometryError("run.h5 has none")


def test_a_reader_with_the_guard_is_the_same_reader():
    @reads_file
    def read(path, number=0):
        """Reads."""
        return 1 // number

    assert (read("x", 1), read(path="x", number=1), read.__doc__) == (1, 1, "Reads.")
    with pytest.raises(FileError, match=r"^x: .*zero"):
        read(path="x")


# ---------------------------------------------------------------------------------------------- CBF


def cbf(path, data=FRAME):
    CbfImage(data=data).write(str(path))
    return path.read_bytes()


def with_size(content, more):
    """A CBF file with bytes behind its pixels, which its header counts, and without a checksum."""
    start = content.index(b"\x0c\x1a\x04\xd5") + 4
    size = int(content.split(b"X-Binary-Size: ")[1].split(b"\r\n")[0])
    head = b"\r\n".join(line for line in content[:start].split(b"\r\n") if not line.startswith(b"Content-MD5"))
    head = head.replace(b"X-Binary-Size: %d\r" % size, b"X-Binary-Size: %d\r" % (size + len(more)))
    return head + content[start : start + size] + more + content[start + size :]


def test_bytes_behind_the_last_pixel_are_damage(tmp_path):
    content = cbf(tmp_path / "a.cbf")
    for more, damaged in ((b"", False), (b"\0\0\0", False), (b"\x05", True), (b"\0\x01\x80\x01\x02", True)):
        (tmp_path / "b.cbf").write_bytes(with_size(content, more))
        with crystint.open_frames(tmp_path / "b.cbf") as frames:
            if damaged:
                with pytest.raises(FileError, match=r"b\.cbf is damaged: its image goes on"):
                    frames[0]
            else:
                assert np.array_equal(frames[0], FRAME)


@pytest.mark.parametrize("size", [b"100000", b"4000000000"])
def test_a_cbf_that_claims_pixels_is_not_believed(tmp_path, size):
    content = cbf(tmp_path / "a.cbf").replace(b"Dimension: 47", b"Dimension: " + size)
    (tmp_path / "b.cbf").write_bytes(content.replace(b"Dimension: 31", b"Dimension: " + size))
    for read in (describe, lambda path: crystint.open_frames(path)[0]):
        with pytest.raises(FileError, match=r"b\.cbf.* pixels"):
            read(tmp_path / "b.cbf")


@pytest.mark.parametrize("name", ["a.cbf", "a.img", "a.cbf.gz"])
def test_a_cbf_without_its_beginning_is_no_other_format(tmp_path, name, monkeypatch):
    monkeypatch.setattr("fabio.open", lambda *_: pytest.fail("given to FabIO"))
    content = cbf(tmp_path / "x.cbf")
    rest = content[content.index(b"--CIF-BINARY") - 30 :]
    (tmp_path / name).write_bytes(gzip.compress(rest) if name.endswith("gz") else rest)
    with crystint.open_frames(tmp_path / name) as frames:
        assert np.array_equal(frames[0], FRAME)  # what is left is whole
    (tmp_path / "b.cbf").write_bytes(b"\r\n" * 3 + content[400:])
    with pytest.raises(FileError, match=r"b\.cbf"):
        describe(tmp_path / "b.cbf")


# ---------------------------------------------------------------------------------------------- packed


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("kind", ["cbf", "tif", "edf"])
def test_zeros_packed_a_million_times_are_not_unpacked(tmp_path, pack, kind, monkeypatch):
    monkeypatch.setattr("crystint.io.limits.ANY_FILE", 1 << 20)
    monkeypatch.setattr("crystint.io.limits.MOST_PACKED", 100)
    heads = {"cbf": cbf(tmp_path / "x.cbf")[:-3000], "tif": b"II*\0\x08\0\0\0", "edf": b"{\nDim_1 = 2 ;\nDim_2 = 2 ;\n"}
    path = tmp_path / f"a.{kind}.packed"
    path.write_bytes(pack(heads[kind] + bytes(1 << 24)))
    with pytest.raises(FileError, match=r"a\.\w+\.packed.*(claims|truncated|pixels)"):
        crystint.open_frames(path)[0]


@pytest.mark.parametrize("at", [0.3, 0.9])
def test_frames_behind_a_damaged_packed_one_are_read(tmp_path, at):
    """zlib, bz2 and gzip raise three unlike classes."""
    content = cbf(tmp_path / "a.cbf")
    for number, pack in enumerate((gzip.compress, bz2.compress, gzip.compress, bz2.compress)):
        packed = bytearray(pack(content))
        if number in (1, 2):
            packed[int(at * len(packed)) :][:20] = b"\x00" * 20
            del packed[int(at * len(packed)) :]
        (tmp_path / f"f_{number}.cbf.gz").write_bytes(packed)
    frames = crystint.open_frames(str(tmp_path / "f_*.cbf.gz"))
    for number in (1, 2):
        with pytest.raises(FileError, match=rf"f_{number}\.cbf\.gz"):
            frames[number]
    assert np.array_equal(frames[3], FRAME)


# ---------------------------------------------------------------------------------------------- claims of other formats


@pytest.mark.parametrize(
    "change",
    [
        (b"Dim_2 = 31", b"Dim_2147483648 = 31"),
        (b"Dim_1 = 47", b"Dim_1 = 1e11"),
        (b"Dim_2 = 31", b"dim_2 = 99999999999"),
        (b"\nSize = ", b"\nSize = 99999999"),
    ],
)
@pytest.mark.parametrize("frame", [1, 2])
def test_edf_headers_are_judged_before_fabio_reads_them(tmp_path, change, frame):
    image = EdfImage(data=FRAME)
    image.append_frame(data=FRAME)
    image.write(str(tmp_path / "a.edf"))
    content = (tmp_path / "a.edf").read_bytes()
    for name, pack in (("b.edf", bytes), ("b.edf.gz", gzip.compress)):
        parts = content.split(change[0])
        damaged = change[0].join(parts[:frame]) + change[1] + change[0].join(parts[frame:])
        (tmp_path / name).write_bytes(pack(damaged))
        with pytest.raises(FileError, match=r"b\.edf.*(axis|claims)"):
            crystint.open_frames(tmp_path / name)


@pytest.mark.parametrize("counts", [b"999999999", b"2000000000"])
def test_counts_of_an_mtz_are_judged_before_memory_is_taken(tmp_path, counts):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 1"), gemmi.UnitCell(9, 9, 9, 90, 90, 90)
    mtz.add_dataset("d")
    mtz.add_column("I", "J")
    mtz.set_data(np.array([(1, 2, 3, 4.0)], np.float32))
    mtz.write_to_file(str(tmp_path / "a.mtz"))
    content = (tmp_path / "a.mtz").read_bytes()
    at = content.index(b"NCOL ")
    line = content[at : at + 80]
    for column, words in ((2, b"reflections"), (3, b"batches")):
        parts = line.split()
        parts[column] = counts
        (tmp_path / "b.mtz").write_bytes(content.replace(line, b" ".join(parts).ljust(80)))
        for read in (describe, stills.read_reference):
            with pytest.raises(FileError, match=rf"b\.mtz .*{counts.decode()} {words.decode()}"):
                read(tmp_path / "b.mtz")


def test_a_scan_of_a_billion_images_is_refused(tmp_path):
    data = stills.simulate_stills(2, d_min=4.0, shape=(60, 70), distance=0.02, seed=1)
    stills.write_frames(data, tmp_path / "s.h5")
    content = json.loads((tmp_path / "s.expt").read_text())
    content["scan"] = [{"image_range": [1, 10**9], "oscillation": [0.0, 0.1]}]
    for entry in content["experiment"]:
        entry["scan"] = 0
    (tmp_path / "s.expt").write_text(json.dumps(content))
    with pytest.raises(FileError, match=r"s\.expt: its scans claim 1000000000 images"):
        stills.read_experiment(tmp_path / "s.expt")


def test_a_detector_of_a_geometry_file_has_pixels_that_can_be(tmp_path):
    values = crystint.simulate.simulate((60, 70), frames=1, seed=1).geometry.to_dict()
    (tmp_path / "g.json").write_text(json.dumps(values | {"shape": [10**6, 10**6], "beam_center": [5e5, 5e5]}))
    with pytest.raises(FileError, match=r"g\.json claims a detector of 1000000 x 1000000 px"):
        crystint.Geometry.read(tmp_path / "g.json")


def test_numpy_headers_and_masks_take_no_memory(tmp_path):
    for name in ("frames.npy", "mask.npy"):
        np.save(tmp_path / name, np.zeros((31, 47), bool if name == "mask.npy" else np.int32))
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content.replace(b"(31, 47), }" + b" " * 12, b"(3100000000, 470), }   "))
        with pytest.raises(FileError, match=rf"{name}"):
            read_mask(tmp_path / name)


# ---------------------------------------------------------------------------------------------- HDF5


def test_frames_that_no_file_holds_are_refused_and_cost_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", (3 * 10**9, 20, 30), "u2", chunks=(1, 20, 30))
    with pytest.raises(FileError, match="claims 3000000000 frames"):
        crystint.open_frames(tmp_path / "a.h5")


def test_a_sparse_index_finds_the_chunks_that_are_there(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("entry/data/data", (5 * 10**6, 20, 30), "u2", chunks=(1, 20, 15))
        for number in (7, 4_999_999, 12):
            data[number] = number % 60000
        data[13, :, 15:] = 5
        assert stored_bytes(data) < 10000
    with crystint.open_frames(tmp_path / "a.h5") as frames:
        for number in (4_999_999, 7, 12):
            assert (frames[number] == number % 60000).all()


@pytest.mark.parametrize(
    ("place", "shape"), [("distance", (10**9,)), ("beam_center_x", (10**5, 10**5)), ("y_pixel_size", (2**40,))]
)
def test_scalars_that_are_endless_lists_are_refused(tmp_path, place, shape):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = stack(2)
        detector = file.create_group("entry/instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        detector.create_dataset(place, shape, "f8", chunks=(100,) * len(shape))
    with pytest.raises(FileError, match=rf"{place}, claims"):
        _ = crystint.open_frames(tmp_path / "a.h5").geometry


def test_peak_tables_as_full_as_a_disk_are_refused(tmp_path):
    with h5py.File(tmp_path / "p.cxi", "w") as file:
        result = file.create_group("entry_1/result_1")
        result["nPeaks"] = np.array([1, 2, 2**33])
        for name in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity"):
            result.create_dataset(name, (3, 2**34), "f4", chunks=(1, 64))
    with pytest.raises(FileError, match=r"p\.cxi.*peak\w+ claims"):
        crystint.read_peaks(tmp_path / "p.cxi")


def test_peaks_that_a_sparse_file_only_claims_are_refused(tmp_path):
    data = crystint.simulate.simulate((60, 70), peaks=3, seed=1)
    separator = crystint.Separator(data.geometry, data.mask, rings=20)
    where = {"geometry": data.geometry, "provenance": {}}
    with crystint.SparseWriter(tmp_path / "s.h5", separator.rings, data.dtype, **where) as writer:
        writer.write(separator.sparsify(data[0]))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        columns = file.create_group("entry_0000/peaks/columns")
        for name in crystint.PEAK_DTYPE.names:
            columns.create_dataset(name, (2**31,), "f4", chunks=(1000,))
    with crystint.open_sparse(tmp_path / "s.h5") as opened, pytest.raises(FileError, match="columns claims"):
        _ = opened.peaks


def test_a_virtual_source_of_endless_frames_is_not_believed(tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (2**31, *SHAPE), "u2", chunks=(1, *SHAPE))[0] = 1
    layout = h5py.VirtualLayout((2, *SHAPE), "u2")
    layout[:] = h5py.VirtualSource("b.h5", "data", shape=(2**31, *SHAPE))[:2]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    frames = crystint.open_frames(tmp_path / "a.h5")
    assert all("2147483648 frames" in reason for reason in frames.missing.values())
    assert len(frames.missing) == 2


def test_a_virtual_selection_of_endless_frames_takes_no_memory():
    space = h5py.h5s.create_simple((2**40, *SHAPE))
    space.select_hyperslab((0, 0, 0), (2**39, *SHAPE))
    assert _whole_frames(space, most=4) is None
    space.select_hyperslab((2, 0, 0), (3, *SHAPE))
    assert _whole_frames(space, most=4).tolist() == [2, 3, 4]


def free_object_without_size(content):
    """The free space of the first heap that has texts, of length 0: HDF5 steps over it for ever."""
    at = content.index(b"GCOL") + 16
    while int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    return content[: at + 8] + bytes(8) + content[at + 16 :]


def test_a_heap_without_an_end_is_seen_before_hdf5_walks_through_it(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/title"] = "a title"
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/data/data"] = stack(2)
    content = (tmp_path / "a.h5").read_bytes()
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file["entry/title"].asstr()[()] == "a title"
    (tmp_path / "b.h5").write_bytes(free_object_without_size(content))
    with open_hdf5(tmp_path / "b.h5") as file:
        for read in (lambda: file["entry/title"][()], lambda: file["entry"].attrs["NX_class"]):
            with pytest.raises(FileError, match=r"b\.h5 is damaged: one of its heaps"):
                read()


def test_lists_and_references_in_attributes_are_not_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = stack(2)
        values = np.empty(1, object)
        values[0] = np.arange(3, dtype=np.uint8)
        file["entry"].attrs.create("NX_class", values, dtype=h5py.vlen_dtype(np.uint8))
        file["entry"].attrs.create("default", file["entry"].ref, dtype=h5py.ref_dtype)
    with open_hdf5(tmp_path / "a.h5") as file:
        for name in ("NX_class", "default"):
            with pytest.raises(FileError, match=rf"attribute {name}, is of a type"):
                file["entry"].attrs.get(name)


# ---------------------------------------------------------------------------------------------- every reader


@pytest.mark.parametrize("name", ["entry_0000/sparse_frames/intensity", "entry_0000/crystint/ring_radius"])
def test_what_is_read_lazily_is_guarded_as_well(tmp_path, name):
    data = crystint.simulate.simulate((60, 70), background=5.0, peaks=3, intensity=900.0, dtype="uint16", seed=1)
    separator = crystint.Separator(data.geometry, data.mask, rings=20)
    with crystint.SparseWriter(
        tmp_path / "s.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ) as writer:
        writer.write(separator.sparsify(data[0]))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        shape = file[name].shape
        del file[name]
        file[name] = np.full(shape, b"x", "S3")

    def read():
        with crystint.open_sparse(tmp_path / "s.h5") as file:
            return file[0], file.rings

    with pytest.raises(CrystintError, match=r"s\.h5"):
        read()


def test_asking_for_a_part_of_a_damaged_stills_file_is_guarded(tmp_path, monkeypatch):
    data = stills.simulate_stills(2, d_min=4.0, shape=(60, 70), distance=0.02, seed=1)
    stills.write_stills(tmp_path / "r.h5", experiment=data.experiment, provenance={})
    with stills.open_stills(tmp_path / "r.h5") as file:
        monkeypatch.setattr(h5py.Group, "__contains__", lambda *_: 1 // 0)
        with pytest.raises(FileError, match=r"r\.h5: .*zero"):
            _ = "experiment" in file
