"""The walk through CBOR beside cbor2, and what it refuses."""

from __future__ import annotations

import math
import random
import struct

import pytest

from crystint.errors import StreamError
from crystint.stream.cbor import Tag, decode, decode_map, encode


def _plain(value):
    """As `decode` gives it, without views."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, Tag):
        return Tag(value.number, _plain(value.value))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _random_value(rng: random.Random, depth: int = 0):
    kind = rng.randrange(9 if depth < 5 else 6)
    sizes, lengths = (0, 5, 23, 24, 200, 300), (0, 1, 3, 26)
    if kind == 0:
        return rng.choice([1, -1]) * (rng.getrandbits(rng.randrange(1, 64)))
    if kind == 1:
        return rng.choice([0.0, -1.5, 1e300, math.inf, rng.random()])
    if kind == 2:
        return "é" * rng.choice(sizes)
    if kind == 3:
        return rng.randbytes(rng.choice(sizes))
    if kind == 4:
        return rng.choice([True, False, None])
    if kind == 5:
        return Tag(rng.choice([70, 56500, 4711]), rng.getrandbits(8))
    if kind == 6:
        return [_random_value(rng, depth + 1) for _ in range(rng.choice(lengths[: 4 - depth // 2]))]
    return {str(n): _random_value(rng, depth + 1) for n in range(rng.choice(lengths[: 4 - depth // 2]))}


def test_what_is_encoded_is_decoded_and_by_cbor2_as_well():
    cbor2 = pytest.importorskip("cbor2", reason="cbor2 is not installed")

    def other(value):
        if isinstance(value, cbor2.CBORTag):
            return Tag(value.tag, other(value.value))
        if hasattr(value, "items"):
            return {key: other(each) for key, each in value.items()}
        return [other(each) for each in value] if isinstance(value, list | tuple) else value

    rng = random.Random(1)
    for _ in range(200):
        value = {"top": _random_value(rng)}
        message = encode(value)
        assert _plain(decode(message)) == value
        assert other(cbor2.loads(message)) == value
        assert decode_map(message, ()) == {}


def test_numbers_of_every_width_and_other_peoples_choices():
    message = bytes.fromhex(
        "a8 6161 1801 6162 190001 6163 1a00000001 6164 1b0000000000000001 6165 f93e00 6166 fa3fc00000"
    )
    message += bytes.fromhex("6167 3903e7 6168 f7")
    assert decode(message) == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1.5, "f": 1.5, "g": -1000, "h": None}
    assert decode_map(message, {"e"}) == {"e": 1.5}


def test_items_without_a_length():
    message = bytes.fromhex("d9d9f7 bf 6161 9f 01 9f ff 5f 4101 420203 ff ff 7f 6162 ff bf 6163 f4 ff ff")
    assert _plain(decode(message)) == {"a": [1, [], b"\x01\x02\x03"], "b": {"c": False}}
    assert decode_map(message, {"b"}) == {"b": {"c": False}}
    for length in range(3, len(message)):
        with pytest.raises(StreamError):
            decode(message[:length])
        with pytest.raises(StreamError):
            decode_map(message[:length], ())


def test_a_byte_string_is_a_view():
    message = bytearray(encode({"data": bytes(1000)}))
    view = decode(message)["data"]
    message[-1] = 7
    assert view[-1] == 7


def _nested(depth: int) -> bytes:
    return b"\xa1\x61a" + b"\x81" * depth + b"\x00"


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (b"", "ends"),
        (b"\xd9\xd9\xf7", "ends"),
        (b"\xa0\x00", "1 bytes follow"),
        (b"\x81\x00", "expected a map"),
        (b"\x00", "expected a map"),
        (b"\xa1\x00\x00", "expected the name"),
        (b"\xa1\x61a", "2 items in 2|ends"),
        (b"\xa1\x61a\x5b" + b"\xff" * 8, "18446744073709551615 bytes should follow"),
        (b"\xa1\x61a\x9b" + b"\x7f" * 8, "items in"),
        (b"\xbb" + b"\x7f" * 8, "items in"),
        (b"\xa1\x61a\x7a\x00\x01\x00\x01" + b"x" * 65537, "text of 65537"),
        (b"\xa1\x61a\x62\xff\xff", "no UTF-8"),
        (b"\xa1\x61a\x1c", "begins no"),
        (b"\xa1\x61a\xf8\x20", "no value|begins no"),
        (b"\xa1\x61a\x5f\x61b\xff", "no piece"),
        (b"\xa1\x61a\xff", "begins no"),
        (b"\xa2\x61a\x00\x61a\x00", "twice"),
        (_nested(16), "nested"),
        (b"\xa1\x61a" + b"\xc6" * 1000 + b"\x00", "nested"),
    ],
)
def test_wrong_cbor_is_refused_in_words(message, word):
    with pytest.raises(StreamError, match=word):
        decode_map(message, {"a"})


def test_nesting_of_sixteen_is_accepted():
    assert decode_map(_nested(15), {"a"})
    assert decode_map(_nested(15), ()) == {}
    with pytest.raises(StreamError, match="nested"):
        decode_map(_nested(16), ())


def test_too_many_items_end_the_walk():
    many = b"\x9a" + struct.pack(">I", 2**20 + 1) + bytes(2**20 + 1)
    for wanted in ({"a"}, ()):
        with pytest.raises(StreamError, match="items"):
            decode_map(b"\xa1\x61a" + many, wanted)


def test_what_is_no_message_is_refused():
    for message in ("text", 5, None, memoryview(bytes(10))[::2]):
        with pytest.raises(StreamError, match="expected contiguous bytes"):
            decode(message)
    with pytest.raises(StreamError, match="cannot be sent"):
        encode({"a": object()})
    with pytest.raises(StreamError, match="too large"):
        encode(2**64)
