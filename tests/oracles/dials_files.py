"""Writes what DIALS writes: reflection tables as MessagePack and as the pickles of old. Knows nothing of crystint."""

from __future__ import annotations

import math
import struct

import msgpack
import numpy as np

KINDS = {
    "int": "<i4",
    "std::size_t": "<u8",
    "double": "<f8",
    "vec3<double>": "<f8",
    "int6": "<i4",
    "bool": "?",
    "cctbx::miller::index<>": "<i4",
}
OLD = {
    "int": ("scitbx_array_family_flex_ext", "int"),
    "std::size_t": ("scitbx_array_family_flex_ext", "size_t"),
    "double": ("scitbx_array_family_flex_ext", "double"),
    "vec3<double>": ("scitbx_array_family_flex_ext", "vec3_double"),
    "bool": ("scitbx_array_family_flex_ext", "bool"),
    "cctbx::miller::index<>": ("cctbx_array_family_flex_ext", "miller_index"),
    "int6": ("dials_array_family_flex_ext", "int6"),
}


def table(columns, version=1, identifiers=None):
    """Bytes of a .refl; columns: name -> (kind, array)."""
    rows = len(next(iter(columns.values()))[1])
    data = {
        name: [kind, [rows, np.ascontiguousarray(values, KINDS[kind]).tobytes()]]
        for name, (kind, values) in columns.items()
    }
    content = {"identifiers": identifiers or {}, "nrows": rows, "data": data}
    return msgpack.packb(["dials::af::reflection_table", version, content])


def whole(value):
    """A whole number to the base 256: length and sign, then digits, the lowest first."""
    digits, rest = [], abs(value)
    while rest:
        digits.append(rest % 256)
        rest //= 256
    if not digits:
        return b"\x00"
    return bytes([len(digits) + 1 | (128 if value < 0 else 0), *digits])


def real(value):
    """A number as mantissa digits after the point to the base 256, and an exponent of 2."""
    if value == 0.0:
        return b"\x00"
    mantissa, exponent = math.frexp(abs(value))
    digits = []
    while mantissa:
        mantissa *= 256
        digits.append(int(mantissa))
        mantissa -= int(mantissa)
    return bytes([len(digits) + 1 | (128 if value < 0 else 0), *digits]) + whole(exponent)


def _text(kind, values):
    rows = len(values)
    if kind == "bool":
        return whole(rows) + bytes(b"1"[0] if value else b"0"[0] for value in values)
    one = real if "double" in kind else whole
    return whole(rows) + b"".join(one(value) for value in np.asarray(values).ravel().tolist())


def _name(text):
    return b"U" + bytes([len(text)]) + text.encode()


def _number(value):
    return b"J" + struct.pack("<i", value)


def pickled(columns, version=2, identifiers=None):
    """Bytes of an old .refl or .pickle, protocol 2, op by op."""
    rows = len(next(iter(columns.values()))[1])
    out = b"\x80\x02cdials_array_family_flex_ext\nreflection_table\n)R(" + _number(version)
    if version == 2:
        out += b"}" + b"".join(_number(k) + _name(v) + b"s" for k, v in (identifiers or {}).items())
    out += _number(rows) + _number(len(columns)) + b"}("
    for name, (kind, values) in columns.items():
        module, flex = OLD[kind]
        raw = _text(kind, values)
        grid = b"cscitbx_array_family_flex_ext\ngrid\n" + _number(0) + b"\x85" + _number(rows) + b"\x85\x88\x87R"
        grid += _number(rows) + b"\x85b"
        out += _name(name) + f"c{module}\n{flex}\n)R".encode() + grid
        out += b"T" + struct.pack("<i", len(raw)) + raw + b"\x86b"
    return out + b"utb."
