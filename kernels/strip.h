/* strip.h - LANES consecutive pixels of a frame that is made from the background of its rings.
 *
 * Loops over LANES are written so that compilers work on several pixels at once: no branches, and no calls. Functions are
 * `always_inline`: Intel's compiler leaves some of them as calls otherwise, and a frame takes 27 ms in place of 15.
 *
 * Defines   LANES = 1 or a multiple of 8; PIXEL_T, PIXEL_KIND (pixel.h); COLUMNS = 2 | 4: columns of `halves` that are needed
 */
#ifndef STRIP_H
#define STRIP_H

#include "pixel.h"

#define LOWER(a, b) ((a) < (b) ? (a) : (b))
#define HIGHER(a, b) ((a) > (b) ? (a) : (b))

/* LANES values from `first` on; the last pixel stands for those beyond it. */
static inline __attribute__((always_inline)) void load_strip(__global const float *array, const uint first, const uint pixels, float *value)
{
    if (first + LANES <= pixels) {
        for (int i = 0; i < LANES; i++) value[i] = array[first + i];
    } else {
        for (int i = 0; i < LANES; i++) value[i] = array[min(first + i, pixels - 1)];
    }
}

/* The half of a ring that each pixel lies in; any for masked ones. */
static inline __attribute__((always_inline)) void half_rings(const float *place, const int rings, uint *half_ring)
{
    for (int i = 0; i < LANES; i++) {
        const float twice = 2.0f * place[i] + 1.0f;
        const float inside = twice > 0.0f ? twice : 0.0f;
        half_ring[i] = (int)LOWER(inside, 2 * rings - 1.0f);
    }
}

/* What `halves` holds for each pixel, column by column: eight rows are loaded whole and transposed. */
static inline __attribute__((always_inline)) void load_columns(__global const float4 *halves, const uint *half_ring, float column[COLUMNS][LANES])
{
#if LANES == 1
    for (int i = 0; i < COLUMNS; i++) column[i][0] = ((__global const float *)(halves + half_ring[0]))[i];
#else
    for (int i = 0; i < LANES; i += 8) {
        const float8 a = (float8)(halves[half_ring[i]], halves[half_ring[i + 4]]);
        const float8 b = (float8)(halves[half_ring[i + 1]], halves[half_ring[i + 5]]);
        const float8 c = (float8)(halves[half_ring[i + 2]], halves[half_ring[i + 6]]);
        const float8 d = (float8)(halves[half_ring[i + 3]], halves[half_ring[i + 7]]);
        const float8 ab = (float8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5);
        const float8 cd = (float8)(c.s0, d.s0, c.s1, d.s1, c.s4, d.s4, c.s5, d.s5);
        *(float8 *)(column[0] + i) = (float8)(ab.s01, cd.s01, ab.s45, cd.s45);
        *(float8 *)(column[1] + i) = (float8)(ab.s23, cd.s23, ab.s67, cd.s67);
#if COLUMNS > 2
        const float8 ef = (float8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7);
        const float8 gh = (float8)(c.s2, d.s2, c.s3, d.s3, c.s6, d.s6, c.s7, d.s7);
        *(float8 *)(column[2] + i) = (float8)(ef.s01, gh.s01, ef.s45, gh.s45);
        *(float8 *)(column[3] + i) = (float8)(ef.s23, gh.s23, ef.s67, gh.s67);
#endif
    }
#endif
}

/* Expected counts of each pixel; NaN where it is masked or its ring has no background. */
static inline __attribute__((always_inline)) void expected_counts(const float *place, const float *w, const uint *half_ring,
                                   float column[COLUMNS][LANES], float *expected)
{
    for (int i = 0; i < LANES; i++)
        expected[i] = (column[0][i] + (place[i] - (int)(half_ring[i] >> 1)) * column[1][i]) * w[i];
}

/* To the nearest whole number, an even one of two, without a call. */
static inline __attribute__((always_inline)) float nearest(const float x)
{
    return x < 4194304.0f ? (x + 12582912.0f) - 12582912.0f : x;
}

/* The fewest counts that a pixel can hold. */
#if !defined(LOWEST)
#define LEAST_COUNTS (PIXEL_KIND == 2 ? -INFINITY : 0.0f)
#elif NEGATIVE || PIXEL_KIND == 2
#define LEAST_COUNTS ((float)LOWEST)
#else
#define LEAST_COUNTS HIGHER((float)LOWEST, 0.0f)
#endif

/* Write counts to the frame, whole ones in integer frames (`whole`: they are already), and the marker where none are expected. */
static inline __attribute__((always_inline)) void store_strip(__global PIXEL_T *frame, const uint first, const uint pixels, const float *counts,
                               const float *expected, const PIXEL_T marker, const PIXEL_T largest, const int whole)
{
    PIXEL_T value[LANES];
    for (int i = 0; i < LANES; i++) {
#if PIXEL_KIND == 2
        const PIXEL_T one = HIGHER(counts[i], LEAST_COUNTS);
#else
        const float counted = HIGHER(counts[i], LEAST_COUNTS);
        const float near = whole ? counted : nearest(counted);
        const PIXEL_T one = near < (float)largest ? (PIXEL_T)near : largest;
#endif
        value[i] = expected[i] == expected[i] ? one : marker;
    }
    if (first + LANES <= pixels) {
        for (int i = 0; i < LANES; i++) frame[first + i] = value[i];
    } else {
        for (int i = 0; i < LANES && first + i < pixels; i++) frame[first + i] = value[i];
    }
}

#endif
