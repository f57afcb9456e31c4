"""Byte offsets of CBF files: by the letter of the format, and as FabIO reads and writes them."""

from __future__ import annotations

import fabio
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.compression import compByteOffset, decByteOffset

import crystint
from crystint.errors import FileError
from crystint.io.frames import byte_offset
from tests.conftest import shared_data
from tests.io.test_damage import with_size
from tests.oracles.byte_offset import decode, encode


def values_of(seed, wide, most=2**29, n=700):
    """Random pixels; a share `wide` of the differences takes 2, 4 or 8 bytes (beyond 2^31)."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 90, n)
    values[rng.random(n) < 0.1] = -1
    for limit in (300, 70_000, most):
        some = rng.random(n) < wide
        values[some] = rng.integers(-limit, limit, n)[some]
    return values.astype(np.int32)


def decoded(packed, n, before=b"", behind=b""):
    pixels = np.full(n + 2, 77, np.int32)
    result = byte_offset.decode(before + packed + behind, len(before), len(before) + len(packed), pixels[1:-1])
    assert pixels[0] == pixels[-1] == 77  # nothing beside them is written
    return pixels[1:-1], result


@pytest.mark.parametrize("wide", [0.0, 0.002, 0.05, 0.5])
def test_pixels_are_those_of_the_format_and_of_fabio(wide):
    some = 0
    for seed in range(10):
        values = values_of(seed, wide, 2**29 if seed < 5 else 2**31 - 1)
        packed = encode(values.tolist())
        pixels, (there, after) = decoded(packed, values.size, b"\x80" * 9, b"\x80\x05\x06")
        assert (there, after) == (values.size, 9 + len(packed))
        np.testing.assert_array_equal(pixels, values)
        if b"\x80\0\x80\0\0\0\x80" not in packed:  # FabIO makes something else of 64 bits
            np.testing.assert_array_equal(pixels, decByteOffset(packed, size=values.size, dtype="int32"))
            some += 1
    assert some >= 5


def test_edges_of_each_width():
    edges = [sign * (2**bits + more) for bits in (7, 8, 15, 16, 31) for more in (-1, 0, 1) for sign in (1, -1)]
    values = [value for edge in edges if -(2**31) <= edge < 2**31 for value in (0, edge, 0, 1)]
    packed = encode(values)
    assert decode(packed) == values
    pixels, (there, after) = decoded(packed, len(values))
    assert (pixels.tolist(), there, after) == (values, len(values), len(packed))


def test_any_bytes_are_decoded_within_their_bounds():
    rng = np.random.default_rng(4)
    for length in [*range(1, 40), 400]:
        for chance in (0.02, 0.3, 1.0):
            packed = bytes(np.where(rng.random(length) < chance, 0x80, rng.integers(0, 256, length)).astype(np.uint8))
            expected = np.array(decode(packed), object)
            expected = ((expected + 2**31) % 2**32 - 2**31).astype(np.int32) if len(expected) else expected
            pixels, (there, after) = decoded(packed, length, behind=b"\x11" * 20)
            assert there == len(expected)
            assert after <= length
            np.testing.assert_array_equal(pixels[:there], expected)
            fewer = there // 2
            pixels, (there, after) = decoded(packed, fewer)
            assert there == fewer
            np.testing.assert_array_equal(pixels, expected[:fewer])


def cbf(path, values, cut=0):
    """A CBF file without a checksum, whose image may lack its last bytes."""
    CbfImage(data=values).write(str(path))
    content = path.read_bytes()
    if cut:
        start, size = content.index(b"\x0c\x1a\x04\xd5") + 4, len(compByteOffset(values.ravel()))
        assert b"X-Binary-Size: %d" % size in content
        head = content[:start].replace(b"X-Binary-Size: %d" % size, b"X-Binary-Size: %d" % (size - cut))
        content = head + content[start : start + size - cut] + content[start + size :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("wide", [0.0, 0.0001, 0.3])
@pytest.mark.parametrize("last", [5, 200, 80_000])
def test_frames_of_few_and_of_many_escapes(tmp_path, wide, last):
    values = values_of(3, wide, n=20_000).reshape(100, 200)
    values[-1, -2:] = 0, last
    path = cbf(tmp_path / "a.cbf", values)
    with crystint.open_frames(path) as frames:
        np.testing.assert_array_equal(frames[0], values)
        out = np.empty(values.shape, np.int32)
        assert frames.read(0, out) is out
        np.testing.assert_array_equal(out, values)
    for cut in (1, 3):
        with pytest.raises(FileError, match=r"b\.cbf is truncated"):
            crystint.open_frames(cbf(tmp_path / "b.cbf", values, cut))[0]
    for more in (b"\x05", b"\0\x80\x05\x06"):
        (tmp_path / "c.cbf").write_bytes(with_size(path.read_bytes(), more))
        with pytest.raises(FileError, match=r"c\.cbf is damaged: its image goes on"):
            crystint.open_frames(tmp_path / "c.cbf")[0]


def test_the_choice_of_a_decoder_goes_by_escapes():
    few = bytes(10_000) + b"\x80\x05\x06" + bytes(10_000)
    assert byte_offset.runs_are_long(few, 0, len(few))
    assert byte_offset.runs_are_long(b"\x80" * 50 + few + b"\x80" * 50, 50, len(few) + 50)
    assert not byte_offset.runs_are_long(few[9_000:11_000], 0, 2_000)


def test_differences_of_64_bits_among_many_escapes(tmp_path):
    values = values_of(5, 0.3, n=20_000).reshape(100, 200)
    values[50, 50:52] = 2**31 - 1, -(2**31)
    packed = encode(values.ravel().tolist())
    content = cbf(tmp_path / "a.cbf", values).read_bytes()
    start = content.index(b"\x0c\x1a\x04\xd5") + 4
    head = content[:start].replace(b"%d" % len(compByteOffset(values.ravel())), b"%d" % len(packed))
    (tmp_path / "a.cbf").write_bytes(head + packed)
    np.testing.assert_array_equal(crystint.open_frames(tmp_path / "a.cbf")[0], values)


@pytest.mark.parametrize("number", ["0003", "0015"])
def test_real_frames_are_those_of_fabio(number):
    path = shared_data(f"thaumatin/thau_3_2_{number}.cbf.bz2")
    with crystint.open_frames(path) as frames:
        np.testing.assert_array_equal(frames[0], fabio.open(str(path)).data)
