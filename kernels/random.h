/* random.h - counts that depend on (seed, frame, pixel, draw) alone, so that every device draws the same.
 *
 * Random bits: Philox 4x32 with 7 rounds, Salmon, Moraes, Dror & Shaw (2011), SC'11, doi 10.1145/2063384.2063405 (constants
 * from there; 7 is the least number of rounds that passes BigCrush). One call serves four pixels, eight places apart:
 * pixel p takes word (p >> 3) & 3 of counter (p >> 5) * 8 + (p & 7), so that 32 neighbours are 8 calls side by side.
 *
 * Poisson numbers up to a mean of POISSON_MOST: a table of laws, each of 64 buckets of the same probability that hold two
 * counts and a threshold (alias method, Walker 1977, doi 10.1145/355744.355749). The grid of means is that of floats with
 * POISSON_BITS bits of mantissa, less 1/4; between two of them one of both laws is taken at random so that the mean is
 * right: the variance gains at most 0.1 % from 0.02 counts on. Beyond: a normal number with the first Cornish-Fisher term.
 * The tables are made by crystint/ops/poisson_tables.py.
 *
 * Functions work on LANES numbers. Nothing in the paths that most pixels take is a call: not every compiler inlines its library.
 *
 * Defines   POISSON_MOST, POISSON_BITS, KNOTS; LANES and what belongs to it (strip.h)
 */
#ifndef RANDOM_H
#define RANDOM_H

#include "strip.h"

#if LANES == 1
typedef ulong counters;
#else
typedef ulong8 counters;
#endif

/* One round on a counter (c0, c1, c2, c3), of which the lower 32 bits count, with key (k0, k1). */
INLINE void philox_round(counters *c0, counters *c1, counters *c2, counters *c3, const uint k0, const uint k1)
{
    const counters first = 0xD2511F53ul * (*c0 & 0xFFFFFFFFul), second = 0xCD9E8D57ul * (*c2 & 0xFFFFFFFFul);
    *c0 = (second >> 32) ^ *c1 ^ (ulong)k0;
    *c1 = second;
    *c2 = (first >> 32) ^ *c3 ^ (ulong)k1;
    *c3 = first;
}

/* The 32 bits of BLOCK pixels: of one, or of 32 from a multiple of 32 on: 8 counters side by side, and the words of each. */
INLINE void block_bits(const uint first, const uint number, const uint trial, const ulong seed, uints bits[PARTS])
{
#if LANES == 1
    counters c0 = (first >> 5) * 8 + (first & 7);
#else
    counters c0 = (ulong)(first / 4) + (counters)(0, 1, 2, 3, 4, 5, 6, 7);
#endif
    counters c1 = number, c2 = trial, c3 = 0;
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
#pragma unroll
    for (int i = 0; i < 7; i++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) philox_round(&c0, &c1, &c2, &c3, k0, k1);
#if LANES == 1
    const uint word = (first >> 3) & 3;
    bits[0] = (uint)(word == 0 ? c0 : word == 1 ? c1 : word == 2 ? c2 : c3);
#else
    bits[0] = convert_uint8(c0);
    bits[1] = convert_uint8(c1);
    bits[2] = convert_uint8(c2);
    bits[3] = convert_uint8(c3);
#endif
}

#if LANES > 1
/* The same from any pixel on. */
static __attribute__((noinline)) void loose_bits(const uint first, const uint number, const uint trial, const ulong seed, uints bits[PARTS])
{
    uints two[2 * PARTS];
    block_bits(first & ~31u, number, trial, seed, two);
    block_bits((first & ~31u) + 32, number, trial, seed, two + PARTS);
    const uint *one = (const uint *)two;
    for (int i = 0; i < BLOCK; i++) ((uint *)bits)[i] = one[(first & 31u) + i];
}
#else
#define loose_bits block_bits
#endif

/* Other bits from the same ones (the finalizer of MurmurHash3, a bijection): independent of any of their parts. */
INLINE uints more_bits(uints bits)
{
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6Bu;
    bits = (bits ^ (bits >> 13)) * 0xC2B2AE35u;
    return bits ^ (bits >> 16);
}

/* Square root to 0.2 %. */
INLINE floats rough_root(const floats x)
{
    const floats guess = AS_FLOATS(0x5F3759DFu - (AS_UINTS(x) >> 1));
    return x * guess * (1.5f - 0.5f * x * guess * guess);
}

/* Mean of the counts of pixels: `expected` modulated so that the counts gain the variance `excess`, at most a third of the
 * square of `expected`: uniform within expected -+ sqrt(3 excess). */
INLINE floats slightly_modulated(const floats expected, const floats excess, const uints bits)
{
    const floats part = TO_FLOATS(AS_INTS(bits & 0xFFFFu)) * (2.0f / 65536.0f) - (65535.0f / 65536.0f), none = 0.0f;
    const floats mean = expected + rough_root(3.0f * excess) * part;
    return HIGHER(mean, none);
}

/* The same for any excess: where it is more, a share of the pixels gets nothing and the others more. */
INLINE floats modulated(const floats expected, const floats excess, const uints bits)
{
    const floats square = expected * expected, all = 1.0f, none = 0.0f;
    const ints wide = MASK(3.0f * excess > square);
    const floats share = wide ? 1.3333333f * square / (square + excess) : all, most = expected / share;
    const floats mean = slightly_modulated(most, wide ? most * most * 0.33333333f : excess, bits);
    const floats part = (TO_FLOATS(AS_INTS(bits >> 16)) + 0.5f) * (1.0f / 65536.0f);
    return (wide & MASK(part >= share)) ? none : mean;
}

/* Where in the table the law of a mean, from 0 to POISSON_MOST, has the counts of these bits. Of the two laws about the mean, the
 * upper one is taken where 10 bits are less than what the mean is above the lower one: where the sum has a carry. */
INLINE uints law_number(const floats mean, const uints bits)
{
    const uints chance = (bits << (13 - POISSON_BITS)) & (1023u << (13 - POISSON_BITS));
    const uints grid = AS_UINTS(mean + 0.25f) - (as_uint(0.25f) - ((1u << (23 - POISSON_BITS)) - 1u)) - chance;
    return ((grid >> (23 - POISSON_BITS - 6)) & ~63u) | (bits >> 26);
}

/* The counts there: one of two. */
INLINE floats counts_of_law(const uints law, const uints bits)
{
    const ints first = MASK((bits << 6 | 0xFFFFu) < law); /* bits 10 to 25 are below the share */
    return TO_FLOATS(AS_INTS((first ? law : law >> 8) & 255u));
}

/* Poisson numbers of means from 0 to POISSON_MOST. */
INLINE floats poisson_from_table(const floats mean, const uints bits, __global const uint *laws)
{
    number_t o[LANES];
    PUT_NUMBERS(o, law_number(mean, bits));
    return counts_of_law(ENTRIES(uint, laws, o), bits);
}

/* Standard normal numbers: linear between the quantiles at equal steps of probability, Rayleigh's tail beyond them. */
INLINE floats normal_numbers(const uints bits, __global const float *knots)
{
    const ints place = AS_INTS(bits / (uint)(4294967296ul / KNOTS));
    const floats part = (TO_FLOATS(AS_INTS(bits & (4294967295u / KNOTS))) + 0.5f) / (4294967296.0f / KNOTS);
    number_t o[LANES];
    PUT_NUMBERS(o, place);
    const floats low = ENTRIES(float, knots, o), high = ENTRIES(float, knots + 1, o), inside = low + part * (high - low);
    const ints below = MASK(place == 0), tail = below | MASK(place == KNOTS - 1);
    if (!any_lane(tail)) return inside;
    const floats beyond = sqrt(knots[1] * knots[1] - 2.0f * log(part));
    return tail ? (below ? -beyond : beyond) : inside;
}

/* Poisson numbers of means above POISSON_MOST. */
INLINE floats poisson_of_many(const floats mean, const uints bits, __global const float *knots)
{
    const floats z = normal_numbers(bits, knots), none = 0.0f;
    const floats counts = floor(mean + sqrt(mean) * z + (z * z - 1.0f) / 6.0f + 0.5f);
    return HIGHER(counts, none);
}

#endif
