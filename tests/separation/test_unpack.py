"""Frames that the device unpacks are those of the host; damaged ones are told, and nothing else is touched."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import h5py
import hdf5plugin
import numpy as np
import pytest

from crystint.engine import Engine
from crystint.io.frames.sequence import open_frames
from crystint.io.hdf5.filters import BITSHUFFLE, DamagedChunk, Filter, decode, raw_chunk
from crystint.io.hdf5.packing import BSLZ4
from crystint.ops.unpack import can_unpack, start_unpacking
from crystint.stream import read_message
from crystint.stream.packed_frame import encode_frame
from tests.conftest import shared_data
from tests.io.test_chunks import harmed
from tests.oracles.bslz4 import damaged_blocks, unpack_bslz4

GUARD = 96
"""elements behind frames, and bytes behind chunks"""


@pytest.fixture(params=[True, False], ids=["single items", "work-groups"])
def either(request, engine, monkeypatch):
    """The engine with the form for CPUs, and with that for GPUs."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: request.param))
    return Engine(engine.device)


def unpacked(engine, chunks, guard=0xA5, behind=()):
    """Frames and the number of damaged blocks of each. Behind the frames is what was there before.

    `behind`: bytes that lie there behind the chunks.
    """
    made = {}

    def buffer(name, size, dtype):
        if name not in made:
            filled = np.full((size + GUARD) * np.dtype(dtype).itemsize, guard, np.uint8).view(dtype)
            if name == "packed" and len(behind):
                filled = np.concatenate([filled[:size], behind])
            made[name] = engine.empty(filled.size, dtype)
            engine.write(made[name], filled)
        return made[name]

    stage = np.empty(sum(len(chunk.data) for chunk in chunks), np.uint8)
    work = start_unpacking(engine, chunks, stage, buffer)
    pixels = len(chunks) * int(np.prod(chunks[0].shape))
    frames = engine.receive(work.frames, pixels + GUARD)
    assert (frames[pixels:].view(np.uint8) == guard).all()
    damaged = engine.receive(work.damaged, len(chunks) + GUARD)
    assert (damaged[len(chunks) :].view(np.uint8) == guard).all()
    return frames[:pixels].reshape(-1, *chunks[0].shape), damaged[: len(chunks)]


def packed(frame, block=0):
    """A frame packed by HDF5's filter, with blocks of so many elements; 0 = what bitshuffle takes."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        options = hdf5plugin.Bitshuffle(nelems=block, cname="lz4")
        made = file.create_dataset("data", data=frame[None], chunks=(1, *frame.shape), **options)
        data = np.frombuffer(made.id.read_direct_chunk((0, 0, 0))[1], np.uint8)
    return raw_chunk(data, frame.shape, frame.dtype)


def on_the_host(chunk):
    out = np.empty(chunk.shape, chunk.dtype)
    decode([Filter(BITSHUFFLE, (0, 4, chunk.dtype.itemsize, 0, 2))], 0, chunk.data, out.reshape(-1).view(np.uint8))
    return out


def frames_of(rng, n, shape, dtype):
    """Counts, noise of all bits, one value only, and long runs."""
    frames = rng.poisson(2.0, (n, *shape)).astype(dtype)
    noise = rng.integers(0, 256, frames[0].nbytes, dtype=np.uint8).view(frames.dtype).reshape(shape)
    frames[1::4] = noise
    frames[2::4] = 7
    frames[3::4, shape[0] // 2 :] = noise[:1, :1]
    return frames


@pytest.mark.parametrize("shape", [(31, 47), (8, 8), (1, 5), (3, 3), (128, 97), (64, 64)])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i4", ">i4", "<u4", "<f4", ">f8", "<u8"])
def test_every_dtype_and_tail(either, rng, dtype, shape):
    """The last block is short, and pixels that fill no group of eight stand unpacked at the end."""
    frames = frames_of(rng, 5, shape, dtype)
    for block in (0, 64, 136):
        chunks = [packed(frame, block) for frame in frames]
        assert all(map(can_unpack, chunks))
        made, damaged = unpacked(either, chunks)
        assert not damaged.any()
        assert made.dtype == frames.dtype.newbyteorder("=")
        assert made.tobytes() == frames.astype(made.dtype).tobytes()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i4", "<f8"])
def test_the_oracle_agrees(either, rng, dtype):
    chunks = [packed(frame, 64) for frame in frames_of(rng, 4, (11, 13), dtype)]
    made, _ = unpacked(either, chunks)
    for chunk, frame in zip(chunks, made):
        assert unpack_bslz4(chunk).astype(frame.dtype).tobytes() == frame.tobytes()


def test_frames_of_streams(either, rng):
    frames = frames_of(rng, 3, (50, 61), "<u2")
    made, damaged = unpacked(either, [encode_frame(frame).raw_chunk for frame in frames])
    assert np.array_equal(made, frames)
    assert not damaged.any()
    assert encode_frame(frames[0], "lz4").raw_chunk is None
    assert replace(encode_frame(frames[0]), column_major=True).raw_chunk is None


def test_blocks_too_long_for_local_memory_are_left_to_the_host(rng):
    frame = rng.poisson(2.0, (100, 100)).astype(np.uint16)
    assert can_unpack(packed(frame, 4096))
    assert not can_unpack(packed(frame, 4104))


MESSAGES = ("image_uint16_bslz4", "image_uint16_tail", "image_uint32_bslz4", "image_uint8_bslz4", "image_two_channels")


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_that_others_made(either, name):
    image = read_message(shared_data(f"online/messages/stream2_{name}.cbor").read_bytes())
    for frame in image.frames.values():
        made, damaged = unpacked(either, [frame.raw_chunk] * 2)
        assert np.array_equal(made, [frame.decode()] * 2)
        assert not damaged.any()


def test_a_real_frame(either):
    frame = open_frames(shared_data("thaumatin/thau_3_2_0018.cbf.bz2"))[0]
    made, damaged = unpacked(either, [raw_chunk(BSLZ4.pack(frame), frame.shape, frame.dtype)] * 2)
    assert np.array_equal(made, [frame, frame])
    assert not damaged.any()


def is_as_the_oracle_says(chunks, made, damaged, cache):
    """Damaged blocks are counted, and all others are there."""
    size, pixels = chunks[0].dtype.itemsize, int(np.prod(chunks[0].shape))
    for chunk, frame, wrong in zip(chunks, made, damaged, strict=True):
        data, pixel_bytes = bytes(chunk.data), frame.tobytes()
        expected, parts = damaged_blocks(data, [*chunk.starts, len(data)], chunk.block, pixels, size, cache)
        assert wrong == expected
        for first, part in parts.items():
            assert pixel_bytes[first * size : first * size + len(part)] == part


@pytest.mark.parametrize("block", [64, 0])
def test_damage_is_told_and_stays_where_it_is(either, rng, block):
    """Of chunks with bytes changed, cut off or put in, the device takes none that the host refuses, and makes the same
    of those that it takes. It refuses a few more, whose ends break rules that the host's fast paths do not look at."""
    frame = frames_of(rng, 4, (31, 47), "<u2")[3]
    frame[:9] = rng.poisson(3.0, (9, 47))
    good = packed(frame, block)
    refused = more = harmless = 0
    cache = {}
    for _ in range(5):
        chunks = [good] * 50
        while len(chunks) < 500:
            with suppress(DamagedChunk):
                chunk = raw_chunk(harmed(good.data, rng), good.shape, good.dtype)
                if chunk.block == good.block:
                    chunks.append(chunk)
                continue
            refused += 1
        made, damaged = unpacked(either, chunks)
        is_as_the_oracle_says(chunks, made, damaged, cache)
        assert not damaged[:50].any()
        for chunk, result, wrong in zip(chunks, made, damaged):
            try:
                expected = on_the_host(chunk)
            except DamagedChunk:
                refused += 1
                assert wrong
                continue
            harmless += not wrong
            more += bool(wrong)
            assert wrong or np.array_equal(result, expected)
    assert refused > 1000
    assert harmless > 250
    assert more < 0.02 * refused


def lz4_block(rng, length):
    """A block that is spelled well, of about `length` bytes: its end may break rules of the format, and its lengths."""
    block, made = bytearray(), 0

    def long(number):
        return bytes([*[255] * (number // 255), number % 255])

    while True:
        left = max(0, length - made)
        literals = int(rng.choice([0, 1, 3, 7, 14, 15, 16, 30, left, max(0, left - 5), max(0, left - 12)]))
        match = int(rng.choice([4, 5, 18, 19, 20, 40, max(4, left - literals - rng.integers(0, 9))]))
        last = made + literals >= length or rng.random() < 0.05
        block.append(min(literals, 15) << 4 | (0 if last else min(match - 4, 15)))
        block += long(literals - 15) if literals >= 15 else b""
        block += rng.integers(0, 256, literals, dtype=np.uint8).tobytes()
        made += literals
        if last:
            return bytes(block)
        back = int(rng.integers(1, made + 1)) if made and rng.random() < 0.95 else int(rng.integers(0, made + 3))
        block += back.to_bytes(2, "little")
        block += long(match - 19) if match >= 19 else b""
        made += match


def test_no_rule_of_the_format_is_left_out(either, rng):
    """Blocks whose ends, lengths and distances are right and wrong by one or a few."""
    good = packed(np.zeros((8, 16), np.uint8), 64)
    chunks, cache = [], {}
    for _ in range(3000):
        one, other = lz4_block(rng, 64), lz4_block(rng, 64)
        data = np.frombuffer(bytes(16) + one + bytes(4) + other, np.uint8)
        chunks.append(replace(good, data=data, starts=np.array([12, 16 + len(one), len(data)])))
    made, damaged = unpacked(either, chunks)
    is_as_the_oracle_says(chunks, made, damaged, cache)
    assert np.count_nonzero(damaged == 0) > 50
    assert np.count_nonzero(damaged == 1) > 500


def test_blocks_and_rests_of_a_few_bytes(either, rng):
    frame = rng.poisson(2.0, (31, 47)).astype(np.int32)
    good = packed(frame, 64)
    chunks = [replace(good, data=good.data[:-cut]) for cut in (1, 2, 3, 4)]
    for length in range(6):
        starts = good.starts.copy()
        starts[1] = starts[0] + length
        chunks.append(replace(good, starts=starts))
    made, damaged = unpacked(either, chunks)
    is_as_the_oracle_says(chunks, made, damaged, {})
    assert (damaged[:4] == 1).all()


def test_places_of_blocks_are_checked_on_the_device(either, rng):
    """Whatever they are: what lies behind the chunks would unpack well, and is not looked at."""
    frames = frames_of(rng, 100, (31, 47), "<i4")
    chunks = [packed(frame, 64) for frame in frames]
    for number in range(1, 99, 2):
        starts = chunks[number].starts.copy()
        some = rng.integers(0, len(starts), 3)
        starts[some] = rng.choice([0, 5, 11, 400, 2**31, 2**32 - 2**20], 3)
        chunks[number] = replace(chunks[number], starts=starts)
    last = chunks[99]
    chunks[99] = replace(last, data=last.data[: last.starts[5] + 1])
    behind = last.data[last.starts[5] + 1 :]
    made, damaged = unpacked(either, chunks, behind=behind)
    assert np.array_equal(made[::2], frames[::2])
    assert not damaged[::2].any()
    assert damaged[99] == len(last.starts) - 1 - 5 + 1
    assert damaged[1:99:2].all()


def test_more_blocks_than_the_frame_has_pixels(either):
    frame = np.full((8, 16), 3, np.uint16)
    good = packed(frame, 64)
    length = good.starts[1] - 12
    data = np.concatenate([good.data[:12], *[good.data[12 : 12 + length]] * 4])
    more = replace(good, data=data, starts=12 + length * np.arange(5))
    made, damaged = unpacked(either, [more, more])
    assert (damaged == 2).all()
    assert np.array_equal(made, [frame, frame])
