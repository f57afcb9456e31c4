"""Raw frames in parts and their master, read by h5py, FabIO and crystint."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

import crystint
from crystint.errors import FileError
from crystint.io.describe import describe
from crystint.io.frame_record import FrameRecord
from crystint.io.outputs import atomic_path
from crystint.io.series.part_file import checksum
from crystint.online.raw_files import RawFiles
from crystint.online.raw_part import RawPart, working_name
from crystint.run.journal import Journal, header_of, journal_of
from crystint.stream.messages import Image
from crystint.stream.packed_frame import PackedFrame
from tests.online.series_of_frames import SHAPE, counts, image_of, pack, start_of


def written(folder, start, numbers, per_file=10, end=True, **more):
    files = RawFiles(folder, "run", start, images_per_file=per_file, **more)
    for number in numbers:
        files.write(image_of(start.series, number))
    if end:
        files.finish()
    return files


@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32"])
def test_the_bytes_of_the_detector_are_those_of_the_chunk(tmp_path, algorithm, dtype):
    start = start_of(3)
    files = RawFiles(tmp_path, "run", start)
    frame = counts(5, dtype)
    image = image_of(start.series, 1, frame, algorithm)
    assert files.write(image)
    files.finish()
    with h5py.File(tmp_path / "run_data_000001.h5") as file:
        data = file["entry/data/data"]
        assert data.id.read_direct_chunk((1, 0, 0))[1] == image.frames["threshold_1"].data.tobytes()
        assert data.dtype == dtype
        assert np.array_equal(data[1], frame)
        marker = -1 if dtype.startswith("int") else np.iinfo(dtype).max
        assert (data[0] == marker).all()
        assert file["entry/data/image_id"][()].tolist() == [-1, 1, -1]
    with h5py.File(tmp_path / "run_master.h5") as file:
        assert np.array_equal(file["entry/data/data"][1], frame)


def test_images_in_any_order_each_land_in_their_file(tmp_path):
    numbers = [*range(12), 25, 3, *range(26, 34), 12, 24, *range(13, 24)]
    files = written(tmp_path, start_of(40), numbers)
    assert sorted(files.files) == [f"run_data_{part:06d}.h5" for part in (1, 2, 3, 4)]
    assert files.present().tolist() == list(range(34))
    assert not list(tmp_path.glob("*.part*"))
    with h5py.File(tmp_path / "run_master.h5") as file:
        data = file["entry/data/data"]
        assert data.shape == (40, *SHAPE)
        for number in range(40):
            assert np.array_equal(data[number], counts(number)) if number < 34 else (data[number] == 65535).all()


def test_the_master_opens_at_every_moment(tmp_path):
    start = start_of(35)
    files = RawFiles(tmp_path, "run", start, images_per_file=10)
    for number in range(25):
        files.write(image_of(start.series, number))
        with h5py.File(tmp_path / "run_master.h5") as file:
            data, closed = file["entry/data/data"], number // 10 * 10 + (10 if number % 10 == 9 else 0)
            assert len(data) >= 35
            for seen in (0, 9, 10, 19, 20, 24, 34):
                there = seen < closed
                assert np.array_equal(data[seen], counts(seen)) if there else (data[seen] == 65535).all()
    files.finish(25)
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert len(frames) == 25
        assert not frames.missing
    with h5py.File(tmp_path / "run_data_000003.h5") as file:
        assert file["entry/data/data"].shape == (5, *SHAPE)
        assert file["entry/data/data"].attrs["image_nr_low"] == 21
        assert file["entry/data/data"].attrs["image_nr_high"] == 25


def test_a_master_of_unknown_length_grows(tmp_path):
    start = start_of(None)
    files = RawFiles(tmp_path, "run", start, images_per_file=4)
    for number in range(30):
        files.write(image_of(start.series, number))
        with h5py.File(tmp_path / "run_master.h5") as file:
            assert len(file["entry/data/data"]) > number
    files.finish()
    with fabio.open(tmp_path / "run_master.h5") as image:
        assert image.nframes == 30
        assert np.array_equal(image.getframe(17).data, counts(17))


def test_all_channels_are_written_and_the_first_is_shown(tmp_path):
    start = start_of(2)
    files = RawFiles(tmp_path, "run", start)
    for number in range(2):
        files.write(image_of(start.series, number, channels=("threshold_1", "threshold_2")))
    files.finish()
    with h5py.File(tmp_path / "run_master.h5") as file:
        assert np.array_equal(file["entry/data/data"][1], counts(1))
        assert np.array_equal(file["entry/data_threshold_2/data"][1], counts(1) + 1)
        assert file["entry/data_threshold_2"].attrs["channel"] == "threshold_2"


def test_frames_that_hdf5_cannot_take_as_they_are_are_packed_anew(tmp_path):
    start, frame = start_of(4), counts(3)
    big = frame.astype(">u2")
    images = [
        {"a": PackedFrame(big.reshape(-1).view(np.uint8), SHAPE, big.dtype, "none")},
        {"a": PackedFrame(np.ascontiguousarray(frame.T).reshape(-1).view(np.uint8), SHAPE, frame.dtype, "none", True)},
        {"a": PackedFrame(pack(frame, "lz4"), SHAPE, frame.dtype, "lz4")},
        {"a": PackedFrame(pack(frame, "none"), SHAPE, frame.dtype, "none")},
    ]
    for order in (images, images[::-1]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        files = RawFiles(folder, "run", start)
        for number, frames in enumerate(order):
            assert files.write(Image(start.series, number, frames))
        files.finish()
        with h5py.File(folder / "run_master.h5") as file:
            assert (file["entry/data/data"][()] == frame).all()
        with crystint.open_frames(folder / "run_master.h5") as opened:
            assert all((opened[number] == frame).all() for number in range(4))


def test_what_does_not_fit_is_left_out_and_told(tmp_path):
    told = []
    start = start_of(3)
    files = RawFiles(tmp_path, "run", start, tell=lambda name, data: told.append((name, data)))
    assert files.write(image_of(start.series, 0))
    assert not files.write(image_of(start.series, 1, counts(1, "uint32")))
    short = image_of(start.series, 1)
    frame = short.frames["threshold_1"]
    for data in (frame.data[:8], np.concatenate([np.full(8, 255, np.uint8), frame.data[8:]])):
        damaged = {"threshold_1": PackedFrame(data, SHAPE, frame.dtype, "bslz4")}
        assert not files.write(Image(start.series, 1, damaged))
    assert not files.write(image_of(start.series, 2, np.zeros((3, 4), np.uint16)))
    assert (files.written, files.unfit) == (1, 4)
    assert any("uint32" in data["text"] for name, data in told if name == "warning")
    files.finish()
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert sorted(frames.missing) == [1, 2]


def test_an_image_that_comes_when_its_part_is_closed_is_counted(tmp_path):
    told = []
    start = start_of(100)
    files = RawFiles(tmp_path, "run", start, images_per_file=2, tell=lambda name, data: told.append((name, data)))
    for number in (0, 2, 4, 6, 8, 10):
        files.write(image_of(start.series, number))
    assert files.files == ["run_data_000001.h5"]
    assert not files.write(image_of(start.series, 1))
    assert files.write(image_of(start.series, 0))
    assert files.late == 1
    assert [data["text"] for name, data in told if name == "warning"] != []
    files.finish(11)
    assert files.present().tolist() == [0, 2, 4, 6, 8, 10]


def test_a_rotation_is_one_file_that_turns(tmp_path):
    start = start_of(1500, goniometer={"chi": (5.0, 0.0), "omega": (90.0, 0.25)})
    files = RawFiles(tmp_path, "run", start)
    assert files.images_per_file == 1500
    files.write(image_of(start.series, 0))
    files.write(image_of(start.series, 1))
    files.finish(2)
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert frames.scan.names == ("omega",)
        assert frames.scan.angles.tolist() == [[90.0, 90.25]]
        assert frames.geometry.distance == 0.1
        assert frames.scan.exposure.tolist() == [0.0099, 0.0099]


def test_geometry_mask_and_limits_stand_in_the_master(tmp_path):
    start = start_of(1, instrument=crystint.Instrument(saturation=1000.0, material="Si", thickness=4.5e-4))
    mask = np.zeros(SHAPE, np.uint32)
    mask[3, 4], mask[5, 6] = 1, 0x100
    files = RawFiles(tmp_path, "run", start, mask=mask)
    files.write(image_of(start.series, 0))
    files.finish()
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert np.array_equal(frames.mask, mask)
        assert frames.saturation == 1000.0
        assert frames.geometry.beam_center == pytest.approx((20.0, 25.0))
        assert frames.instrument.thickness == pytest.approx(4.5e-4)


def test_a_part_that_was_being_written_is_gone_on_with_where_it_is(tmp_path):
    start = start_of(10)
    files = written(tmp_path, start, [0, 1, 3], end=False)
    part = tmp_path / "run_data_000001.h5"
    before = working_name(part).read_bytes()
    files.abandon()
    again = RawFiles(tmp_path, "run", start, images_per_file=10)
    assert again.present().tolist() == [0, 1, 3]
    assert again.recovered == 3
    assert describe(journal_of(part))["images"] == 3
    for number in (2, 3, 4):
        assert again.write(image_of(start.series, number))
    assert again.written == 2
    again.finish(5)
    with h5py.File(part) as file:
        assert np.array_equal(file["entry/data/data"][()], np.array([counts(number) for number in range(5)]))
        offset = file["entry/data/data"].id.get_chunk_info_by_coord((0, 0, 0)).byte_offset
    chunk = pack(counts(0)).tobytes()
    assert before[offset : offset + len(chunk)] == chunk


@pytest.mark.parametrize("hurt", ["bytes", "offset", "end"])
def test_frames_that_the_disk_never_got_are_lost_and_the_others_are_not(tmp_path, hurt):
    told = []
    start = start_of(10)
    written(tmp_path, start, range(6), end=False).abandon()
    part = tmp_path / "run_data_000001.h5"
    working, journal = working_name(part), journal_of(part)
    size = len(pack(counts(2)))
    if hurt == "bytes":
        content = bytearray(working.read_bytes())
        at = bytes(content).index(pack(counts(2)).tobytes())
        content[at + 20 : at + size] = bytes(size - 20)
        working.write_bytes(content)
        lost = {2}
    elif hurt == "end":
        content = working.read_bytes()
        os.truncate(working, content.index(pack(counts(5)).tobytes()) + 10)
        lost = {5}
    else:  # as of another version of HDF5, which puts chunks elsewhere: an empty block in front
        content, lost = working.read_bytes(), set()
        working.write_bytes(bytes(64) + content)
        opened = Journal.open(part, header_of(part), resume=True)
        records = [FrameRecord.unpack(record) for record in opened.replay()]
        header = opened.header
        opened.close(keep=False)
        opened = Journal.open(part, header, resume=False)
        for record in records:
            facts = dict(record.facts)
            facts |= {"at": facts["at"] + 64} if "at" in facts else {}
            opened.append(FrameRecord(record.number, None, facts).pack())
        opened.close(keep=True)
    assert journal.exists()
    again = RawFiles(tmp_path, "run", start, images_per_file=10, tell=lambda name, data: told.append(data))
    assert set(again.present().tolist()) == set(range(6)) - lost
    assert bool(lost) == any("not yet on the disk" in data.get("text", "") for data in told)
    again.write(image_of(start.series, 6))
    again.finish(7)
    with h5py.File(tmp_path / "run_master.h5") as file:
        for number in range(7):
            shown = file["entry/data/data"][number]
            assert (shown == 65535).all() if number in lost else np.array_equal(shown, counts(number))


def test_a_part_of_another_series_is_refused(tmp_path):
    written(tmp_path, start_of(10), [0], end=False).abandon()
    with pytest.raises(FileError, match="another run"):
        RawFiles(tmp_path, "run", start_of(10, "b"), images_per_file=10)


def test_a_part_that_another_process_writes_is_refused(tmp_path):
    part = RawPart(tmp_path / "x.h5", 0, 10, {})
    with pytest.raises(FileError, match="being written by another run"):
        RawPart(tmp_path / "x.h5", 0, 10, {})
    part.discard()
    assert not list(tmp_path.iterdir())


def test_parts_are_closed_elsewhere(tmp_path):
    told = []
    with ThreadPoolExecutor(1) as pool:
        written(tmp_path, start_of(20), range(20), closer=pool, tell=lambda name, data: told.append((name, data)))
    assert [data["first_image"] for name, data in told if name == "file"] == [0, 10, 0]


def test_the_sum_of_a_chunk_tells_what_is_missing():
    chunk = np.arange(1, 1004).astype(np.uint8)
    words = [int.from_bytes(chunk[at : at + 8].tobytes(), "little") for at in range(0, 1000, 8)]
    rest = int.from_bytes(chunk[1000:].tobytes(), "little")
    assert checksum(chunk) == (sum(words) + rest) % 2**64
    cut = chunk.copy()
    cut[512:] = 0
    assert checksum(cut) != checksum(chunk)


@pytest.mark.parametrize("images", [None, 20])
def test_a_number_that_cannot_be_makes_no_file(tmp_path, images):
    start = start_of(images)
    files = RawFiles(tmp_path, "run", start, images_per_file=10)
    for number in (0, 2_000_000_000, 1, 12_000_000 if images is None else 20):
        files.write(image_of(start.series, number, counts(0)))
    assert (files.written, files.unfit) == (2, 2)
    files.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_data_000001.h5", "run_master.h5"]
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert len(frames) == (2 if images is None else 20)


def test_what_a_kill_leaves_beside_whole_files_is_removed(tmp_path):
    start = start_of(20)
    written(tmp_path, start, range(12), end=False).abandon()
    part = tmp_path / "run_data_000001.h5"
    Journal.open(part, {"same": {}}, resume=False).close(keep=True)
    with suppress(KeyError), atomic_path(tmp_path / "run_master.h5", overwrite=True) as temporary:
        kept = temporary.with_name("kept")
        os.link(temporary, kept)
        left = temporary
        raise KeyError
    kept.rename(left)
    again = RawFiles(tmp_path, "run", start, images_per_file=10)
    again.write(image_of(start.series, 12))
    again.finish(13)
    assert again.present().tolist() == list(range(13))
    names = ["run_data_000001.h5", "run_data_000002.h5", "run_master.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
