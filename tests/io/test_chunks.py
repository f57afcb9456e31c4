"""Frames read without HDF5 equal those that HDF5 reads; damaged chunks are errors with the frame's number."""

from __future__ import annotations

import gc
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.cbfimage import CbfImage

from crystint.errors import DTypeError, FileError, MissingFrameError, ShapeError
from crystint.io.frames.cbf import CbfReader
from crystint.io.frames.library_log import log_messages
from crystint.io.frames.sequence import open_frames
from crystint.io.frames.virtual import VirtualReader
from crystint.io.hdf5.chunks import ChunkReader, layer_cache
from crystint.io.hdf5.filters import DamagedChunk, Filter, can_decode, decode
from crystint.io.hdf5.pool import ResourcePool
from tests.conftest import shared_data
from tests.io.hdf5_files import SHAPE, eiger_master, stack, virtual_master
from tests.oracles.bslz4 import unpack_bslz4

FRAMES = stack(7)
CODECS = {
    "none": {},
    "shuffle": {"shuffle": True},
    "bitshuffle": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bslz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bslz4, short blocks": dict(hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    "bszstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4, short blocks": dict(hdf5plugin.LZ4(nbytes=256)),
    "zstd": dict(hdf5plugin.Zstd()),
    "shuffle and zstd": {"shuffle": True, **hdf5plugin.Zstd()},
    "gzip": {"compression": "gzip", "shuffle": True},
}
PACKED = [name for name in CODECS if name not in ("none", "shuffle", "bitshuffle")]


def save(path, frames=FRAMES, chunks=(1, *SHAPE), codec="bslz4", **more):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=frames, chunks=chunks, **CODECS[codec], **more)
    return path


def same(actual, expected):
    assert actual.dtype == expected.dtype.newbyteorder("=")
    assert np.array_equal(actual, expected)


@pytest.fixture
def without_hdf5(monkeypatch):
    """HDF5 may say where things are, but reads no frame."""

    def never(*_):
        raise AssertionError("HDF5 was asked to read a frame")

    monkeypatch.setattr(h5py.Dataset, "read_direct", never)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", never)


# the same as HDF5


@pytest.mark.parametrize("chunks", [(1, *SHAPE), (3, *SHAPE), (1, 8, 20), (2, 31, 16), (1, 40, 50)])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i4", ">i4", "<f4", ">f8"])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_dtype_and_chunk(tmp_path, codec, dtype, chunks, without_hdf5):
    frames = FRAMES.astype(dtype)
    more = {"maxshape": (None, None, None)} if chunks[1] > SHAPE[0] else {}
    with open_frames(save(tmp_path / "s.h5", frames, chunks, codec, **more)) as opened:
        same(opened[:], frames)
        same(opened[2], frames[2])


@pytest.mark.parametrize("shape", [(31, 47), (1, 31, 47), (4, 1, 31, 47)])
@pytest.mark.parametrize("chunked", [False, True])
def test_two_three_and_four_axes(tmp_path, shape, chunked, without_hdf5):
    frames = FRAMES[: int(np.prod(shape[:-2]))].reshape(shape)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("data", data=frames, chunks=(*(1,) * (len(shape) - 2), *SHAPE) if chunked else None)
    same(open_frames(tmp_path / "s.h5")[:], frames.reshape(-1, *SHAPE))


@pytest.mark.parametrize(
    "options", [hdf5plugin.Blosc(), {"fletcher32": True}, {"compression": "lzf"}, {"scaleoffset": 0}]
)
def test_what_only_hdf5_reads(tmp_path, options):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        made = file.create_dataset("data", data=FRAMES, chunks=(1, *SHAPE), **options)
        assert ChunkReader.of(made, layer_cache()) is None
    with open_frames(tmp_path / "s.h5") as frames:
        same(frames[:], FRAMES)
        assert frames.chunk(0) is None


@pytest.mark.parametrize("how", ["userblock", "external", "12 bits", "filter order"])
def test_layouts_that_only_hdf5_reads(tmp_path, how):
    path = tmp_path / "s.h5"
    if how == "external":
        FRAMES.tofile(tmp_path / "raw")
        with h5py.File(path, "w") as file:
            file.create_dataset("data", FRAMES.shape, FRAMES.dtype, external=str(tmp_path / "raw"))
    elif how == "userblock":
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("data", data=FRAMES, chunks=(1, *SHAPE))
    else:
        with h5py.File(path, "w") as file:
            kind, space = h5py.h5t.NATIVE_UINT16.copy(), h5py.h5s.create_simple(FRAMES.shape)
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((1, *SHAPE))
            if how == "12 bits":
                kind.set_precision(12)
                kind.set_offset(2)
            else:
                plist.set_deflate(1)
                plist.set_shuffle()
            made = h5py.h5d.create(file.id, b"data", kind, space, dcpl=plist)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, FRAMES)
    with open_frames(path) as frames:
        same(frames[:], FRAMES)
    with h5py.File(path) as file:
        assert ChunkReader.of(file["data"], layer_cache()) is None


@pytest.mark.parametrize("codec", ["bslz4", "shuffle and zstd", "gzip"])
def test_filters_left_out_of_a_chunk(tmp_path, codec, without_hdf5):
    with h5py.File(save(tmp_path / "s.h5", codec=codec), "a") as file:
        every = 1 if codec == "bslz4" else 3
        file["data"].id.write_direct_chunk((3, 0, 0), FRAMES[0].tobytes(), filter_mask=every)
    with open_frames(tmp_path / "s.h5") as frames:
        same(frames[:], FRAMES[[0, 1, 2, 0, 4, 5, 6]])
        assert frames.chunk(3) is None


@pytest.mark.parametrize("chunks", [(1, *SHAPE), (2, *SHAPE), (1, 16, 16)])
def test_frames_never_written_are_missing_whatever_the_fill_value(tmp_path, chunks, without_hdf5):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        made = file.create_dataset("data", FRAMES.shape, ">u2", chunks=chunks, fillvalue=9, **CODECS["bslz4"])
        made[4:6] = FRAMES[4:6]
    with open_frames(tmp_path / "s.h5") as frames:
        same(frames[4], FRAMES[4])
        with pytest.raises(MissingFrameError, match=r"s.h5, /data\[0\], is missing: it was never written"):
            frames[0]
        assert frames.chunk(0) is None
        assert list(frames.missing) == [0, 1, 2, 3, 6]


@pytest.mark.parametrize("codec", ["bslz4", "bszstd", "shuffle and zstd"])
def test_a_real_frame(tmp_path, codec):
    frame = open_frames(shared_data("thaumatin/thau_3_2_0018.cbf.bz2"))[0]
    path = save(tmp_path / "s.h5", frame[None], (1, *frame.shape), codec)
    with open_frames(path) as frames, h5py.File(path) as file:
        same(frames[0], file["data"][0])
        same(frames[0], frame)


# masters


def test_links_and_virtual_data_sets(tmp_path, without_hdf5):
    for number, make in enumerate((eiger_master, virtual_master)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with open_frames(make(folder, FRAMES)) as frames:
            same(frames[:], FRAMES)


def virtual(path, layout, **more):
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout, **more)
    return path


def test_virtual_interleaved_reordered_and_with_holes(tmp_path, without_hdf5):
    for part in range(2):
        save(tmp_path / f"{part}.h5", FRAMES[part::2][:3])
    layout = h5py.VirtualLayout((9, *SHAPE), FRAMES.dtype)
    layout[0:6:2] = h5py.VirtualSource("0.h5", "data", (3, *SHAPE))
    layout[1:6:2] = h5py.VirtualSource("1.h5", "data", (3, *SHAPE))
    layout[7] = h5py.VirtualSource("1.h5", "data", (3, *SHAPE))[2]
    with open_frames(virtual(tmp_path / "v.h5", layout, fillvalue=5)) as frames:
        same(frames[:6], FRAMES[:6])
        same(frames[7], FRAMES[5])
        for hole in (6, 8):
            with pytest.raises(MissingFrameError, match="no source of the virtual data set shows it"):
                frames[hole]
        assert list(frames.missing) == [6, 8]
        assert frames.chunk(6) is None
        same(unpack_bslz4(frames.chunk(7)), FRAMES[5])


def test_virtual_single_images_and_the_file_itself(tmp_path, without_hdf5):
    layout = h5py.VirtualLayout((3, *SHAPE), FRAMES.dtype)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for number in range(3):
            file.create_dataset(f"image_{number}", data=FRAMES[number], chunks=SHAPE, **CODECS["zstd"])
            layout[number] = h5py.VirtualSource(".", f"image_{number}", SHAPE)
        file.create_virtual_dataset("data", layout)
    same(open_frames(tmp_path / "v.h5", dataset="data")[:], FRAMES[:3])


def test_virtual_tiles_are_left_to_hdf5(tmp_path):
    save(tmp_path / "left.h5", FRAMES[:, :, :20], (1, 31, 20))
    save(tmp_path / "right.h5", FRAMES[:, :, 20:], (1, 31, 27))
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    layout[:, :, :20] = h5py.VirtualSource("left.h5", "data", (7, 31, 20))
    layout[:, :, 20:] = h5py.VirtualSource("right.h5", "data", (7, 31, 27))
    path = virtual(tmp_path / "v.h5", layout)
    with h5py.File(path) as file:
        assert VirtualReader.of(file["data"], layer_cache()) is None
    same(open_frames(path)[:], FRAMES)


def test_virtual_of_another_dtype_or_packing_is_left_to_hdf5(tmp_path):
    save(tmp_path / "a.h5", FRAMES.astype(np.uint8))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", data=FRAMES, chunks=(1, *SHAPE), **hdf5plugin.Blosc())
    layout = h5py.VirtualLayout((14, *SHAPE), FRAMES.dtype)
    layout[:7] = h5py.VirtualSource("a.h5", "data", FRAMES.shape)
    layout[7:] = h5py.VirtualSource("b.h5", "data", FRAMES.shape)
    same(open_frames(virtual(tmp_path / "v.h5", layout))[:], np.concatenate([FRAMES, FRAMES]))


def test_virtual_parts_that_overlap_or_reach_beyond_their_source(tmp_path):
    save(tmp_path / "a.h5", FRAMES[:3])
    save(tmp_path / "b.h5", FRAMES[3:])
    for shown in ((slice(0, 3), slice(2, 6)), (slice(0, 3), slice(3, 9))):
        layout = h5py.VirtualLayout((9, *SHAPE), FRAMES.dtype)
        layout[shown[0]] = h5py.VirtualSource("a.h5", "data", (3, *SHAPE))
        count = shown[1].stop - shown[1].start
        layout[shown[1]] = h5py.VirtualSource("b.h5", "data", (count, *SHAPE), maxshape=(None, *SHAPE))[:count]
        path = virtual(tmp_path / "v.h5", layout, fillvalue=5)
        with h5py.File(path) as file, open_frames(path) as frames:
            there = [number for number in range(9) if number not in frames.missing]
            same(np.stack([frames[number] for number in there]), file["data"][there])
            overlap = shown[0].stop > shown[1].start
            assert (VirtualReader.of(file["data"], layer_cache()) is None) == overlap


def test_a_source_without_its_data_set_or_damaged_is_an_error(tmp_path):
    path = virtual_master(tmp_path, FRAMES)
    with h5py.File(tmp_path / "vds_data_000002.h5", "a") as file:
        del file["entry/data/data"]
    (tmp_path / "vds_data_000003.h5").write_bytes(b"nothing")
    with open_frames(path) as frames:
        same(frames[1], FRAMES[1])
        with pytest.raises(FileError, match=r"/data\[2\], .*vds_data_000002.h5 has no data set"):
            frames[2]
        with pytest.raises(FileError, match=r"/data\[5\], .*vds_data_000003.h5 is not an HDF5 file, or truncated"):
            frames[5]
        same(frames[6], FRAMES[6])


# damaged files


@pytest.mark.parametrize("codec", PACKED)
def test_a_corrupt_chunk_is_reported_with_its_frame(tmp_path, codec):
    with h5py.File(save(tmp_path / "s.h5", codec=codec), "a") as file:
        data = file["data"].id
        packed = data.read_direct_chunk((3, 0, 0))[1]
        data.write_direct_chunk((2, 0, 0), packed[: len(packed) // 2])
        data.write_direct_chunk((3, 0, 0), b"\xff" * 40 + packed[40:])
        data.write_direct_chunk((4, 0, 0), b"\x00")
    with open_frames(tmp_path / "s.h5") as frames:
        for number in (2, 3, 4):
            with pytest.raises(FileError, match=rf"s\.h5, /data\[{number}\], cannot be read"):
                frames[number]
        same(frames[5], FRAMES[5])


@pytest.mark.parametrize("codec", ["none", "bslz4", "gzip"])
def test_a_file_cut_short_while_it_is_open(tmp_path, codec):
    path = save(tmp_path / "s.h5", codec=codec)
    with h5py.File(path) as file:
        cut = file["data"].id.get_chunk_info_by_coord((5, 0, 0)).byte_offset + 50
    with open_frames(path) as frames:
        os.truncate(path, cut)
        same(frames[4], FRAMES[4])
        with pytest.raises(
            FileError, match=r"/data\[5\], .*the file ends \d+ bytes before the end of the frame's chunk"
        ):
            frames[5]
        if codec == "bslz4":
            with pytest.raises(FileError, match=r"/data\[6\], .*the file ends"):
                frames.chunk(6)


def pipeline(codec, frame):
    """The filters of a codec, and a frame packed by HDF5 with it."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset("data", data=frame[None], chunks=(1, *frame.shape), **CODECS[codec])
        plist = made.id.get_create_plist()
        filters = [plist.get_filter(place) for place in range(plist.get_nfilters())]
        packed = made.id.read_direct_chunk((0, 0, 0))[1]
    return [Filter(number, tuple(values)) for number, _, values, _ in filters], np.frombuffer(packed, np.uint8)


def harmed(packed, rng):
    """The chunk with bytes changed, cut off or put in."""
    place = int(rng.integers(len(packed)))
    kind = rng.integers(4)
    made = packed.copy()
    if kind == 0:
        return made[:place]
    if kind == 1:
        made[rng.integers(0, len(made), 3)] = rng.integers(0, 256, 3)
        return made
    if kind == 2:  # lengths stand at the start
        made[rng.integers(0, 24)] = rng.choice([0, 1, 127, 128, 255])
        return made
    return np.concatenate([made[:place], rng.integers(0, 256, 5, dtype=np.uint8), made[place:]])


@pytest.mark.parametrize("codec", CODECS)
def test_random_damage_writes_nowhere_else(codec, rng):
    """Every outcome is an error or some frame; the bytes around the frame stay what they were."""
    frame = FRAMES[1]
    filters, packed = pipeline(codec, frame)
    guarded = np.full(frame.nbytes + 256, 0xA5, np.uint8)
    out = guarded[128:-128]
    decode(filters, 0, packed, out)
    assert np.array_equal(out, frame.view(np.uint8).reshape(-1))
    errors = 0
    for _ in range(400):
        try:
            decode(filters, 0, harmed(packed, rng), out)
        except DamagedChunk:
            errors += 1
        assert (guarded[:128] == 0xA5).all()
        assert (guarded[-128:] == 0xA5).all()
    assert errors > 100


@pytest.mark.parametrize("codec", PACKED)
def test_every_shortened_chunk_is_noticed(codec):
    filters, packed = pipeline(codec, FRAMES[1])
    out = np.empty(FRAMES[1].nbytes, np.uint8)
    for length in range(len(packed)):
        with pytest.raises(DamagedChunk):
            decode(filters, 0, packed[:length], out)


@pytest.mark.parametrize("codec", ["bslz4, short blocks", "bszstd", "lz4, short blocks"])
@pytest.mark.parametrize(("place", "value"), [(0, 255), (7, 1), (11, 3), (12, 255), (12, 128), (15, 0)])
def test_lengths_in_the_header_are_checked(codec, place, value):
    filters, packed = pipeline(codec, FRAMES[1])
    made = packed.copy()
    made[place] = value
    with pytest.raises(DamagedChunk):
        decode(filters, 0, made, np.empty(FRAMES[1].nbytes, np.uint8))


def test_pipelines_that_are_not_decoded():
    for filters in (
        [Filter(32001)],
        [Filter(1), Filter(2, (2,))],
        [Filter(32008, (0, 4, 2, 0, 2)), Filter(1)],
        [Filter(32008, (0, 4))],
        [Filter(32008, (0, 4, 2, 0, 9))],
        [Filter(2)],
    ):
        assert not can_decode(filters)


# threads


@pytest.mark.parametrize("codec", ["bslz4", "shuffle and zstd"])
def test_four_threads_get_the_right_frames(tmp_path, codec, without_hdf5):
    paths = [save(tmp_path / name, codec=codec) for name in ("r.h5", "s.h5")]
    wanted = np.random.default_rng(1).integers(0, 7, 400)
    with open_frames(paths) as frames, ThreadPoolExecutor(4) as pool:
        for index, frame in zip(wanted, pool.map(frames.__getitem__, wanted + 7 * (wanted % 2))):
            same(frame, FRAMES[index])


def test_frames_are_read_at_the_same_time(tmp_path, monkeypatch):
    """Two threads are in the decoder together; with a lock around it they would wait for each other for ever."""
    meet = Barrier(2, timeout=300)

    def slow(*arguments):
        meet.wait()
        decode(*arguments)

    monkeypatch.setattr("crystint.io.hdf5.chunks.decode", slow)
    with open_frames(save(tmp_path / "s.h5")) as frames, ThreadPoolExecutor(2) as pool:
        for number, frame in enumerate(pool.map(frames.__getitem__, range(6))):
            same(frame, FRAMES[number])


def test_different_files_are_read_at_the_same_time(tmp_path, monkeypatch):
    for number in range(4):
        CbfImage(data=FRAMES[number].astype(np.int32)).write(str(tmp_path / f"a_{number}.cbf"))
    meet, plain = Barrier(2, timeout=300), CbfReader.read

    def slow(*arguments):
        meet.wait()
        return plain(*arguments)

    monkeypatch.setattr(CbfReader, "read", slow)
    with open_frames(tmp_path / "a_*.cbf") as frames, ThreadPoolExecutor(2) as pool:
        for number, frame in enumerate(pool.map(frames.__getitem__, range(4))):
            same(frame, FRAMES[number].astype(np.int32))


class _File:
    def __init__(self, number, opened):
        self.number, self.closed = number, False
        opened.append(self)

    def close(self):
        assert not self.closed
        self.closed = True


def test_open_files_are_shared_and_closed_after_their_last_user():
    opened = []
    files = ResourcePool(_File.close, idle=1)

    def use(number):
        return files.use(number, lambda: _File(number, opened))

    with use(0) as one, use(0) as other:
        assert one is other
    assert not one.closed
    with use(1), use(2), use(3):
        assert len(opened) == 4
        assert not any(each.closed for each in opened[1:])
    assert sum(each.closed for each in opened) == 3
    with use(5) as last:
        files.clear()
        assert not last.closed
        with use(5) as again:
            assert again is not last
    assert last.closed
    files.clear()
    assert all(each.closed for each in opened)


def test_what_was_used_last_is_kept():
    made = []
    files = ResourcePool(lambda _: None, idle=2)
    for name in "abacab":
        with files.use(name, lambda name=name: made.append(name)):
            pass
    assert made == ["a", "b", "c", "b"]


@pytest.mark.parametrize("make", [eiger_master, virtual_master])
def test_files_are_closed_with_their_last_reference(tmp_path, make):
    """Not whenever the collector comes by: a file that is open for reading cannot be opened for writing."""
    gc.disable()
    try:
        frames = open_frames(make(tmp_path, FRAMES), save(tmp_path / "s.h5", chunks=(2, *SHAPE)))
        same(frames[:], np.concatenate([FRAMES, FRAMES]))
        del frames
        for path in tmp_path.glob("*.h5"):
            h5py.File(path, "a").close()
    finally:
        gc.enable()


def test_what_fabio_logs_in_one_thread_is_not_heard_in_another():
    both = Barrier(2, timeout=300)

    def listen(name):
        with log_messages("fabio") as heard:
            both.wait()
            logging.getLogger("fabio.some").warning("%s is truncated", name)
            both.wait()
            return heard

    before = logging.getLogger("fabio").propagate
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(listen, "ab")) == [["a is truncated"], ["b is truncated"]]
    assert logging.getLogger("fabio").propagate == before


def test_chunks_of_several_frames_are_unpacked_once(tmp_path, monkeypatch):
    unpacked = []

    def counting(*arguments):
        unpacked.append(1)
        decode(*arguments)

    monkeypatch.setattr("crystint.io.hdf5.chunks.decode", counting)
    path = save(tmp_path / "s.h5", chunks=(4, *SHAPE))
    with open_frames(path) as frames, ThreadPoolExecutor(4) as pool:
        for number, frame in enumerate(pool.map(frames.__getitem__, range(7))):
            same(frame, FRAMES[number])
    assert len(unpacked) == 2


def test_a_file_that_cannot_be_opened_is_tried_again():
    tries = []

    def fail():
        tries.append(0)
        raise OSError("no")

    files = ResourcePool(print)
    for _ in range(2):
        with pytest.raises(OSError, match="no"), files.use(0, fail):
            pass
    assert tries == [0, 0]


def test_closing_while_a_thread_reads(tmp_path, monkeypatch):
    inside, go = Event(), Event()

    def slow(*arguments):
        inside.set()
        assert go.wait(20)
        decode(*arguments)

    monkeypatch.setattr("crystint.io.hdf5.chunks.decode", slow)
    frames, results = open_frames(save(tmp_path / "s.h5")), []
    thread = Thread(target=lambda: results.append(frames[3]))
    thread.start()
    assert inside.wait(20)
    frames.close()
    go.set()
    thread.join()
    same(results[0], FRAMES[3])


# memory of the caller, and packed frames


def test_read_into_memory_of_the_caller(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES)
    out = np.empty(SHAPE, FRAMES.dtype)
    for frames in (open_frames(save(tmp_path / "s.h5")), open_frames(tmp_path / "a.npy"), open_frames(FRAMES)):
        assert frames.read(-1, out) is out
        same(out, FRAMES[-1])
        same(frames.read(2), FRAMES[2])
        for wrong in (np.empty((2, 2), "u2"), np.empty((47, 31), "u2").T, np.empty((31, 94), "u2")[:, ::2]):
            with pytest.raises(ShapeError, match="C-contiguous"):
                frames.read(0, wrong)
        with pytest.raises(DTypeError, match="int16, expected uint16"):
            frames.read(0, np.empty(SHAPE, np.int16))
        with pytest.raises(IndexError):
            frames.read(7)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "f8"])
@pytest.mark.parametrize("codec", ["bslz4", "bslz4, short blocks"])
def test_packed_frames_unpack_elsewhere(tmp_path, codec, dtype):
    frames = FRAMES.astype(dtype)
    with open_frames(save(tmp_path / "s.h5", frames, codec=codec)) as opened:
        chunk = opened.chunk(3)
        assert (chunk.codec, chunk.shape, chunk.dtype) == ("bslz4", SHAPE, np.dtype(dtype))
        assert chunk.block == (64 if "short" in codec else 8192 // chunk.dtype.itemsize)
        assert np.array_equal(unpack_bslz4(chunk), frames[3])


@pytest.mark.parametrize("codec", ["none", "zstd", "bszstd", "lz4"])
def test_other_packings_are_not_handed_out(tmp_path, codec):
    assert open_frames(save(tmp_path / "s.h5", codec=codec)).chunk(0) is None
    assert open_frames(save(tmp_path / "t.h5", chunks=(1, 16, 47))).chunk(0) is None
    assert open_frames(FRAMES).chunk(0) is None


def test_a_chunk_shuffled_as_elements_of_another_size_is_not_handed_out(tmp_path):
    with h5py.File(save(tmp_path / "s.h5")) as file:
        reader = ChunkReader.of(file["data"], layer_cache())
        assert reader.chunk(0) is not None
        reader._filters = (Filter(32008, (0, 4, 1, 0, 2)),)
        assert reader.chunk(0) is None
