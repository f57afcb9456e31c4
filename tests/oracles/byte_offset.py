"""Byte offsets of CBF files, byte by byte, after International Tables for Crystallography G, chapter 2.3."""

from __future__ import annotations

SIZES = (1, 2, 4, 8)


def encode(values: list[int]) -> bytes:
    """Each difference in the narrowest of 1, 2, 4 and 8 bytes, the smallest number of a width being its escape."""
    packed, before = b"", 0
    for value in values:
        difference, before = value - before, value
        for size in SIZES:
            least = -(1 << (8 * size - 1))
            if least < difference < -least or size == 8:
                packed += difference.to_bytes(size, "little", signed=True)
                break
            packed += least.to_bytes(size, "little", signed=True)
    return packed


def decode(packed: bytes) -> list[int]:
    """All whole values, of any size."""
    values, value, at = [], 0, 0
    while at < len(packed):
        for size in SIZES:
            part, at = packed[at : at + size], at + size
            if len(part) < size:
                return values
            difference = int.from_bytes(part, "little", signed=True)
            if size == 8 or difference != -(1 << (8 * size - 1)):
                break
        value += difference
        values.append(value)
    return values
