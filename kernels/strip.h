/* strip.h - consecutive pixels of a frame that is made from the background of its rings.
 *
 * A block of pixels goes from step to step, LANES of them side by side: what one step looks up waits for nothing of the same step.
 * Functions are `always_inline`: Intel's compiler leaves some of them as calls otherwise, which takes twice as long.
 *
 * Defines   LANES = 1 | 8; PIXEL_T, PIXEL_KIND (pixel.h)
 */
#ifndef STRIP_H
#define STRIP_H

#include "lanes.h"

/* Pixels of a block: those whose random bits are made together (random.h). */
#if LANES == 1
#define BLOCK 1
#else
#define BLOCK 32
#endif
#define PARTS (BLOCK / LANES)

#define INLINE static inline __attribute__((always_inline))
#define LOWER(a, b) ((a) < (b) ? (a) : (b))
#define HIGHER(a, b) ((a) > (b) ? (a) : (b))

/* The first pixel of the block of a work-item at `block`: the last block of a frame begins earlier, so as to lie in it whole. */
#define IN_FRAME(block, pixels) min(block, (pixels) - BLOCK)

/* The half of a ring that each pixel lies in; any for masked ones. */
INLINE ints half_rings(const floats place, const int rings)
{
    const floats zero = 0.0f, twice = 2.0f * place + 1.0f, inside = HIGHER(twice, zero), last = 2 * rings - 1.0f;
    return TO_INTS(LOWER(inside, last));
}

/* Numbers of rows to look up. They go through memory: taking a vector apart takes longer, and compilers are kept from it. */
#if LANES == 1
typedef uint number_t, numbers_t;
#else
typedef volatile uint number_t;
typedef volatile uints __attribute__((aligned(4))) numbers_t;
#endif
#define PUT_NUMBERS(o, number) *(numbers_t *)(o) = AS_UINTS(number)

/* The columns of a table of 2 or 4, in the rows that stand at o: rows are loaded whole and transposed, two columns at a time. */
#if LANES == 1
INLINE void columns_of_2(__global const float2 *table, const number_t *o, floats *a, floats *b)
{
    const float2 row = table[*o];
    *a = row.x, *b = row.y;
}

INLINE void columns_of_4(__global const float4 *table, const number_t *o, floats *a, floats *b, floats *c, floats *d)
{
    const float4 row = table[*o / 2];
    *a = row.x, *b = row.y, *c = row.z, *d = row.w;
}
#else
/* Of pairs (0, 1, 4, 5) and (2, 3, 6, 7). */
INLINE void transposed(const ulong4 left, const ulong4 right, floats *a, floats *b)
{
    const float8 p = as_float8(left), q = as_float8(right);
    *a = (float8)(p.s02, q.s02, p.s46, q.s46);
    *b = (float8)(p.s13, q.s13, p.s57, q.s57);
}

INLINE void columns_of_2(__global const float2 *table, const number_t *o, floats *a, floats *b)
{
    __global const ulong *pair = (__global const ulong *)table;
    const ulong4 left = {LOADED(ulong, pair, o[0]), LOADED(ulong, pair, o[1]), LOADED(ulong, pair, o[4]), LOADED(ulong, pair, o[5])};
    const ulong4 right = {LOADED(ulong, pair, o[2]), LOADED(ulong, pair, o[3]), LOADED(ulong, pair, o[6]), LOADED(ulong, pair, o[7])};
    transposed(left, right, a, b);
}

#define ROW(t, place) LOADED(ulong2, (__global const ulong2 *)((t) + (place)), 0)
/* At o stand twice the numbers here: processors multiply a place by 8, and not by 16, as they load. */
INLINE void columns_of_4(__global const float4 *table, const number_t *o, floats *a, floats *b, floats *c, floats *d)
{
    __global const ulong *t = (__global const ulong *)table;
    const ulong4 p = {ROW(t, o[0]), ROW(t, o[4])}, q = {ROW(t, o[1]), ROW(t, o[5])};
    const ulong4 r = {ROW(t, o[2]), ROW(t, o[6])}, s = {ROW(t, o[3]), ROW(t, o[7])};
    transposed((ulong4)(p.s0, q.s0, p.s2, q.s2), (ulong4)(r.s0, s.s0, r.s2, s.s2), a, b);
    transposed((ulong4)(p.s1, q.s1, p.s3, q.s3), (ulong4)(r.s1, s.s1, r.s3, s.s3), c, d);
}
#endif

/* Expected counts of each pixel, of the columns of its half ring; NaN where it is masked or its ring has no background. */
INLINE floats expected_counts(const floats mean, const floats step, const ints half_ring, const floats place, const floats w)
{
    return (mean + (place - TO_FLOATS(half_ring >> 1)) * step) * w;
}

/* The fewest counts that a pixel can hold. */
#if !defined(LOWEST)
#define LEAST_COUNTS (PIXEL_KIND == 2 ? -INFINITY : 0.0f)
#elif NEGATIVE || PIXEL_KIND == 2
#define LEAST_COUNTS ((float)LOWEST)
#else
#define LEAST_COUNTS HIGHER((float)LOWEST, 0.0f)
#endif

/* What a frame holds where so many counts are, to the nearest whole number, an even one of two (no call: there is no vector of
 * it everywhere), and the marker where none are expected. */
INLINE wides values_of(const floats counts, const floats expected, const PIXEL_T marker, const PIXEL_T largest, const int whole)
{
    const floats least = LEAST_COUNTS, above = HIGHER(counts, least);
    const wides none = WIDE(marker);
#if PIXEL_KIND == 2
    const wides value = above;
#else
    const floats rounded = above < 4194304.0f ? (above + 12582912.0f) - 12582912.0f : above, near = whole ? above : rounded;
    const wides most = WIDE(largest), value = near < (float)largest ? WIDENED(near) : most;
#endif
    return expected == expected ? value : none;
}

/* LANES values to the frame, from pixel `own` on. */
INLINE void put_values(__global PIXEL_T *frame, const uint first, const uint own, const wides value)
{
#if LANES == 1
    frame[first] = value;
#else
    const loose_pixels narrow = NARROWED(value);
    if (first >= own) {
        *(__global loose_pixels *)(frame + first) = narrow;
    } else {
        PIXEL_T one[LANES];
        *(loose_pixels *)one = narrow;
        for (uint i = 0; i < LANES; i++)
            if (first + i >= own) frame[first + i] = one[i];
    }
#endif
}

#endif
