"""What kernels/densify_noisy.cl draws, in plain Python.

Philox 4x32 of Salmon et al. (2011), the places its words go to, and counts drawn from a table of laws.
"""

import math
import struct

ONES = 0xFFFFFFFF


def philox(counter, key, rounds):
    """Four 32-bit numbers for a counter of four and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second & ONES, (first >> 32) ^ c3 ^ k1, first & ONES
        k0, k1 = (k0 + 0x9E3779B9) & ONES, (k1 + 0xBB67AE85) & ONES
    return c0, c1, c2, c3


def pixel_bits(pixel, number, trial, seed):
    """The 32 bits of a pixel: of 32 pixels, the first eight take the first word of eight counters, and so on."""
    strip, place = divmod(pixel, 32)
    word, counter = divmod(place, 8)
    return philox((8 * strip + counter, number, trial, 0), (seed & ONES, seed >> 32), 7)[word]


def mixed(bits):
    """The finalizer of MurmurHash3."""
    bits = ((bits ^ bits >> 16) * 0x85EBCA6B) & ONES
    bits = ((bits ^ bits >> 13) * 0xC2B2AE35) & ONES
    return bits ^ bits >> 16


def modulated(expected, excess, bits):
    """Mean of the counts of a pixel, such that the counts gain the variance `excess`."""
    part = ((bits & 0xFFFF) + 0.5) / 32768 - 1
    if 3 * excess <= expected * expected:
        return max(expected + math.sqrt(3 * excess) * part, 0.0)
    share = 4 / 3 * expected * expected / (expected * expected + excess)
    return expected / share * (1 + part) if ((bits >> 16) + 0.5) / 65536 < share else 0.0


def drawn(mean, bits, laws):
    """Poisson counts from a table [means, 64]; the means are floats of 6 bits of mantissa from 1/4 on, less 1/4."""
    (place,) = struct.unpack("<I", struct.pack("<f", mean + 0.25))
    row, part = divmod(place - 0x3E800000, 1 << 17)
    row += (bits & 1023) << 7 < part
    law = int(laws[row][bits >> 26])
    return law & 255 if (bits >> 10) & 0xFFFF < law >> 16 else law >> 8 & 255
